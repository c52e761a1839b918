use super::input::Seen;
use super::layout::{AngleTable, Lookup, Parameter, Slot};
use super::precision::Real;
use super::setting::Setting;
use crate::arrays::{Matrix, View, Weight};
use crate::error::RunError;
use crate::site::HookPoint;
use collimate_attention::RotaryTable;
use collimate_tensor::zeros;
use ndarray::{ArrayD, IxDyn};
use std::collections::BTreeMap;

/// A pass from a gradient by the outputs back to the parameters.
pub(crate) struct Backward<'a, F> {
    pub(super) setting: &'a Setting<'a, F>,
    values: Vec<Option<Matrix<F>>>,
    gradients: Vec<Option<Matrix<F>>>,
    by_parameter: Vec<Option<Matrix<F>>>,
    wanted: Vec<bool>,
    /// The gradients by hook points, filled where they are asked for.
    pub(crate) held: BTreeMap<HookPoint, Option<ArrayD<F>>>,
}

impl<'a, F: Real> Backward<'a, F> {
    /// Makes a pass that wants the gradient by the parameters marked in `wanted`, and by the points in `held`.
    pub(crate) fn new(
        setting: &'a Setting<'a, F>,
        values: Vec<Option<Matrix<F>>>,
        wanted: Vec<bool>,
        points: impl IntoIterator<Item = HookPoint>,
    ) -> Self {
        let n = setting.layout.slots.len();
        Self {
            setting,
            values,
            gradients: (0..n).map(|_| None).collect(),
            by_parameter: wanted.iter().map(|_| None).collect(),
            wanted,
            held: points.into_iter().map(|point| (point, None)).collect(),
        }
    }

    /// Returns this pass with gradients by the parameters to which it adds.
    pub(crate) fn adding_to(self, by_parameter: Vec<Option<Matrix<F>>>) -> Self {
        Self { by_parameter, ..self }
    }

    /// Replaces the activations.
    pub(crate) fn with_values(&mut self, values: Vec<Option<Matrix<F>>>) {
        self.values = values;
    }

    /// Drops the activations that an operation wrote.
    pub(crate) fn end(&mut self, outputs: &[Slot]) {
        for &slot in outputs {
            self.values[slot] = None;
        }
    }

    /// Returns the gradients by the parameters.
    pub(crate) fn take_parameter_gradients(&mut self) -> Vec<Option<Matrix<F>>> {
        std::mem::take(&mut self.by_parameter)
    }

    pub(crate) fn shape(&self) -> (usize, usize) {
        self.setting.shape()
    }

    pub(crate) fn seen(&self) -> &'a Seen {
        &self.setting.seen
    }

    pub(crate) fn is_along(&self) -> bool {
        self.setting.is_along()
    }

    pub(crate) fn get(&self, slot: Slot) -> View<'_, F> {
        self.values[slot].as_ref().expect("the forward pass kept the slot").view()
    }

    /// Returns a slot that the forward pass may have kept.
    pub(crate) fn find(&self, slot: Slot) -> Option<View<'_, F>> {
        self.values[slot].as_ref().map(Matrix::view)
    }

    pub(crate) fn parameter(&self, index: Parameter) -> View<'a, F> {
        self.setting.parameter(index)
    }

    pub(crate) fn weight(&self, index: Parameter) -> Weight<'a, F> {
        self.setting.weight(index)
    }

    pub(crate) fn angles(&self, table: AngleTable) -> &'a RotaryTable<F> {
        self.setting.angles(table)
    }

    pub(crate) fn rows(&self, lookup: Lookup, table: Parameter) -> Result<Vec<usize>, RunError> {
        self.setting.rows(lookup, table)
    }

    /// Returns true if the gradient by a parameter is wanted.
    pub(crate) fn wants(&self, parameter: Parameter) -> bool {
        self.wanted[parameter]
    }

    /// Takes the gradient by a slot, which is complete when its writer is reached, and hands it to those who asked for it.
    pub(crate) fn take_gradient(&mut self, slot: Slot) -> Option<Matrix<F>> {
        let gradient = self.gradients[slot].take()?;
        let info = &self.setting.layout.slots[slot];
        let (batch, length) = self.shape();
        for point in &info.points {
            if let Some(held) = self.held.get_mut(point) {
                let columns = gradient.dim().1;
                let shape = match info.heads {
                    Some(heads) => vec![batch, length, heads, columns / heads],
                    None => vec![batch, gradient.dim().0 / batch, columns],
                };
                let copy =
                    gradient.value.clone().into_shape_with_order(IxDyn(&shape)).expect("standard layout");
                *held = Some(copy);
            }
        }
        Some(gradient)
    }

    /// Adds to the gradient by a slot.
    pub(crate) fn add_gradient(&mut self, slot: Slot, gradient: Matrix<F>) {
        add(&mut self.gradients[slot], gradient);
    }

    /// Adds to the gradient by a parameter.
    pub(crate) fn add_parameter_gradient(&mut self, parameter: Parameter, gradient: Matrix<F>) {
        add(&mut self.by_parameter[parameter], gradient);
    }

    /// Takes the gradient by a parameter, or zeros, so that an operation adds to it in place.
    pub(crate) fn take_parameter_gradient(&mut self, parameter: Parameter) -> Matrix<F> {
        let zeros = || Matrix { value: zeros(self.setting.weights.arrays[parameter].dim()), tangent: None };
        self.by_parameter[parameter].take().unwrap_or_else(zeros)
    }

    /// Puts back what was taken.
    pub(crate) fn put_parameter_gradient(&mut self, parameter: Parameter, gradient: Matrix<F>) {
        self.by_parameter[parameter] = Some(gradient);
    }
}

fn add<F: Real>(to: &mut Option<Matrix<F>>, gradient: Matrix<F>) {
    match to {
        Some(sum) => sum.add_scaled(gradient.view(), F::one()),
        None => *to = Some(gradient),
    }
}
