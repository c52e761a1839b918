use super::input::Seen;
use super::layout::{AngleTable, Lookup, Parameter, Slot};
use super::precision::Real;
use super::setting::Setting;
use crate::arrays::{Matrix, View, Weight, stack_heads};
use crate::cache::Cache;
use crate::error::{RunError, check_all_finite, check_finite};
use crate::hooks::Hooks;
use crate::site::HookPoint;
use collimate_attention::RotaryTable;
use collimate_tensor::zeros;
use ndarray::{Array2, Array3, ArrayViewMutD, IxDyn, s};

/// The activations that a pass keeps for a backward pass. The others are dropped behind the last operation that reads them.
#[derive(Clone, Copy)]
pub(crate) enum Keep<'a> {
    Nothing,
    Everything,
    /// The slots that are marked.
    Marked(&'a [bool]),
}

impl Keep<'_> {
    fn keeps(self, slot: Slot) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Marked(slots) => slots[slot],
        }
    }
}

/// A pass from the tokens to the logits.
pub(crate) struct Forward<'a, F> {
    pub(crate) setting: &'a Setting<'a, F>,
    values: Vec<Option<Matrix<F>>>,
    hooks: &'a mut dyn Hooks<F>,
    cache: Option<&'a mut Cache<F>>,
    keep: Keep<'a>,
    /// The operation that runs.
    current: usize,
}

impl<'a, F: Real> Forward<'a, F> {
    pub(crate) fn new(setting: &'a Setting<'a, F>, hooks: &'a mut dyn Hooks<F>, keep: Keep<'a>) -> Self {
        let values = setting.layout.slots.iter().map(|_| None).collect();
        Self { setting, values, hooks, cache: None, keep, current: 0 }
    }

    /// Returns this pass with a cache of keys and values, which it reads and extends.
    pub(crate) fn with_cache(self, cache: &'a mut Cache<F>) -> Self {
        Self { cache: Some(cache), ..self }
    }

    /// Stores rows with which a pass starts, after the hooks have seen them at a point.
    pub(crate) fn enter(
        &mut self,
        slot: Slot,
        mut rows: Array2<F>,
        shown: Option<HookPoint>,
    ) -> Result<(), RunError> {
        if let Some(point) = shown.filter(|point| self.hooks.wants(*point)) {
            self.show_rows(point, &mut rows)?;
        }
        self.provide(slot, Matrix::plain(rows));
        Ok(())
    }

    /// Notes the number of the operation that runs.
    pub(crate) fn begin(&mut self, operation: usize) {
        self.current = operation;
    }

    /// Drops the activations that no later operation reads.
    pub(crate) fn end(&mut self, inputs: &[Slot]) {
        for &slot in inputs {
            if self.is_last_use(slot) {
                self.values[slot] = None;
            }
        }
    }

    fn is_last_use(&self, slot: Slot) -> bool {
        !self.keep.keeps(slot) && self.setting.layout.last_use[slot] <= self.current
    }

    /// Stores an activation of an earlier pass.
    pub(crate) fn provide(&mut self, slot: Slot, x: Matrix<F>) {
        self.values[slot] = Some(x);
    }

    /// Returns the activations that are left.
    pub(crate) fn into_values(self) -> Vec<Option<Matrix<F>>> {
        self.values
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
        self.values[slot].as_ref().expect("an operation before this one wrote the slot").view()
    }

    /// Returns the activation itself if no later operation reads it, otherwise a copy.
    pub(crate) fn take_or_copy(&mut self, slot: Slot) -> Matrix<F> {
        let value = if self.is_last_use(slot) { self.values[slot].take() } else { self.values[slot].clone() };
        value.expect("an operation before this one wrote the slot")
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

    /// Stores an activation after the hooks have seen it. Numbers that have overflowed are an error that names the place.
    pub(crate) fn set(&mut self, slot: Slot, mut x: Matrix<F>) -> Result<(), RunError> {
        let info = &self.setting.layout.slots[slot];
        let place = || match info.points.first() {
            Some(point) => format!("{point}, computed from finite numbers that are too large"),
            None => format!("operation {}, computed from finite numbers that are too large", self.current),
        };
        check_all_finite(place, &x.value)?;
        let (batch, length) = self.shape();
        let columns = x.value.ncols();
        let rows = x.value.nrows() / batch;
        let shape = match info.heads {
            Some(heads) => vec![batch, length, heads, columns / heads],
            None => vec![batch, rows, columns],
        };
        for &point in &info.points {
            if let Some(by) = self.setting.move_at(point) {
                if by.shape() != shape {
                    let (expected, given) = (shape, by.shape().to_vec());
                    return Err(RunError::Shape { argument: "the direction", expected, given });
                }
                let mut tangent = x.tangent.take().unwrap_or_else(|| zeros(x.value.dim()));
                tangent.iter_mut().zip(by).for_each(|(to, &by)| *to += by);
                x.tangent = Some(tangent);
            }
            if !self.hooks.wants(point) {
                continue;
            }
            let mut view = x.value.view_mut().into_shape_with_order(IxDyn(&shape)).expect("standard layout");
            self.hooks.at(point, view.view_mut());
            check_finite(|| point.to_string(), view.iter())?;
        }
        self.values[slot] = Some(x);
        Ok(())
    }

    /// Returns true if the hooks want a point that is no slot.
    pub(crate) fn shows(&self, point: HookPoint) -> bool {
        self.hooks.wants(point)
    }

    /// Stores numbers that only a backward pass reads, if there will be one.
    pub(crate) fn keep(&mut self, slot: Slot, x: impl FnOnce() -> Matrix<F>) {
        if self.keep.keeps(slot) {
            self.values[slot] = Some(x());
        }
    }

    /// Shows numbers that are no slot, one row for each token, as `[b, t, columns]`.
    pub(crate) fn show_rows(&mut self, point: HookPoint, x: &mut Array2<F>) -> Result<(), RunError> {
        let (batch, length) = self.shape();
        let shape = IxDyn(&[batch, length, x.ncols()]);
        let mut view = x.view_mut().into_shape_with_order(shape).expect("standard layout");
        self.hooks.at(point, view.view_mut());
        Ok(check_finite(|| point.to_string(), view.iter())?)
    }

    /// Shows the results of heads `[b·t, h, d]` as `[b, t, h, d]`.
    pub(crate) fn show_results(&mut self, point: HookPoint, x: &mut Array3<F>) -> Result<(), RunError> {
        let (batch, length) = self.shape();
        let shape = IxDyn(&[batch, length, x.dim().1, x.dim().2]);
        let mut view = x.view_mut().into_shape_with_order(shape).expect("standard layout");
        self.hooks.at(point, view.view_mut());
        Ok(check_finite(|| point.to_string(), view.iter())?)
    }

    /// Shows the matrices of all heads of all sequences as one array `[b, h, t, s]`, and marks the rows that the hooks changed in
    /// `changed` `[b·h, t]`.
    pub(crate) fn show_heads(
        &mut self,
        point: HookPoint,
        heads: &mut [Matrix<F>],
        batch: usize,
        changed: &mut Array2<bool>,
    ) -> Result<(), RunError> {
        let mut all = stack_heads(heads, batch);
        self.hooks.at(point, ArrayViewMutD::from(all.view_mut().into_dyn()));
        check_finite(|| point.to_string(), all.iter())?;
        let per_sequence = heads.len() / batch;
        for (index, one) in heads.iter_mut().enumerate() {
            let left = all.slice(s![index / per_sequence, index % per_sequence, .., ..]);
            for (query, (mut row, left)) in one.value.rows_mut().into_iter().zip(left.rows()).enumerate() {
                if row != left {
                    changed[[index, query]] = true;
                    row.assign(&left);
                }
            }
        }
        Ok(())
    }

    /// Adds the keys and values of a layer to the cache, if there is one.
    pub(crate) fn remember(&mut self, layer: usize, k: Slot, v: Slot) {
        let Some(cache) = &mut self.cache else { return };
        let value = |slot: Slot| &self.values[slot].as_ref().expect("keys and values are computed").value;
        cache.extend(layer, value(k), value(v));
    }

    /// Returns the keys and values of one sequence, with those of the cache before them.
    pub(crate) fn keys_and_values(
        &self,
        layer: usize,
        k: Slot,
        v: Slot,
        sequence: usize,
    ) -> (View<'_, F>, View<'_, F>) {
        if let Some(cache) = &self.cache {
            let (k, v) = cache.of(layer, sequence);
            return (View { value: k, tangent: None }, View { value: v, tangent: None });
        }
        let (_, length) = self.shape();
        let rows = |slot: Slot| {
            let x = self.get(slot);
            let range = sequence * length..(sequence + 1) * length;
            View {
                value: x.value.slice_move(s![range.clone(), ..]),
                tangent: x.tangent.map(|x| x.slice_move(s![range, ..])),
            }
        };
        (rows(k), rows(v))
    }
}
