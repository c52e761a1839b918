use crate::error::RunError;
use crate::site::HookPoint;
use ndarray::{ArrayD, ArrayViewMutD};
use std::collections::BTreeMap;

/// A reader or an editor of the activations of a run.
///
/// A run calls [`Hooks::at`] once for each wanted point that it passes, in the order of the layers and of
/// [`Site::every`](crate::Site::every). The model goes on with the values that `at` leaves in the view. A hook that leaves NaN or infinity
/// ends the run with an error, and so do finite values that overflow later. A hook that changes nothing changes no bit of the results.
pub trait Hooks<F = f32>: Send {
    /// Returns true if `at` is to be called for this point. It is called before the run, and again at each point.
    fn wants(&self, point: HookPoint) -> bool;

    /// Returns the points that the hooks name one by one. A run of a model without one of them is an error, because the hook would
    /// never be called. Hooks that choose their points by a rule name none, which is the default.
    fn points(&self) -> Vec<HookPoint> {
        Vec::new()
    }

    /// Reads the activation, and may change it.
    fn at(&mut self, point: HookPoint, activation: ArrayViewMutD<'_, F>);
}

/// No hooks.
impl<F> Hooks<F> for () {
    fn wants(&self, _: HookPoint) -> bool {
        false
    }

    fn at(&mut self, _: HookPoint, _: ArrayViewMutD<'_, F>) {}
}

/// Both hooks, the first one first.
impl<F, A: Hooks<F>, B: Hooks<F>> Hooks<F> for (A, B) {
    fn wants(&self, point: HookPoint) -> bool {
        self.0.wants(point) || self.1.wants(point)
    }

    fn points(&self) -> Vec<HookPoint> {
        [self.0.points(), self.1.points()].concat()
    }

    fn at(&mut self, point: HookPoint, mut activation: ArrayViewMutD<'_, F>) {
        if self.0.wants(point) {
            self.0.at(point, activation.view_mut());
        }
        if self.1.wants(point) {
            self.1.at(point, activation);
        }
    }
}

impl<F, H: Hooks<F> + ?Sized> Hooks<F> for &mut H {
    fn wants(&self, point: HookPoint) -> bool {
        (**self).wants(point)
    }

    fn points(&self) -> Vec<HookPoint> {
        (**self).points()
    }

    fn at(&mut self, point: HookPoint, activation: ArrayViewMutD<'_, F>) {
        (**self).at(point, activation);
    }
}

/// Hooks that copy the activations at some points.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_transformer::{Capture, Description, Model, Run, Site};
/// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
/// let point = Site::Pattern.of_layer(1);
/// let mut capture = Capture::at([point]);
/// model.visit(&Run::of(&[7, 3, 9]), &mut capture)?; // stops in layer 1
/// let pattern = capture.take(point)?;
/// assert_eq!(pattern.shape(), [1, 4, 3, 3]);
/// assert_eq!(pattern[[0, 2, 0, 1]], 0.0); // the future is masked
/// # Ok::<(), collimate_transformer::TransformerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Capture<F = f32> {
    held: BTreeMap<HookPoint, Option<ArrayD<F>>>,
}

impl<F> Capture<F> {
    /// Makes a capture of the activations at these points.
    pub fn at(points: impl IntoIterator<Item = HookPoint>) -> Self {
        Self { held: points.into_iter().map(|point| (point, None)).collect() }
    }

    /// Returns the activation at a point in the last run, before any later hook changed it.
    ///
    /// # Errors
    /// [`RunError::NotCaptured`] when the point was not asked for or not passed.
    pub fn get(&self, point: HookPoint) -> Result<&ArrayD<F>, RunError> {
        self.held.get(&point).and_then(Option::as_ref).ok_or(RunError::NotCaptured { point })
    }

    /// Takes the activation at a point: like [`Capture::get`], but moves the array out.
    ///
    /// # Errors
    /// As [`Capture::get`].
    pub fn take(&mut self, point: HookPoint) -> Result<ArrayD<F>, RunError> {
        self.held.get_mut(&point).and_then(Option::take).ok_or(RunError::NotCaptured { point })
    }
}

impl<F: Clone + Send> Hooks<F> for Capture<F> {
    fn wants(&self, point: HookPoint) -> bool {
        self.held.contains_key(&point)
    }

    fn points(&self) -> Vec<HookPoint> {
        self.held.keys().copied().collect()
    }

    fn at(&mut self, point: HookPoint, activation: ArrayViewMutD<'_, F>) {
        self.held.insert(point, Some(activation.to_owned()));
    }
}

/// Hooks that call a closure at one point, to change the activation there.
///
/// # Examples
/// Knock out head 2 of layer 0:
/// ```
/// use collimate_stream::RngStream;
/// use collimate_transformer::{Description, Edit, Model, Run, Site};
/// use ndarray::{Axis, ArrayViewMutD};
/// let model = Model::<f32>::random(Description::small(), &RngStream::new(1, 0));
/// let run = Run::of(&[7, 3, 9, 3]);
/// let point = Site::HeadOutput.of_layer(0); // [b, t, h, e]
/// let mut knock_out = Edit::at(point, |mut z: ArrayViewMutD<'_, f32>| z.index_axis_mut(Axis(2), 2).fill(0.0));
/// let (clean, ablated) = (model.losses(&run, &mut ())?, model.losses(&run, &mut knock_out)?);
/// assert!((clean[0].mean_nll() - ablated[0].mean_nll()).abs() > 1e-5);
/// # Ok::<(), collimate_transformer::TransformerError>(())
/// ```
pub struct Edit<F> {
    point: HookPoint,
    edit: F,
}

impl<F: FnMut(ArrayViewMutD<'_, f32>) + Send> Edit<F> {
    /// Makes hooks that call `edit` with the activation at this point.
    pub fn at(point: HookPoint, edit: F) -> Self {
        Self { point, edit }
    }
}

impl<E: FnMut(ArrayViewMutD<'_, f64>) + Send> Edit<E> {
    /// Makes hooks of a model in f64 that call `edit` with the activation at this point.
    pub fn at_f64(point: HookPoint, edit: E) -> Self {
        Self { point, edit }
    }
}

impl<F, E: FnMut(ArrayViewMutD<'_, F>) + Send> Hooks<F> for Edit<E> {
    fn wants(&self, point: HookPoint) -> bool {
        point == self.point
    }

    fn points(&self) -> Vec<HookPoint> {
        vec![self.point]
    }

    fn at(&mut self, _: HookPoint, activation: ArrayViewMutD<'_, F>) {
        (self.edit)(activation);
    }
}
