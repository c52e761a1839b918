//! Forward passes.

use super::Model;
use crate::arrays::Matrix;
use crate::error::RunError;
use crate::hooks::Hooks;
use crate::pass::{Forward, Input, Precision, Setting};
use crate::site::{HookPoint, Site};
use ndarray::{Array2, Array3};

/// The results of a forward pass.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outputs<F> {
    /// The logits `[b, t, v]`, if the model has a head.
    pub logits: Option<Array3<F>>,
    /// The residual stream behind the final norm, `[b, t, d]`.
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
    pub fn run(&self, input: &Input, hooks: &mut dyn Hooks<F>) -> Result<Outputs<F>, RunError> {
        self.check_points(hooks)?;
        let setting =
            Setting::new(&self.description, &self.program.layout, &self.parameters, None, input, 0)?;
        let values = self.program.forward(Forward::new(&setting, hooks, false), usize::MAX)?;
        self.outputs(input, values)
    }

    /// Runs the model up to the final norm, without the head. Returns the residual stream behind that norm, `[b, t, d]`.
    ///
    /// # Errors
    /// The errors of [`Model::run`].
    pub fn hidden(&self, input: &Input, hooks: &mut dyn Hooks<F>) -> Result<Array3<F>, RunError> {
        self.check_points(hooks)?;
        let setting =
            Setting::new(&self.description, &self.program.layout, &self.parameters, None, input, 0)?;
        let last = self.program.writer_of(self.program.hidden);
        let values = self.program.forward(Forward::new(&setting, hooks, false), last)?;
        Ok(self.outputs(input, values)?.hidden)
    }

    /// Takes the outputs out of the activations of a pass.
    fn outputs(&self, input: &Input, mut values: Vec<Option<Matrix<F>>>) -> Result<Outputs<F>, RunError> {
        let (batch, length) = input.ids().dim();
        let mut take = |slot: Option<usize>| slot.and_then(|slot| values[slot].take()).map(|x| x.value);
        let rows = |x: Array2<F>| {
            let columns = x.ncols();
            x.into_shape_with_order((batch, length, columns)).expect("one row for each token")
        };
        let logits = take(self.program.logits).map(rows);
        let (pooled, next_sentence) = (take(self.program.pooled), take(self.program.next_sentence));
        let hidden = take(Some(self.program.hidden)).map(rows).expect("the pass ends behind the final norm");
        Ok(Outputs { logits, hidden, pooled, next_sentence })
    }

    /// Returns true if the model shows this point to hooks.
    pub fn has_point(&self, point: HookPoint) -> bool {
        let d = &self.description;
        let inner = d.layers.get(point.layer).is_some_and(|layer| match point.site {
            Site::Scores | Site::Pattern | Site::HeadResult => true,
            Site::AttentionNormScale => layer.attention_norm.is_some(),
            Site::MlpNormScale => layer.mlp_norm.is_some(),
            _ => false,
        });
        inner
            || (point.site == Site::FinalNormScale && point.layer == 0 && d.final_norm.is_some())
            || self.program.layout.slots.iter().any(|slot| slot.points.contains(&point))
    }

    /// Returns an error if the hooks name a point that the model does not have.
    pub(super) fn check_points(&self, hooks: &dyn Hooks<F>) -> Result<(), RunError> {
        match hooks.points().into_iter().find(|point| !self.has_point(*point)) {
            Some(point) => Err(RunError::NoSuchPoint { point, layers: self.description.layers.len() }),
            None => Ok(()),
        }
    }
}
