use super::layout::{Layout, Slot};
use super::operation::Operation;
use crate::parameters::ParameterName;

/// The operations of a model in order.
pub(crate) struct Program<F> {
    pub(crate) operations: Vec<Box<dyn Operation<F>>>,
    pub(crate) layout: Layout,
    /// The parameters, with their shapes.
    pub(crate) parameters: Vec<(ParameterName, (usize, usize))>,
    /// The activation behind the final norm (and the projection back), from which the head reads.
    pub(crate) hidden: Slot,
    pub(crate) logits: Option<Slot>,
    pub(crate) pooled: Option<Slot>,
    pub(crate) next_sentence: Option<Slot>,
}

impl<F> Program<F> {
    /// Returns the operation that writes a slot.
    pub(crate) fn writer_of(&self, slot: Slot) -> usize {
        self.operations.iter().position(|operation| operation.outputs().contains(&slot)).unwrap_or_default()
    }
}
