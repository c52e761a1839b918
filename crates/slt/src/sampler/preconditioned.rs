use super::batch::Batches;
use super::chain::{Chain, Step};
use super::preconditioner::{Adaptive, Divergence, Preconditioner};
use super::scalar::SamplerScalar;
use crate::SltError;
use collimate_stream::RngStream;

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
            return Err(self.broken(loss));
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
        Ok(Step { loss, acceptance, divergent: false, undefined: false })
    }
}
