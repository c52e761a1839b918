use crate::TransformerError;
use ndarray::{ArrayD, ArrayViewMutD};
use std::collections::BTreeMap;
use std::fmt;

/// An activation of a layer that can be looked at and replaced.
///
/// | site | array | what it is |
/// |---|---|---|
/// | `ResidualPre` | (t, d) | the residual stream as it enters the layer |
/// | `Pattern` | (h, t, s) | the attention pattern after the softmax |
/// | `HeadOutput` | (h, t, e) | per-head z: the pattern applied to the values, before `W_O` |
/// | `AttentionOutput` | (t, d) | what attention adds to the residual stream |
/// | `ResidualMid` | (t, d) | the residual stream between attention and MLP |
/// | `MlpNeurons` | (t, f) | the MLP's hidden activations, gate times up, before its last product |
/// | `MlpOutput` | (t, d) | what the MLP adds to the residual stream |
/// | `ResidualPost` | (t, d) | the residual stream as it leaves the layer |
///
/// A layer passes its sites in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Site {
    /// The residual stream as it enters the layer.
    ResidualPre,
    /// The attention pattern.
    Pattern,
    /// Per-head z.
    HeadOutput,
    /// What attention adds.
    AttentionOutput,
    /// The residual stream between attention and MLP.
    ResidualMid,
    /// The MLP's hidden activations.
    MlpNeurons,
    /// What the MLP adds.
    MlpOutput,
    /// The residual stream as it leaves the layer.
    ResidualPost,
}

impl Site {
    /// All sites in the order in which a layer passes them.
    pub const ALL: [Self; 8] = [
        Self::ResidualPre,
        Self::Pattern,
        Self::HeadOutput,
        Self::AttentionOutput,
        Self::ResidualMid,
        Self::MlpNeurons,
        Self::MlpOutput,
        Self::ResidualPost,
    ];

    /// This site of a layer.
    pub fn of_layer(self, layer: usize) -> HookPoint {
        HookPoint { layer, site: self }
    }
}

/// A site of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookPoint {
    /// The layer, counted from zero.
    pub layer: usize,
    /// The activation.
    pub site: Site,
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of layer {}", self.site, self.layer)
    }
}

/// Something that looks at activations during a run and may change them.
///
/// A run calls [`Hooks::at`] once for each wanted point it passes, in the order of the layers and of [`Site::ALL`];
/// what `at` leaves in the view is what the model goes on with. A hook that leaves NaN or infinity ends the run with an
/// error. A hook that changes nothing changes not one bit of the results.
pub trait Hooks: Send {
    /// Whether `at` is to be called for this point. Asked before the run, and again at each point.
    fn wants(&self, point: HookPoint) -> bool;

    /// Looks at the activation, and changes it or not.
    fn at(&mut self, point: HookPoint, activation: ArrayViewMutD<'_, f32>);
}

/// No hooks.
impl Hooks for () {
    fn wants(&self, _: HookPoint) -> bool {
        false
    }

    fn at(&mut self, _: HookPoint, _: ArrayViewMutD<'_, f32>) {}
}

/// Both, the first one first.
impl<A: Hooks, B: Hooks> Hooks for (A, B) {
    fn wants(&self, point: HookPoint) -> bool {
        self.0.wants(point) || self.1.wants(point)
    }

    fn at(&mut self, point: HookPoint, mut activation: ArrayViewMutD<'_, f32>) {
        if self.0.wants(point) {
            self.0.at(point, activation.view_mut());
        }
        if self.1.wants(point) {
            self.1.at(point, activation);
        }
    }
}

impl<H: Hooks + ?Sized> Hooks for &mut H {
    fn wants(&self, point: HookPoint) -> bool {
        (**self).wants(point)
    }

    fn at(&mut self, point: HookPoint, activation: ArrayViewMutD<'_, f32>) {
        (**self).at(point, activation);
    }
}

/// Copies the activations at some points.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_transformer::{Capture, Config, Decoder, Run, Site};
/// let decoder = Decoder::random(Config::small(), &mut RngStream::new(1, 0))?;
/// let point = Site::Pattern.of_layer(1);
/// let mut capture = Capture::at([point]);
/// decoder.visit(Run::of(&[7, 3, 9]), &mut capture)?;      // stops after layer 1
/// let pattern = capture.take(point)?;
/// assert_eq!(pattern.shape(), [4, 3, 3]);
/// assert_eq!(pattern[[2, 0, 1]], 0.0);                     // the future is masked
/// # Ok::<(), collimate_transformer::TransformerError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Capture {
    held: BTreeMap<HookPoint, Option<ArrayD<f32>>>,
}

impl Capture {
    /// Copies the activations at these points.
    pub fn at(points: impl IntoIterator<Item = HookPoint>) -> Self {
        Self { held: points.into_iter().map(|point| (point, None)).collect() }
    }

    /// The activation at a point, as the last run left it before any later hook.
    ///
    /// # Errors
    /// [`TransformerError::NotCaptured`] when the point was not asked for or not passed.
    pub fn get(&self, point: HookPoint) -> Result<&ArrayD<f32>, TransformerError> {
        self.held.get(&point).and_then(Option::as_ref).ok_or(TransformerError::NotCaptured { point })
    }

    /// As [`Capture::get`], given away.
    ///
    /// # Errors
    /// As [`Capture::get`].
    pub fn take(&mut self, point: HookPoint) -> Result<ArrayD<f32>, TransformerError> {
        self.held.get_mut(&point).and_then(Option::take).ok_or(TransformerError::NotCaptured { point })
    }
}

impl Hooks for Capture {
    fn wants(&self, point: HookPoint) -> bool {
        self.held.contains_key(&point)
    }

    fn at(&mut self, point: HookPoint, activation: ArrayViewMutD<'_, f32>) {
        self.held.insert(point, Some(activation.to_owned()));
    }
}

/// Calls a closure at one point, to change the activation there.
///
/// # Examples
/// Knock out head 2 of layer 0:
/// ```
/// use collimate_stream::RngStream;
/// use collimate_transformer::{Config, Decoder, Edit, Run, Site};
/// use ndarray::Axis;
/// let decoder = Decoder::random(Config::small(), &mut RngStream::new(1, 0))?;
/// let run = Run::of(&[7, 3, 9, 3]);
/// let mut knock_out = Edit::at(Site::HeadOutput.of_layer(0), |mut z| z.index_axis_mut(Axis(0), 2).fill(0.0));
/// let (clean, ablated) = (decoder.losses(run, &mut ())?, decoder.losses(run, &mut knock_out)?);
/// assert!((clean.mean_nll() - ablated.mean_nll()).abs() > 1e-4);
/// # Ok::<(), collimate_transformer::TransformerError>(())
/// ```
pub struct Edit<F> {
    point: HookPoint,
    edit: F,
}

impl<F: FnMut(ArrayViewMutD<'_, f32>) + Send> Edit<F> {
    /// Calls `edit` with the activation at this point.
    pub fn at(point: HookPoint, edit: F) -> Self {
        Self { point, edit }
    }
}

impl<F: FnMut(ArrayViewMutD<'_, f32>) + Send> Hooks for Edit<F> {
    fn wants(&self, point: HookPoint) -> bool {
        point == self.point
    }

    fn at(&mut self, _: HookPoint, activation: ArrayViewMutD<'_, f32>) {
        (self.edit)(activation);
    }
}
