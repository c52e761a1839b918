use super::llc::combined;
use super::{Llc, LlcEstimate};
use crate::sampler::SamplingRun;
use crate::{ChainMean, SltError};
use collimate_grad::Objective;
use collimate_measure::OutOfRange;
use collimate_stream::RngStream;
use std::fmt;

/// The bias of the step size, from a run at ε and one at ε/2 on the same Brownian paths.
///
/// ```text
/// bias(ε) ≈ 2 (λ̂(ε) − λ̂(ε/2)),   extrapolated 2 λ̂(ε/2) − λ̂(ε)
/// ```
///
/// The Euler bias is linear in ε to first order, so the extrapolated value has a bias of order ε². The errors are those of the mean of
/// differences along the same draws, which vary little where the chains stay together.
///
/// # References
/// Richardson (1911); Talay & Tubaro (1990), theorem 1, for the expansion in ε; Giles (2008), section 2, for the common path.
#[derive(Clone, Debug, PartialEq)]
pub struct StepBias {
    /// The estimate at ε.
    pub whole: LlcEstimate,
    /// The chains at ε/2. They make two steps for each step at ε, so both runs cover the same time.
    pub half: SamplingRun<()>,
}

impl Llc {
    /// Estimates the coefficient at ε, and returns the chains at ε/2 too.
    ///
    /// # Errors
    /// As [`Llc::estimate`]; [`SltError::OutOfRange`] for a corrected method, whose step causes no bias.
    pub fn step_bias(
        &self,
        objective: &dyn Objective<f64>,
        w_star: &[f64],
        stream: &mut RngStream,
    ) -> Result<StepBias, SltError> {
        let (whole, half) = self.estimate_with_half(objective, w_star, stream)?;
        let argument = "the number of Metropolis tests of a step";
        let allowed = "0 (SGLD), because MALA and HMC have no bias of the step";
        let half = half.ok_or(OutOfRange { argument, allowed, given: 1.0 })?;
        Ok(StepBias { whole, half })
    }
}

impl StepBias {
    /// Returns the bias of the run at ε and its Monte-Carlo error.
    pub fn bias(&self) -> (f64, f64) {
        let n_beta = self.whole.n_beta;
        let found = combined(&self.whole.run, &self.half, [2.0 * n_beta, -2.0 * n_beta]);
        (found.value, found.standard_error)
    }

    /// Returns the value extrapolated to ε = 0 and its Monte-Carlo error.
    pub fn extrapolated(&self) -> (f64, f64) {
        let n_beta = self.whole.n_beta;
        let ChainMean { value, standard_error, .. } =
            combined(&self.whole.run, &self.half, [-n_beta, 2.0 * n_beta]);
        (value - n_beta * self.whole.baseline, standard_error)
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
