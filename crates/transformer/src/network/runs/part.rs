//! Passes over some of the layers, and over some of the positions of the head.

use super::run::Run;
use super::whole::in_sequences;
use crate::error::{RunError, check_finite};
use crate::hooks::Hooks;
use crate::network::Model;
use crate::pass::{Forward, Input, Keep, Setting};
use crate::precision::Precision;
#[cfg(doc)]
use crate::site::Site;
use ndarray::{Array2, Array3, ArrayView2, Axis};

impl<F: Precision> Model<F> {
    /// Computes the residual stream `[b, t, d]` that enters layer `layer`. The number of layers stands for the final norm.
    ///
    /// # Errors
    /// The errors of [`Model::run`]; [`RunError::Layer`] if `layer` lies before the start of the run or after the last layer.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Description, Model, RngStream, Run};
    /// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
    /// let residual = model.residual(&Run::of(&[7, 3]), 0, &mut ())?;
    /// assert_eq!(residual[[0, 1, 5]], model.embedding()[[3, 5]]);
    /// # Ok::<(), collimate_transformer::TransformerError>(())
    /// ```
    pub fn residual<'a>(
        &self,
        run: impl Into<Run<'a, F>>,
        layer: usize,
        hooks: &mut dyn Hooks<F>,
    ) -> Result<Array3<F>, RunError> {
        let run = run.into();
        let (first, last) = (run.first_layer(), self.description.layers.len());
        if layer < first || layer > last {
            return Err(RunError::Layer { given: layer, first, last });
        }
        let slot = self.program.residuals[layer];
        let end = self.program.writer_of(slot) + 1;
        let mut values = self.values(&run, hooks, end)?;
        Ok(in_sequences(run.input(), values[slot].take().expect("the pass ends with this slot").value))
    }

    /// Runs the model up to the last point at which the hooks want an activation, and returns nothing.
    ///
    /// # Errors
    /// The errors of [`Model::run`].
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Capture, Description, Model, RngStream, Run, Site};
    /// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
    /// let point = Site::Pattern.of_layer(1);
    /// let mut capture = Capture::at([point]);
    /// model.visit(&Run::of(&[7, 3, 9]), &mut capture)?; // stops in layer 1
    /// let pattern = capture.take(point)?; // [b, h, t, s]
    /// assert_eq!((pattern.shape(), pattern[[0, 2, 0, 1]]), (&[1, 4, 3, 3][..], 0.0)); // the future is masked
    /// # Ok::<(), collimate_transformer::TransformerError>(())
    /// ```
    pub fn visit<'a>(&self, run: impl Into<Run<'a, F>>, hooks: &mut dyn Hooks<F>) -> Result<(), RunError> {
        let wanted = |operation: &usize| {
            self.program.points_of(*operation).into_iter().any(|point| hooks.wants(point))
        };
        let last = (0..self.program.operations.len()).rev().find(wanted);
        self.values(&run.into(), hooks, last.map_or(0, |last| last + 1)).map(drop)
    }

    /// Computes the logits `[b, v]` of the last position of each sequence that is not padding: the prediction of the next token.
    ///
    /// # Errors
    /// The errors of [`Model::logits`].
    pub fn last_logits<'a>(
        &self,
        run: impl Into<Run<'a, F>>,
        hooks: &mut dyn Hooks<F>,
    ) -> Result<Array2<F>, RunError> {
        let run = run.into();
        let (_, length) = run.input().ids().dim();
        let last = |b: usize| {
            let real = |t: &usize| run.input().mask().is_none_or(|mask| mask[[b, *t]]);
            b * length + (0..length).rev().find(real).unwrap_or(length - 1)
        };
        let hidden = self.before_head(&run, hooks)?;
        let rows: Vec<usize> = (0..hidden.dim().0).map(last).collect();
        let (count, width) = (hidden.dim().0 * length, hidden.dim().2);
        let hidden = hidden.into_shape_with_order((count, width)).expect("one row for each token");
        self.unembed(hidden.select(Axis(0), &rows).view())
    }

    /// Runs the model up to the head, and checks that there is one.
    pub(super) fn before_head(
        &self,
        run: &Run<'_, F>,
        hooks: &mut dyn Hooks<F>,
    ) -> Result<Array3<F>, RunError> {
        self.program.logits.ok_or(RunError::NoHead)?;
        self.hidden(run, hooks)
    }

    /// Computes the logits `[n, v]` of rows `[n, w]` of the residual stream after the final norm ([`Site::FinalHidden`]).
    ///
    /// # Errors
    /// [`RunError::NoHead`] for a model without logits; [`RunError::Shape`] for rows of another width; [`RunError::NonFinite`] for rows or
    /// logits that are not finite.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Description, Model, RngStream, Run};
    /// let model = Model::<f64>::random(Description::small(), &RngStream::new(1, 0));
    /// let outputs = model.run(&Run::of(&[7, 3]), &mut ())?;
    /// let rows = outputs.hidden.index_axis(ndarray::Axis(0), 0);
    /// let difference = &model.unembed(rows)? - &outputs.logits.unwrap().index_axis(ndarray::Axis(0), 0);
    /// assert!(difference.iter().all(|x| x.abs() < 1e-12));
    /// # Ok::<(), collimate_transformer::TransformerError>(())
    /// ```
    pub fn unembed(&self, hidden: ArrayView2<'_, F>) -> Result<Array2<F>, RunError> {
        let slot = self.program.logits.ok_or(RunError::NoHead)?;
        let width = self.description.embedding.projected_from.unwrap_or(self.description.width);
        if hidden.ncols() != width {
            let (expected, given) = (vec![hidden.nrows(), width], hidden.shape().to_vec());
            return Err(RunError::Shape { argument: "the rows", expected, given });
        }
        check_finite(|| "the rows".into(), hidden.iter())?;
        // The head reads one row for each position, so any rows will do; their tokens are not read.
        let input = Input::new(Array2::zeros((hidden.nrows(), 1)));
        let setting = Setting::new(&self.description, &self.program.layout, self.weights(), None, &input, 0)?;
        let mut none = ();
        let mut pass = Forward::new(&setting, &mut none, Keep::Nothing);
        pass.enter(self.program.hidden, hidden.as_standard_layout().into_owned(), None)?;
        let first = self.program.writer_of(self.program.hidden) + 1;
        let mut values = self.program.forward(pass, first..usize::MAX)?;
        Ok(values[slot].take().expect("the pass computed the logits").value)
    }
}
