use super::chain::{Chain, Step};
use super::region::Boundary;
use super::scalar::SamplerScalar;
use super::trajectory::Trajectory;
use crate::SltError;
use collimate_stream::RngStream;

/// The energy error above which a trajectory counts as divergent.
const LOST: f64 = 1000.0;

impl<F: SamplerScalar> Chain<'_, F> {
    /// Makes a step by leapfrogs and a Metropolis test.
    pub(super) fn trajectory(
        &mut self,
        state: &mut Trajectory<F>,
        stream: &mut RngStream,
    ) -> Result<Step, SltError> {
        let before = match state.loss {
            Some(loss) => loss,
            None => {
                let loss = self.target.full(&self.w, &mut self.scratch, &mut self.gradient);
                if !loss.is_finite() {
                    return Err(self.broken(loss));
                }
                self.mask_gradient();
                loss
            }
        };
        state.loss = Some(before);
        self.draw_noise(stream);
        state.momentum.copy_from_slice(&self.noise);
        self.before.copy_from_slice(&self.w);
        state.old_gradient.copy_from_slice(&self.gradient);
        let start = self.energy(before, &state.momentum);
        let (delta, count) = match state.mala {
            true => (self.step_size.sqrt(), 1),
            false => (self.step_size, 1 + stream.below(state.leapfrogs)),
        };
        let mut loss = before;
        for _ in 0..count {
            self.half_kick(&mut state.momentum, delta);
            F::glide(&mut self.w, &state.momentum, F::from_f64(delta));
            if let Some((low, high, Boundary::Reflect)) = &self.target.walls {
                F::reflect(&mut self.w, Some(&mut state.momentum), low, high);
            }
            loss = self.target.full(&self.w, &mut self.scratch, &mut self.gradient);
            self.mask_gradient();
            self.half_kick(&mut state.momentum, delta);
            if !loss.is_finite() {
                break;
            }
        }
        let error = self.energy(loss, &state.momentum) - start;
        let divergent = error.is_nan() || error > LOST;
        let undefined = loss.is_nan() && self.is_near();
        let outside = match &self.target.walls {
            Some((low, high, Boundary::Reject)) => !F::inside(&self.w, low, high),
            _ => false,
        };
        // The number is drawn for every error, so that rounding has as little effect on the stream as possible.
        let uniform = stream.uniform();
        let acceptance = if divergent || outside { 0.0 } else { (-error).exp().min(1.0) };
        if uniform < acceptance {
            state.loss = Some(loss);
        } else {
            self.w.copy_from_slice(&self.before);
            self.gradient.copy_from_slice(&state.old_gradient);
            loss = before;
        }
        Ok(Step { loss, acceptance, divergent, undefined })
    }

    /// Returns the energy nβ L + γ/2 |w − w*|² + |p|²/2.
    fn energy(&self, loss: f64, momentum: &[F]) -> f64 {
        let kinetic: f64 = momentum.iter().map(|p| (*p).to_f64().powi(2)).sum();
        let pull = match self.target.gamma {
            0.0 => 0.0,
            gamma => gamma * F::distance_squared(&self.w, &self.target.centre),
        };
        self.target.n_beta * loss + 0.5 * (pull + kinetic)
    }

    /// Changes the momentum by half a step along the gradient.
    fn half_kick(&self, momentum: &mut [F], delta: f64) {
        let scales = [0.5 * delta * self.target.n_beta, 0.5 * delta * self.target.gamma].map(F::from_f64);
        F::kick(momentum, &self.gradient, &self.w, &self.target.centre, scales);
    }

    /// Sets the gradient to zero in fixed coordinates.
    fn mask_gradient(&mut self) {
        if let Some(mask) = &self.target.mask {
            F::times(&mut self.gradient, mask);
        }
    }
}

/// A point with its potential U and the gradient of U.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MalaPoint<'a> {
    /// The point w.
    pub w: &'a [f64],
    /// The gradient ∇U(w).
    pub gradient: &'a [f64],
    /// The potential U(w).
    pub potential: f64,
}

/// Returns the logarithm of the acceptance probability of a Langevin move, by its definition.
///
/// ```text
/// log min(1, exp(U(a) − U(b)) q(a|b)/q(b|a)),   q(b|a) = N(b; a − (ε/2) ∇U(a), ε I)
/// ```
///
/// A chain computes the same number as the energy error of one leapfrog of size √ε.
///
/// # Examples
/// ```
/// use collimate_slt::{MalaPoint, mala_log_acceptance};
/// let a = MalaPoint { w: &[1.0, 1.0], gradient: &[1.0, 1.0], potential: 1.0 };
/// let b = MalaPoint { w: &[1.5, 0.5], gradient: &[1.5, 0.5], potential: 1.25 };
/// assert!((mala_log_acceptance(a, b, 0.5).exp() - 0.9692332).abs() < 1e-6);
/// ```
///
/// # References
/// Roberts & Tweedie (1996), section 1.4.
pub fn mala_log_acceptance(from: MalaPoint<'_>, to: MalaPoint<'_>, epsilon: f64) -> f64 {
    let forth = |a: MalaPoint<'_>, b: MalaPoint<'_>| -> f64 {
        let terms = b.w.iter().zip(a.w).zip(a.gradient);
        -terms.map(|((b, a), g)| (b - a + 0.5 * epsilon * g).powi(2)).sum::<f64>() / (2.0 * epsilon)
    };
    (from.potential - to.potential + forth(to, from) - forth(from, to)).min(0.0)
}
