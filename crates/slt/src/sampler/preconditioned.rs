use super::batch::Batches;
use super::{Chain, SamplerScalar, Step};
use crate::SltError;
use crate::error::positive;
use collimate_measure::ensure;
use collimate_stream::RngStream;

/// The settings of a preconditioner from the gradient, like that of RMSprop.
///
/// ```text
/// v ← α v + (1 − α) g²,   G = 1/(floor + √v)       g the gradient of the batch's mean loss
/// w ← w − (ε/2) {G [nβ g + γ (w − w*)] − Γ} + √(εG) · N(0, I)
/// Γ_i = ∂G_i/∂w_i = −g_i H_ii / (√v_i (floor + √v_i)²)
/// ```
///
/// A diffusion whose noise depends on the position needs the divergence Γ of its G. Without Γ the stationary density on a
/// line is `p(w)/G(w)` and not `p(w)`. `H_ii` needs one more gradient: Hutchinson's estimate `s_i (H s)_i` with random signs
/// `s` is unbiased.
///
/// The formula assumes that `v` has reached `g²`, as it does for ε → 0 at fixed α. Another formula has the factor (1 − α),
/// from the derivative of one update of `v` at fixed history. That formula tends to zero for α → 1, but the error that it
/// should cancel does not.
///
/// # References
/// Li, Chen, Carlson & Carin (2016), algorithm 1; Ma, Chen & Fox (2015), eq. 3, for Γ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preconditioner {
    /// The decay α, in [0, 1).
    pub decay: f64,
    /// The number added to √v.
    pub floor: f64,
    /// Whether the divergence Γ is included.
    pub divergence: Divergence,
}

/// The use of the divergence of the preconditioner in the drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// The divergence is included. A step takes two gradients.
    Included,
    /// The divergence is omitted, as in most software. The stationary law of the chain is not the target.
    Omitted,
}

/// The state of a preconditioner.
pub(super) struct Adaptive<F> {
    settings: Preconditioner,
    v: Vec<F>,
    scale: Vec<F>,
    signs: Vec<F>,
    shifted: Vec<F>,
    second: Vec<F>,
    started: bool,
}

impl<F: SamplerScalar> Adaptive<F> {
    pub(super) fn new(settings: Preconditioner, dimensions: usize) -> Result<Self, SltError> {
        let Preconditioner { decay, floor, .. } = settings;
        ensure((0.0..1.0).contains(&decay), "decay", "in [0, 1)", decay)?;
        positive("floor", floor)?;
        let zeros = vec![F::zero(); dimensions];
        Ok(Self {
            settings,
            v: zeros.clone(),
            scale: zeros.clone(),
            signs: zeros.clone(),
            shifted: zeros.clone(),
            second: zeros,
            started: false,
        })
    }
}

impl<F: SamplerScalar> Chain<'_, F> {
    /// Makes a step of preconditioned SGLD.
    pub(super) fn preconditioned(
        &mut self,
        batches: &mut Batches,
        state: &mut Adaptive<F>,
        stream: &mut RngStream,
    ) -> Result<Step, SltError> {
        // The batch is drawn here and not in `batch_gradient`, because the second gradient uses the same batch.
        let batch = batches.draw(stream);
        let loss = self.target.on(&self.w, batch, &mut self.scratch, &mut self.gradient);
        if !loss.is_finite() {
            return Err(SltError::Diverged { step: self.steps, loss });
        }
        if let Some(mask) = &self.target.mask {
            F::times(&mut self.gradient, mask);
        }
        let Preconditioner { decay, floor, divergence } = state.settings;
        // At the first step v is g². If v started at 0, the first steps would be huge.
        let decay = if state.started { decay } else { 0.0 };
        state.started = true;
        let floor = F::from_f64(floor);
        F::precondition(&mut state.v, &self.gradient, &mut state.scale, F::from_f64(decay), floor);
        if divergence == Divergence::Included {
            let h = F::from_f64(if F::NAME == "f32" { 1e-3 } else { 1e-6 });
            for ((sign, shifted), &w) in state.signs.iter_mut().zip(&mut state.shifted).zip(&self.w) {
                *sign = if stream.bits() & 1 == 0 { F::one() } else { -F::one() };
                *shifted = w + h * *sign;
            }
            self.target.on(&state.shifted, batch, &mut self.scratch, &mut state.second);
            for i in 0..state.v.len() {
                let root = state.v[i].sqrt();
                // If all gradients so far are zero, the derivative of G is zero.
                if root > F::zero() {
                    let curvature = state.signs[i] * (state.second[i] - self.gradient[i]) / h;
                    state.second[i] = -self.gradient[i] * curvature * state.scale[i] * state.scale[i] / root;
                } else {
                    state.second[i] = F::zero();
                }
            }
        }
        self.draw_noise(stream);
        if self.target.walls.is_some() {
            self.before.copy_from_slice(&self.w);
        }
        let epsilon = self.step_size;
        let drift = 0.5 * epsilon * self.target.n_beta;
        let pull = 0.5 * epsilon * self.target.gamma;
        let scales = [drift, pull, epsilon.sqrt()].map(F::from_f64);
        let centre = &self.target.centre;
        F::preconditioned(&mut self.w, &self.gradient, &self.noise, centre, &state.scale, scales);
        if divergence == Divergence::Included {
            if let Some(mask) = &self.target.mask {
                F::times(&mut state.second, mask);
            }
            F::glide(&mut self.w, &state.second, F::from_f64(0.5 * epsilon));
        }
        let acceptance = f64::from(u8::from(self.bounded()));
        Ok(Step { loss, acceptance, divergent: false })
    }
}
