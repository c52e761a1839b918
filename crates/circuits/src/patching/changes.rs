//! Hooks that put other values into single rows of a batch.

use super::place::Place;
use collimate_tensor::Scalar;
use collimate_transformer::{HookPoint, Hooks};
use ndarray::{ArrayD, ArrayViewMutD, Slice};
use std::collections::BTreeMap;

/// The values that a change writes.
pub(crate) enum Values<'a, F> {
    /// Those at the same place of the activation of one sequence, `[1, …]`.
    Of(&'a ArrayD<F>),
    /// Those at the same place of an array of its own, `[1, …]`.
    Own(ArrayD<F>),
    /// Zeros.
    Zero,
}

/// Changes of an activation, each in one row of the batch.
pub(crate) struct Changes<'a, F> {
    by_point: BTreeMap<HookPoint, Vec<(usize, Place, Values<'a, F>)>>,
}

impl<'a, F> Changes<'a, F> {
    pub(crate) fn new() -> Self {
        Self { by_point: BTreeMap::new() }
    }

    /// Adds a change of a place in a row.
    pub(crate) fn add(&mut self, row: usize, place: Place, values: Values<'a, F>) {
        self.by_point.entry(place.point).or_default().push((row, place, values));
    }
}

impl<F: Scalar> Hooks<F> for Changes<'_, F> {
    fn wants(&self, point: HookPoint) -> bool {
        self.by_point.contains_key(&point)
    }

    fn points(&self) -> Vec<HookPoint> {
        self.by_point.keys().copied().collect()
    }

    fn at(&mut self, point: HookPoint, mut activation: ArrayViewMutD<'_, F>) {
        for (row, place, values) in self.by_point.get(&point).into_iter().flatten() {
            let indices = place.indices();
            let slice = |axis: usize, first: usize| match axis {
                0 => one(first),
                _ => indices[axis - 1].map_or(Slice::from(..), one),
            };
            let mut to = activation.slice_each_axis_mut(|axis| slice(axis.axis.index(), *row));
            let from = match values {
                Values::Of(from) => *from,
                Values::Own(from) => from,
                Values::Zero => {
                    to.fill(F::zero());
                    continue;
                }
            };
            to.assign(&from.slice_each_axis(|axis| slice(axis.axis.index(), 0)));
        }
    }
}

fn one(index: usize) -> Slice {
    Slice::from(index..index + 1)
}
