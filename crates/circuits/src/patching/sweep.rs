use super::changes::{Changes, Values};
use super::place::{Place, Sweep};
use crate::error::CircuitError;
use crate::metric::Metric;
use crate::pair::Pair;
use crate::parts::row_of;
use crate::runs::{copies, metrics};
use collimate_measure::ensure;
use collimate_transformer::{Capture, Model, Precision, Run, Site};
use ndarray::{ArrayD, Dimension, IxDyn};

/// The run that is changed, and the run that the values come from.
///
/// The two are not negatives of each other: in a circuit that needs two inputs, restoring one does nothing and destroying one does
/// everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The corrupt run gets values of the clean run.
    Denoising,
    /// The clean run gets values of the corrupt run.
    Noising,
}

/// The metric of a run for each place that was patched.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Patched {
    /// The run that was changed.
    pub direction: Direction,
    /// The places.
    pub sweep: Sweep,
    /// The metric of the clean run.
    pub clean: f64,
    /// The metric of the corrupt run.
    pub corrupt: f64,
    /// The metric of each patched run, with the axes of the sweep.
    pub values: ArrayD<f64>,
}

impl Patched {
    /// Computes the share of the difference between the runs that each patch makes: 0 if the patch does nothing, 1 if the changed run
    /// gets the metric of the other run. Shares are not bounded.
    ///
    /// ```text
    /// denoising: (M − M_corrupt)/(M_clean − M_corrupt)      noising: (M − M_clean)/(M_corrupt − M_clean)
    /// ```
    ///
    /// # Errors
    /// [`CircuitError::EqualBaselines`] if the metric is the same in both runs.
    pub fn shares(&self) -> Result<ArrayD<f64>, CircuitError> {
        let (base, source) = match self.direction {
            Direction::Denoising => (self.corrupt, self.clean),
            Direction::Noising => (self.clean, self.corrupt),
        };
        if base == source {
            return Err(CircuitError::EqualBaselines { value: base });
        }
        Ok(self.values.mapv(|value| (value - base) / (source - base)))
    }
}

/// Patches one activation at a time: for each place of the sweep, one run of the pair gets the values of the other run there.
///
/// A patched pattern is not normalised again. A patched query or key goes through the softmax.
///
/// # Shapes
/// `batch` runs are computed together, at least 1. The result has the axes of the sweep.
///
/// # Errors
/// [`CircuitError`] if the pair does not fit the model, or the sweep does not (see [`Sweep::shape`]).
///
/// # Examples
/// ```
/// use collimate_circuits::{Answer, Direction, Pair, Sweep, patch};
/// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// # let mlp = MlpDescription::new(16, true, Activation::Silu);
/// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// # let mut description = Description::new("toy", 11, 8, 32);
/// # description.layers = vec![layer; 2];
/// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let pair = Pair::new(vec![3, 5, 8], vec![3, 6, 8])?;
/// let answer = Answer::LogitDifference { answer: 1, wrong: 2 };
/// let (_, residual) = Sweep::named()[0];
/// let patched = patch(&model, &pair, Direction::Denoising, residual, &answer, 4)?;
/// let shares = patched.shares()?;
/// assert_eq!(shares.shape(), [2, 3]);
/// assert!((shares[[0, 1]] - 1.0).abs() < 1e-12); // the only token that differs
/// assert!(shares[[0, 0]].abs() < 1e-12);
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
pub fn patch<F: Precision>(
    model: &Model<F>,
    pair: &Pair,
    direction: Direction,
    sweep: Sweep,
    metric: &dyn Metric,
    batch: usize,
) -> Result<Patched, CircuitError> {
    let (base, source) = match direction {
        Direction::Denoising => (pair.corrupt(), pair.clean()),
        Direction::Noising => (pair.clean(), pair.corrupt()),
    };
    let shape = sweep.shape(model, base.len())?;
    let mut capture = Capture::at((0..shape[0]).map(|layer| sweep.site.of_layer(layer)));
    let of_source = metrics(model, &copies(source, 1), &mut capture, metric)?[0];
    let of_base = metrics(model, &copies(base, 1), &mut (), metric)?[0];
    let values =
        each(model, base, sweep, &shape, metric, batch, |place| Ok(Values::Of(capture.get(place.point)?)))?;
    let (clean, corrupt) = match direction {
        Direction::Denoising => (of_source, of_base),
        Direction::Noising => (of_base, of_source),
    };
    Ok(Patched { direction, sweep, clean, corrupt, values })
}

/// Computes the metric of a run for each place of a sweep, with the values there replaced. A run starts from the layer of its place.
pub(super) fn each<'a, F: Precision>(
    model: &Model<F>,
    base: &[u32],
    sweep: Sweep,
    shape: &[usize],
    metric: &dyn Metric,
    batch: usize,
    values: impl Fn(&Place) -> Result<Values<'a, F>, CircuitError>,
) -> Result<ArrayD<f64>, CircuitError> {
    ensure(batch > 0, "batch", "at least 1", 0.0)?;
    let mut prefix = Capture::at((0..shape[0]).map(|layer| Site::ResidualPre.of_layer(layer)));
    model.visit(&copies(base, 1), &mut prefix)?;
    let of_layer: Vec<IxDyn> = ndarray::indices(IxDyn(&shape[1..])).into_iter().collect();
    let mut out = Vec::with_capacity(shape[0] * of_layer.len());
    for layer in 0..shape[0] {
        // The layers before this one are the same in all its runs, so each run starts from it.
        let start = row_of(prefix.get(Site::ResidualPre.of_layer(layer))?, 0);
        for some in of_layer.chunks(batch) {
            let mut changes = Changes::new();
            for (row, cell) in some.iter().enumerate() {
                let cell = [&[layer][..], cell.as_array_view().as_slice().expect("one axis")].concat();
                let place = sweep.place(&cell);
                changes.add(row, place, values(&place)?);
            }
            let input = copies(base, some.len());
            let residual = start.broadcast((some.len(), start.nrows(), start.ncols()));
            let run = Run::on(&input);
            let run = run.from_layer(layer, residual.expect("a leading axis can be added"));
            out.extend(metrics(model, run, &mut changes, metric)?);
        }
    }
    Ok(ArrayD::from_shape_vec(IxDyn(shape), out).expect("one value for each cell"))
}
