use super::layout::{Layout, Slot};
use super::operation::Operation;
use crate::parameters::ParameterName;
use crate::site::HookPoint;

/// The operations of a model in order.
pub(crate) struct Program<F> {
    pub(crate) operations: Vec<Box<dyn Operation<F>>>,
    pub(crate) layout: Layout,
    /// The parameters, with their shapes.
    pub(crate) parameters: Vec<(ParameterName, (usize, usize))>,
    /// The residual stream that enters each layer, and the one that the final norm reads.
    pub(crate) residuals: Vec<Slot>,
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

    /// Returns the points that an operation shows to hooks, in order.
    pub(crate) fn points_of(&self, operation: usize) -> Vec<HookPoint> {
        let operation = &self.operations[operation];
        let slots = operation.outputs();
        let outputs = slots.iter().flat_map(|slot| self.layout.slots[*slot].points.iter().copied());
        operation.points().into_iter().chain(outputs).collect()
    }
}
