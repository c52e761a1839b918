use super::scalar::SamplerScalar;
use crate::SltError;
use collimate_measure::ensure;

/// The state of a Metropolis-adjusted chain.
pub(super) struct Trajectory<F> {
    pub(super) leapfrogs: usize,
    /// True if the step size is ε = δ² and the number of leapfrogs is fixed at one.
    pub(super) mala: bool,
    pub(super) momentum: Vec<F>,
    /// The gradient before the move, for a rejection.
    pub(super) old_gradient: Vec<F>,
    /// The loss at the position of the chain; `None` before the first step.
    pub(super) loss: Option<f64>,
}

impl<F: SamplerScalar> Trajectory<F> {
    /// Creates the state before the first step.
    pub(super) fn new(leapfrogs: usize, mala: bool, dimensions: usize) -> Result<Self, SltError> {
        ensure(leapfrogs > 0, "leapfrogs", "at least 1", leapfrogs as f64)?;
        let zeros = vec![F::zero(); dimensions];
        Ok(Self { leapfrogs, mala, momentum: zeros.clone(), old_gradient: zeros, loss: None })
    }

    /// Creates the placeholder that a chain holds while its own state is in use.
    pub(super) fn empty() -> Self {
        Self { leapfrogs: 1, mala: true, momentum: Vec::new(), old_gradient: Vec::new(), loss: None }
    }
}
