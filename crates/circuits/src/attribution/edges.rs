use super::ends::Ends;
use super::points::{Linearisation, Sign};
use super::slopes::{Slopes, gradient};
use crate::error::CircuitError;
use crate::metric::Metric;
use crate::pair::Pair;
use crate::parts::{ReadMaps, Reader, Writer, additive, row_of, writers, writes};
use collimate_tensor::{Scalar, matmul};
use collimate_transformer::{Capture, HookPoint, Model, Precision, PullBack};
use ndarray::{Array2, Array3, ArrayD, ArrayView2, Axis, s};

/// The estimated effect of each edge from a writer to a reader on a metric, to first order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EdgeAttribution {
    /// The runs at which the gradient was taken.
    pub at: Linearisation,
    /// The difference that was taken.
    pub sign: Sign,
    /// The metric of the clean run.
    pub clean: f64,
    /// The metric of the corrupt run.
    pub corrupt: f64,
    /// The writers.
    pub writers: Vec<Writer>,
    /// The readers.
    pub readers: Vec<Reader>,
    /// True where the writer writes before the reader reads, `[writer, reader]`.
    pub exists: Array2<bool>,
    /// The scores, `[position, writer, reader]`, 0 where there is no edge.
    pub scores: Array3<f64>,
}

impl EdgeAttribution {
    /// Returns the edges with their scores, `(position, writer, reader, score)` with indices into the lists: by position, then in the
    /// order of the readers, then in that of the writers.
    pub fn edges(&self) -> impl Iterator<Item = (usize, usize, usize, f64)> {
        let (positions, n_writers, n_readers) = self.scores.dim();
        let all = (0..positions).flat_map(move |p| (0..n_readers).map(move |r| (p, r)));
        all.flat_map(move |(p, r)| (0..n_writers).map(move |w| (p, w, r)))
            .filter(|&(_, w, r)| self.exists[[w, r]])
            .map(|(p, w, r)| (p, w, r, self.scores[[p, w, r]]))
    }

    /// Computes the sum of the scores of the edges of each writer, `[position, writer]`. It is the node attribution of the writer.
    pub fn writer_sums(&self) -> Array2<f64> {
        self.scores.sum_axis(Axis(2))
    }
}

/// Computes difference · gradient for every edge from a writer to a reader at every position (edge attribution patching).
///
/// ```text
/// a(u → v) = (u_clean − u_corrupt) · ∂M/∂(input of v)
/// ```
/// The input of a reader is its own copy of the residual stream before the norm, so the derivative of the norm is in the gradient. Under
/// grouped heads, keys and values are readers of key heads. With [`Linearisation::Integrated`] the gradient is averaged over runs between
/// the corrupt and the clean embedding (EAP-IG).
///
/// # Errors
/// [`CircuitError::Architecture`] for a model whose residual stream is no sum of embedding, heads and MLPs; the errors of the runs.
///
/// # Examples
/// ```
/// use collimate_circuits::{Answer, Linearisation, Pair, Quadrature, Sign, attribute_edges};
/// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// # let mlp = MlpDescription::new(16, true, Activation::Silu);
/// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// # let mut description = Description::new("toy", 11, 8, 32);
/// # description.layers = vec![layer; 2];
/// # description.final_norm = Some(Norm::root_mean_square(1e-5));
/// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let pair = Pair::new(vec![3, 5, 8], vec![3, 6, 8])?;
/// let answer = Answer::LogitDifference { answer: 1, wrong: 2 };
/// let at = Linearisation::Integrated { rule: Quadrature::Midpoint, points: 50 };
/// let edges = attribute_edges(&model, &pair, &answer, at, Sign::CleanMinusCorrupt, 25)?;
/// // The edges of the embedding add up to the difference of the metric, in the limit of many points.
/// let sum = edges.writer_sums().column(0).sum();
/// assert!((sum - (edges.clean - edges.corrupt)).abs() < 1e-3 * sum.abs());
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
pub fn attribute_edges<F: Precision>(
    model: &Model<F>,
    pair: &Pair,
    metric: &dyn Metric,
    at: Linearisation,
    sign: Sign,
    batch: usize,
) -> Result<EdgeAttribution, CircuitError> {
    additive(model)?;
    let Ends { before, after, clean, corrupt } = Ends::of(model, pair, metric)?;
    let [before, after] = [writes(model, &before, 0)?, writes(model, &after, 0)?];
    let (writers, readers) = (writers(model), Reader::all(model));
    let maps: Vec<ReadMaps<F>> = readers.iter().map(|reader| reader.maps(model)).collect::<Result<_, _>>()?;
    let (positions, width) = before[0].dim();
    let mut slope = Array3::<F>::zeros((positions, readers.len(), width));
    let (by, read) = points_of(&maps);
    let slopes = Slopes { pair, metric, at, batch };
    let runs = slopes.each(model, [&before[0], &after[0]], &by, &read, |back, capture, rows| {
        for (index, maps) in maps.iter().enumerate() {
            for row in 0..rows {
                let mut sum = slope.slice_mut(s![.., index, ..]);
                sum += &reader_gradient(maps, back, capture, row)?;
            }
        }
        Ok(())
    })?;
    let factor = sign.factor(runs);
    let exists = Array2::from_shape_fn((writers.len(), readers.len()), |(w, r)| {
        let (layer, mlp) = readers[r].place(model);
        writers[w].is_before(model, layer, mlp)
    });
    let mut scores = Array3::zeros((positions, writers.len(), readers.len()));
    for (position, mut scores) in scores.outer_iter_mut().enumerate() {
        let difference = Array2::from_shape_fn((writers.len(), width), |(w, c)| {
            after[w][[position, c]] - before[w][[position, c]]
        });
        let products = matmul(&difference, &slope.index_axis(Axis(0), position).t())?;
        for ((place, score), &product) in scores.indexed_iter_mut().zip(&products) {
            *score = if exists[place] { factor * Scalar::to_f64(product) } else { 0.0 };
        }
    }
    Ok(EdgeAttribution { at, sign, clean, corrupt, writers, readers, exists, scores })
}

/// Returns the points whose gradients the readers need, and the streams that they read.
fn points_of<F: Precision>(maps: &[ReadMaps<F>]) -> (Vec<HookPoint>, Vec<HookPoint>) {
    let mut by: Vec<HookPoint> = maps.iter().flat_map(ReadMaps::points).collect();
    let mut read: Vec<HookPoint> = maps.iter().map(|maps| maps.stream).collect();
    // The final norm reads the last residual stream alone, so its gradient is taken there.
    by.extend(maps.iter().filter(|maps| maps.products.is_empty()).map(|maps| maps.stream));
    by.sort();
    by.dedup();
    read.sort();
    read.dedup();
    (by, read)
}

/// Computes the gradient of the metric by the input of a reader, `[t, d]`, in one row of a batch.
fn reader_gradient<F: Precision>(
    maps: &ReadMaps<F>,
    back: &PullBack<F>,
    capture: &Capture<F>,
    row: usize,
) -> Result<Array2<F>, CircuitError> {
    if maps.products.is_empty() {
        return Ok(row_of(gradient(back, maps.stream)?, row));
    }
    let x = row_of(capture.get(maps.stream)?, row);
    let gradients: Vec<ArrayView2<'_, F>> = maps
        .points()
        .map(|point| Ok(part(gradient(back, point)?, row, maps.head)))
        .collect::<Result<_, CircuitError>>()?;
    maps.pull_back(&x, &gradients)
}

/// Returns the rows `[t, n]` of one sequence, of one head where the array has heads.
fn part<F>(x: &ArrayD<F>, row: usize, head: Option<usize>) -> ArrayView2<'_, F> {
    let x = x.index_axis(Axis(0), row);
    let x = match head {
        Some(head) => x.index_axis_move(Axis(1), head),
        None => x,
    };
    x.into_dimensionality().expect("positions and columns")
}
