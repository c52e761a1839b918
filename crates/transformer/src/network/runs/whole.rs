//! Forward passes.

use super::run::Run;
use crate::arrays::Matrix;
use crate::error::RunError;
use crate::hooks::Hooks;
use crate::network::Model;
use crate::pass::{Forward, Input, Keep, Setting};
use crate::precision::Precision;
use crate::site::{HookPoint, Site};
use ndarray::{Array2, Array3};
use std::collections::BTreeSet;

/// The results of a forward pass.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outputs<F> {
    /// The logits `[b, t, v]`, if the model has a head.
    pub logits: Option<Array3<F>>,
    /// The residual stream after the final norm, `[b, t, d]`.
    pub hidden: Array3<F>,
    /// The output of the pooler `[b, d]`, if there is one.
    pub pooled: Option<Array2<F>>,
    /// The logits of the head that tells whether two texts follow each other, `[b, 2]`.
    pub next_sentence: Option<Array2<F>>,
}

impl<F: Precision> Model<F> {
    /// Runs the model on a batch.
    ///
    /// # Errors
    /// [`RunError`] if the input does not fit the model, a hook names a point that the model does not have or leaves numbers that are
    /// not finite, or finite numbers overflow; the error names the site.
    pub fn run<'a>(
        &self,
        run: impl Into<Run<'a, F>>,
        hooks: &mut dyn Hooks<F>,
    ) -> Result<Outputs<F>, RunError> {
        let run = run.into();
        let values = self.values(&run, hooks, usize::MAX)?;
        self.outputs(run.input(), values)
    }

    /// Runs the model up to the final norm, without the head. Returns the residual stream after that norm, `[b, t, d]`.
    ///
    /// # Errors
    /// The errors of [`Model::run`].
    pub fn hidden<'a>(
        &self,
        run: impl Into<Run<'a, F>>,
        hooks: &mut dyn Hooks<F>,
    ) -> Result<Array3<F>, RunError> {
        let run = run.into();
        let end = self.program.writer_of(self.program.hidden) + 1;
        let mut values = self.values(&run, hooks, end)?;
        let hidden = values[self.program.hidden].take().expect("the pass ends after the final norm");
        Ok(in_sequences(run.input(), hidden.value))
    }

    /// Computes the logits `[b, t, v]` of every position.
    ///
    /// # Errors
    /// The errors of [`Model::run`]; [`RunError::NoHead`] for a model without logits.
    pub fn logits<'a>(
        &self,
        run: impl Into<Run<'a, F>>,
        hooks: &mut dyn Hooks<F>,
    ) -> Result<Array3<F>, RunError> {
        self.program.logits.ok_or(RunError::NoHead)?;
        Ok(self.run(run, hooks)?.logits.expect("the model has a head"))
    }

    /// Runs the operations before number `end`, and returns the activations that are left.
    pub(super) fn values(
        &self,
        run: &Run<'_, F>,
        hooks: &mut dyn Hooks<F>,
        end: usize,
    ) -> Result<Vec<Option<Matrix<F>>>, RunError> {
        self.check_points(hooks)?;
        let d = &self.description;
        let setting = Setting::new(d, &self.program.layout, self.weights(), None, run.input(), 0)?;
        let start = run.residual(d.width, d.layers.len())?;
        let mut pass = Forward::new(&setting, hooks, Keep::Nothing);
        let first = match start {
            Some((layer, residual)) => {
                let slot = self.program.residuals[layer];
                let rows = residual.len() / d.width;
                let rows = residual.into_shape_with_order((rows, d.width)).expect("rows of the width");
                let shown = (layer < d.layers.len()).then(|| Site::ResidualPre.of_layer(layer));
                pass.enter(slot, rows, shown)?;
                self.program.writer_of(slot) + 1
            }
            None => 0,
        };
        self.program.forward(pass, first..end)
    }

    /// Takes the outputs out of the activations of a pass.
    fn outputs(&self, input: &Input, mut values: Vec<Option<Matrix<F>>>) -> Result<Outputs<F>, RunError> {
        let mut take = |slot: Option<usize>| slot.and_then(|slot| values[slot].take()).map(|x| x.value);
        let rows = |x: Array2<F>| in_sequences(input, x);
        let logits = take(self.program.logits).map(rows);
        let (pooled, next_sentence) = (take(self.program.pooled), take(self.program.next_sentence));
        let hidden = take(Some(self.program.hidden)).map(rows).expect("the pass ends after the final norm");
        Ok(Outputs { logits, hidden, pooled, next_sentence })
    }

    /// Returns true if the model shows this point to hooks.
    pub fn has_point(&self, point: HookPoint) -> bool {
        self.points().any(|other| other == point)
    }

    /// Returns every point that the model shows to hooks, in the order in which a run passes them.
    pub fn points(&self) -> impl Iterator<Item = HookPoint> {
        (0..self.program.operations.len()).flat_map(|operation| self.program.points_of(operation))
    }

    /// Returns an error if the hooks name a point that the model does not have.
    pub(crate) fn check_points(&self, hooks: &dyn Hooks<F>) -> Result<(), RunError> {
        let known: BTreeSet<HookPoint> = self.points().collect();
        match hooks.points().into_iter().find(|point| !known.contains(point)) {
            Some(point) => Err(RunError::NoSuchPoint { point, layers: self.description.layers.len() }),
            None => Ok(()),
        }
    }
}

/// Returns rows `[b·t, columns]` as `[b, t, columns]`.
pub(super) fn in_sequences<F: Precision>(input: &Input, rows: Array2<F>) -> Array3<F> {
    let ((batch, length), columns) = (input.ids().dim(), rows.ncols());
    rows.into_shape_with_order((batch, length, columns)).expect("one row for each token")
}
