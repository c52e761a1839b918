use super::{Llc, LlcEstimate};
use crate::SltError;
use crate::sampler::StepSize;
use collimate_grad::Objective;
use collimate_stream::RngStream;
use std::fmt;

/// The bias of the step size, from a run at ε and one at ε/2.
///
/// ```text
/// bias(ε) ≈ 2 (λ̂(ε) − λ̂(ε/2)),   extrapolated 2 λ̂(ε/2) − λ̂(ε)
/// ```
///
/// The Euler bias is linear in ε to first order, so the extrapolated value has a bias of order ε².
///
/// # References
/// Richardson (1911); Talay & Tubaro (1990), theorem 1, for the expansion in ε.
#[derive(Clone, Debug, PartialEq)]
pub struct StepBias {
    /// The run at ε.
    pub whole: LlcEstimate,
    /// The run at ε/2. It has twice the number of steps between draws, so both runs cover the same time.
    pub half: LlcEstimate,
}

impl Llc {
    /// Estimates the coefficient at ε and at ε/2, with independent random streams.
    ///
    /// # Errors
    /// As [`Llc::estimate`].
    pub fn step_bias(
        &self,
        objective: &dyn Objective<f64>,
        w_star: &[f64],
        stream: &mut RngStream,
    ) -> Result<StepBias, SltError> {
        let whole = self.estimate(objective, w_star, stream)?;
        let mut halved = self.clone();
        halved.sampling.step_size = StepSize::Fixed(0.5 * whole.run.step_size);
        halved.sampling.thin *= 2;
        halved.sampling.burn_in *= 2;
        let half = halved.estimate(objective, w_star, stream)?;
        Ok(StepBias { whole, half })
    }
}

impl StepBias {
    /// Returns the bias of the run at ε and its Monte-Carlo error.
    pub fn bias(&self) -> (f64, f64) {
        let error = self.whole.standard_error.hypot(self.half.standard_error);
        (2.0 * (self.whole.value - self.half.value), 2.0 * error)
    }

    /// Returns the value extrapolated to ε = 0 and its Monte-Carlo error.
    pub fn extrapolated(&self) -> (f64, f64) {
        let error = (2.0 * self.half.standard_error).hypot(self.whole.standard_error);
        (2.0 * self.half.value - self.whole.value, error)
    }
}

impl fmt::Display for StepBias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((bias, error), (limit, spread)) = (self.bias(), self.extrapolated());
        write!(
            f,
            "{:.3} at ε = {:.1e}, of which {bias:+.3} ± {error:.3} is the step; {limit:.3} ± {spread:.3} at ε → 0",
            self.whole.value, self.whole.run.step_size
        )
    }
}
