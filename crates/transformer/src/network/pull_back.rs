//! Gradients of any function of the logits by activations.

use super::Model;
use crate::arrays::Matrix;
use crate::error::RunError;
use crate::hooks::Hooks;
use crate::pass::{Backward, Forward, Input, Keep, Setting};
use crate::precision::Precision;
use crate::site::HookPoint;
use ndarray::{Array3, ArrayD, ArrayViewMutD};
use std::collections::BTreeMap;

/// The logits of a run, and the gradients of a function of them by activations.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PullBack<F> {
    /// The logits `[b, t, v]`.
    pub logits: Array3<F>,
    /// The gradient by each hook point that was asked for and that the function depends on.
    pub by_point: BTreeMap<HookPoint, ArrayD<F>>,
}

impl<F: Precision> Model<F> {
    /// Computes the gradient of a function of the logits by the activations at some points, in a run with hooks.
    ///
    /// `cotangent` is called once with the logits, and returns the gradient of the function by them. A gradient is taken at the values that
    /// the hooks leave, and an edit counts as the addition of a constant. The gradient is exact because the hooks of such a run may change
    /// only activations that the backward pass reads again; the results of heads and the divisors of norms are not among them, and hooks
    /// that want one are refused. Where scores or patterns are read or edited, attention is computed as its definition says, with the
    /// memory of whole patterns.
    ///
    /// # Shapes
    /// Logits and cotangent `[b, t, v]`; the gradients have the shapes of their points.
    ///
    /// # Errors
    /// The errors of [`Model::run`]; [`RunError::NoHead`] for a model without logits; [`RunError::NoGradient`] for a point or a hook at
    /// results of heads or divisors of norms; [`RunError::Shape`] for a cotangent of another shape.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::{Activation, AttentionDescription, Description, Input, LayerDescription, MlpDescription, Model};
    /// use collimate_transformer::{Norm, RngStream, Site};
    /// let mlp = MlpDescription::new(16, true, Activation::Silu);
    /// let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
    /// let mut description = Description::new("toy", 11, 8, 32);
    /// description.layers = vec![layer];
    /// let model = Model::<f64>::random(description, &RngStream::new(1, 0));
    /// let input = Input::new(ndarray::array![[3, 5, 8]]);
    /// let point = Site::Logits.of_layer(0);
    /// let back = model.pull_back(&input, &[point], &mut (), |logits| logits * 2.0)?;
    /// assert_eq!(back.by_point[&point], (&back.logits * 2.0).into_dyn());
    /// # Ok::<(), collimate_transformer::RunError>(())
    /// ```
    pub fn pull_back(
        &self,
        input: &Input,
        points: &[HookPoint],
        hooks: &mut dyn Hooks<F>,
        cotangent: impl FnOnce(&Array3<F>) -> Array3<F>,
    ) -> Result<PullBack<F>, RunError> {
        self.check_points(hooks)?;
        let layers = self.description().layers.len();
        if let Some(&point) = points.iter().find(|point| !self.has_point(**point)) {
            return Err(RunError::NoSuchPoint { point, layers });
        }
        if let Some(point) =
            points.iter().copied().chain(hooks.points()).find(|point| point.site.has_no_gradient())
        {
            return Err(RunError::NoGradient { point });
        }
        let slot = self.program.logits.ok_or(RunError::NoHead)?;
        let setting = Setting::new(
            &self.description,
            &self.program.layout,
            self.weights_of(&self.parameters),
            None,
            input,
            0,
        )?;
        let mut hooks = Outer(hooks);
        let values =
            self.program.forward(Forward::new(&setting, &mut hooks, Keep::Everything), 0..usize::MAX)?;
        let (batch, length) = input.ids().dim();
        let flat = values[slot].as_ref().expect("the pass computed the logits").value.clone();
        let shape = (batch, length, flat.ncols());
        let logits = flat.into_shape_with_order(shape).expect("one row for each token");
        let cotangent = cotangent(&logits);
        if cotangent.dim() != shape {
            let (expected, given) = (logits.shape().to_vec(), cotangent.shape().to_vec());
            return Err(RunError::Shape { argument: "the cotangent", expected, given });
        }
        let cotangent = cotangent.as_standard_layout().into_owned();
        let rows =
            cotangent.into_shape_with_order((batch * length, shape.2)).expect("one row for each token");
        let unwanted = vec![false; self.parameters.len()];
        let mut backward = Backward::new(&setting, values, unwanted, points.iter().copied());
        backward.add_gradient(slot, Matrix::plain(rows));
        self.program.backward(&mut backward)?;
        let held = std::mem::take(&mut backward.held);
        Ok(PullBack {
            logits,
            by_point: held.into_iter().filter_map(|(point, x)| Some((point, x?))).collect(),
        })
    }
}

/// Hooks that are not asked about sites without a gradient.
struct Outer<'a, F>(&'a mut dyn Hooks<F>);

impl<F> Hooks<F> for Outer<'_, F> {
    fn wants(&self, point: HookPoint) -> bool {
        !point.site.has_no_gradient() && self.0.wants(point)
    }

    fn at(&mut self, point: HookPoint, activation: ArrayViewMutD<'_, F>) {
        self.0.at(point, activation);
    }
}
