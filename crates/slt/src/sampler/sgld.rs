use super::batch::Batches;
use super::chain::{Chain, Step};
use super::scalar::SamplerScalar;
use crate::SltError;
use collimate_stream::RngStream;

impl<F: SamplerScalar> Chain<'_, F> {
    /// Makes a step of SGLD.
    pub(super) fn sgld(&mut self, batches: &mut Batches, stream: &mut RngStream) -> Result<Step, SltError> {
        let loss = self.batch_gradient(batches, stream)?;
        self.draw_noise(stream);
        if self.target.walls.is_some() {
            self.before.copy_from_slice(&self.w);
        }
        let epsilon = self.step_size;
        let drift = 0.5 * epsilon * self.target.n_beta;
        let pull = 0.5 * epsilon * self.target.gamma;
        let scales = [drift, pull, epsilon.sqrt()].map(F::from_f64);
        F::langevin(&mut self.w, &self.gradient, &self.noise, &self.target.centre, scales);
        let acceptance = f64::from(u8::from(self.bounded()));
        Ok(Step { loss, acceptance, divergent: false, undefined: false })
    }

    /// Computes the loss and gradient of a new batch. The gradient is zero in fixed coordinates.
    pub(super) fn batch_gradient(
        &mut self,
        batches: &mut Batches,
        stream: &mut RngStream,
    ) -> Result<f64, SltError> {
        let batch = batches.draw(stream);
        let loss = self.target.on(&self.w, batch, &mut self.scratch, &mut self.gradient);
        if !loss.is_finite() {
            return Err(self.broken(loss));
        }
        if let Some(mask) = &self.target.mask {
            F::times(&mut self.gradient, mask);
        }
        Ok(loss)
    }
}
