use super::backward::Backward;
use super::forward::Forward;
use super::layout::Slot;
use crate::error::RunError;
use crate::site::HookPoint;

/// An operation of a program.
pub(crate) trait Operation<F>: Send + Sync {
    /// Returns the slots that the operation reads.
    fn inputs(&self) -> Vec<Slot>;

    /// Returns the slots that the operation writes.
    fn outputs(&self) -> Vec<Slot>;

    /// Returns the hook points that the operation shows and that are no slot, in order.
    fn points(&self) -> Vec<HookPoint> {
        Vec::new()
    }

    /// Computes the outputs.
    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError>;

    /// Adds to the gradients of the inputs and parameters.
    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError>;
}
