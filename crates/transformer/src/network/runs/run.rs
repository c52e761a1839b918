use crate::error::{RunError, check_finite};
use crate::pass::Input;
use crate::precision::Precision;
use ndarray::{ArrayD, ArrayView2, ArrayView3, Axis, IxDyn};
use std::borrow::Cow;

/// The input of a pass: a batch of tokens, and the layer to start from.
///
/// # Examples
/// A changed residual stream enters layer 2, and only the layers from there on run:
/// ```
/// use collimate_transformer::{Description, Model, RngStream, Run};
/// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
/// let run = Run::of(&[7, 3, 9]);
/// let residual = model.residual(&run, 2, &mut ())?; // [1, 3, 32]: what enters layer 2
/// let again = model.logits(&run.from_layer(2, residual.view()), &mut ())?;
/// assert_eq!(again, model.logits(&run, &mut ())?); // bit for bit
/// # Ok::<(), collimate_transformer::TransformerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Run<'a, F = f32> {
    input: Cow<'a, Input>,
    start: Option<(usize, ArrayView3<'a, F>)>,
}

impl<F> Run<'static, F> {
    /// Returns a run from the first layer, on one sequence of tokens.
    pub fn of(tokens: &[u32]) -> Self {
        Self { input: Cow::Owned(Input::of(tokens)), start: None }
    }
}

impl<'a, F: Precision> Run<'a, F> {
    /// Returns a run from the first layer, on a batch.
    pub fn on(input: &'a Input) -> Self {
        Self { input: Cow::Borrowed(input), start: None }
    }

    /// Returns this run from the layer `layer` on, which receives `residual` `[b, t, d]`. 0 is the first layer; the number of layers
    /// stands for the final norm.
    ///
    /// The tokens are still the targets of the predictions.
    #[must_use]
    pub fn from_layer<'b>(&'b self, layer: usize, residual: ArrayView3<'b, F>) -> Run<'b, F> {
        Run { input: Cow::Borrowed(&self.input), start: Some((layer, residual)) }
    }

    /// Returns this run of one sequence from a layer on, which receives the rows `[t, d]`.
    #[must_use]
    pub fn from_layer_rows<'b>(&'b self, layer: usize, rows: ArrayView2<'b, F>) -> Run<'b, F> {
        self.from_layer(layer, rows.insert_axis(Axis(0)))
    }

    /// Returns the batch.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Returns the layer from which the run starts.
    pub(super) fn first_layer(&self) -> usize {
        self.start.map_or(0, |(layer, _)| layer)
    }

    /// Returns the residual stream that enters the first layer of the run as `[b, t, d]`, if it is given. Its shape is checked.
    pub(super) fn residual(
        &self,
        width: usize,
        layers: usize,
    ) -> Result<Option<(usize, ArrayD<F>)>, RunError> {
        let Some((layer, residual)) = self.start else { return Ok(None) };
        if layer > layers {
            return Err(RunError::Layer { given: layer, first: 0, last: layers });
        }
        let (batch, length) = self.input.ids().dim();
        let expected = vec![batch, length, width];
        if residual.shape() != expected {
            let given = residual.shape().to_vec();
            return Err(RunError::Shape { argument: "the residual stream", expected, given });
        }
        check_finite(|| "the residual stream".into(), residual.iter())?;
        // Rows are handed to kernels as slices, so the layout is the standard one whatever the strides of the view.
        let residual = residual.as_standard_layout().into_owned();
        Ok(Some((layer, residual.into_shape_with_order(IxDyn(&expected)).expect("the same shape"))))
    }
}

impl<'a, F: Precision> From<&'a Input> for Run<'a, F> {
    fn from(input: &'a Input) -> Self {
        Self::on(input)
    }
}

impl<'a, F: Precision> From<&'a Run<'_, F>> for Run<'a, F> {
    fn from(run: &'a Run<'_, F>) -> Self {
        Run {
            input: Cow::Borrowed(&run.input),
            start: run.start.as_ref().map(|(layer, x)| (*layer, x.view())),
        }
    }
}
