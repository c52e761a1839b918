use super::batch::Batches;
use super::{Chain, SamplerScalar, Step};
use crate::SltError;
use collimate_stream::RngStream;

/// The settings of a preconditioner that follows the gradient, as RMSprop does.
///
/// ```text
/// v ← α v + (1 − α) g²,   G = 1/(floor + √v)       g the gradient of the batch's mean loss
/// w ← w − (ε/2) {G [nβ g + γ (w − w*)] − Γ} + √(εG) · N(0, I)
/// Γ_i = ∂G_i/∂w_i = −g_i H_ii / (√v_i (floor + √v_i)²)
/// ```
///
/// A diffusion whose noise depends on the position needs the divergence Γ of its G; without it the stationary density on
/// a line is `p(w)/G(w)` and not `p(w)`. `H_ii` comes from one more gradient: Hutchinson's estimate `s_i (H s)_i` with
/// random signs `s` is unbiased.
///
/// Γ here takes `v` to have settled at `g²`, as it does when ε → 0 at fixed α. The formula with another factor (1 − α),
/// from the derivative of one update of `v` at fixed history, vanishes with α → 1 while the error it should cancel
/// does not.
///
/// # References
/// Li, Chen, Carlson & Carin (2016), algorithm 1; Ma, Chen & Fox (2015), eq. 3, for Γ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preconditioner {
    /// α, in [0, 1).
    pub decay: f64,
    /// The number added to √v.
    pub floor: f64,
    /// Whether Γ is included.
    pub divergence: Divergence,
}

/// Whether the divergence of the preconditioner enters the drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divergence {
    /// It does; a step costs two gradients.
    Included,
    /// It does not, as in most software: the chain has another stationary law than the target.
    Omitted,
}

/// A preconditioner at work.
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
        if !(0.0..1.0).contains(&decay) {
            return Err(SltError::OutOfRange { name: "decay", value: decay, expected: "in [0, 1)" });
        }
        if !(floor > 0.0 && floor.is_finite()) {
            return Err(SltError::OutOfRange {
                name: "floor",
                value: floor,
                expected: "positive and finite",
            });
        }
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
    pub(super) fn preconditioned(
        &mut self,
        batches: &mut Batches,
        state: &mut Adaptive<F>,
        stream: &mut RngStream,
    ) -> Result<Step, SltError> {
        // The batch is drawn here and not in `batch_gradient`: Hutchinson's second gradient runs over the same one.
        let batch = batches.draw(stream);
        let loss = self.target.on(&self.w, batch, &mut self.scratch, &mut self.gradient);
        if !loss.is_finite() {
            return Err(SltError::Diverged { step: self.steps, loss });
        }
        if let Some(mask) = &self.target.mask {
            F::times(&mut self.gradient, mask);
        }
        let Preconditioner { decay, floor, divergence } = state.settings;
        // The first gradient stands for the whole past, or v would start at 0 and the first steps would be huge.
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
                // Where the past is flat, so is G.
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
