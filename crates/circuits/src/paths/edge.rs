use crate::error::CircuitError;
use crate::metric::Metric;
use crate::pair::Pair;
use crate::parts::{ReadMaps, Reader, Writer, additive, refuse, row_of, writers, writes};
use crate::patching::{Changes, Place, Values};
use crate::runs::{copies, metrics};
use collimate_measure::ensure;
use collimate_transformer::{Capture, Model, Precision, Site};
use ndarray::{Array2, ArrayD, Axis, s};

/// The direct path from a writer to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The part that writes.
    pub writer: Writer,
    /// The part that reads.
    pub reader: Reader,
    /// The position, or none for all positions together.
    pub position: Option<usize>,
}

/// The norm between a writer and a reader when the writer's part of the input changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EdgeNorm {
    /// The norm of the changed input. This is the exact intervention.
    Recomputed,
    /// The norm with the divisor of the corrupt run, so that the change passes as a linear map.
    Frozen,
}

/// The metric of the corrupt run with single edges patched.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EdgePatches {
    /// The norm of the changed inputs.
    pub norm: EdgeNorm,
    /// The metric of the clean run.
    pub clean: f64,
    /// The metric of the corrupt run.
    pub corrupt: f64,
    /// The metric of each patched run, in the order of the edges given.
    pub values: Vec<f64>,
}

/// Patches one edge at a time: in the corrupt run, the reader gets the clean value of the writer. All later parts follow.
///
/// ```text
/// input of v = x_corrupt + (u_clean − u_corrupt)
/// ```
/// Nothing but the reader's own copy of the input changes: other parts that read the same residual stream get the corrupt values.
///
/// # Shapes
/// `batch` runs are computed together, at least 1.
///
/// # Errors
/// [`CircuitError::Architecture`] for a model whose residual stream is no sum of embedding, heads and MLPs; [`CircuitError::Argument`] for
/// an edge whose writer does not write before its reader, or a part or a position that does not exist; the errors of the runs.
///
/// # Examples
/// ```
/// use collimate_circuits::{Answer, Edge, EdgeNorm, Pair, Reader, Writer, patch_edges};
/// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// # let mlp = MlpDescription::new(16, true, Activation::Silu);
/// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// # let mut description = Description::new("toy", 11, 8, 32);
/// # description.layers = vec![layer; 2];
/// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let pair = Pair::new(vec![3, 5, 8], vec![3, 6, 8])?;
/// let answer = Answer::LogitDifference { answer: 1, wrong: 2 };
/// let edge = Edge { writer: Writer::Embedding, reader: Reader::Final, position: Some(1) };
/// let patched = patch_edges(&model, &pair, &answer, &[edge], EdgeNorm::Recomputed, 8)?;
/// // The logits at the last position do not read the final residual stream of another position.
/// assert!((patched.values[0] - patched.corrupt).abs() < 1e-12);
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
pub fn patch_edges<F: Precision>(
    model: &Model<F>,
    pair: &Pair,
    metric: &dyn Metric,
    edges: &[Edge],
    norm: EdgeNorm,
    batch: usize,
) -> Result<EdgePatches, CircuitError> {
    additive(model)?;
    ensure(batch > 0, "batch", "at least 1", 0.0)?;
    let (writers, readers) = (writers(model), Reader::all(model));
    let layers = model.description().layers.len();
    let mut points = Writer::points(layers);
    let mut clean_run = Capture::at(points.clone());
    let clean = metrics(model, &copies(pair.clean(), 1), &mut clean_run, metric)?[0];
    for layer in 0..layers {
        let sites = [
            Site::ResidualPre,
            Site::ResidualMid,
            Site::ResidualPost,
            Site::Query,
            Site::Key,
            Site::Value,
            Site::MlpUp,
            Site::MlpGate,
        ];
        points.extend(
            sites.map(|site| site.of_layer(layer)).into_iter().filter(|point| model.has_point(*point)),
        );
    }
    let mut corrupt_run = Capture::at(points);
    let corrupt = metrics(model, &copies(pair.corrupt(), 1), &mut corrupt_run, metric)?[0];
    let (before, after) = (writes(model, &corrupt_run, 0)?, writes(model, &clean_run, 0)?);
    let differences: Vec<Array2<F>> =
        after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let mut values = Vec::with_capacity(edges.len());
    for some in edges.chunks(batch) {
        let mut changes = Changes::new();
        for (row, edge) in some.iter().enumerate() {
            let index = check(model, &writers, &readers, edge, pair.clean().len())?;
            let mut change = differences[index].clone();
            if let Some(position) = edge.position {
                for (other, mut row) in change.rows_mut().into_iter().enumerate() {
                    if other != position {
                        row.fill(F::zero());
                    }
                }
            }
            let maps = edge.reader.maps(model)?;
            for (place, values) in changed(&maps, &corrupt_run, &change, norm)? {
                changes.add(row, place, Values::Own(values));
            }
        }
        values.extend(metrics(model, &copies(pair.corrupt(), some.len()), &mut changes, metric)?);
    }
    Ok(EdgePatches { norm, clean, corrupt, values })
}

/// Checks an edge, and returns the index of its writer.
fn check<F: Precision>(
    model: &Model<F>,
    writers: &[Writer],
    readers: &[Reader],
    edge: &Edge,
    positions: usize,
) -> Result<usize, CircuitError> {
    let refuse = |reason: &str| CircuitError::Argument(format!("{edge:?}: {reason}"));
    let index = writers.iter().position(|writer| *writer == edge.writer);
    let index = index.ok_or_else(|| refuse("the model has no such writer; layers and heads count from 0"))?;
    if !readers.contains(&edge.reader) {
        return Err(refuse(
            "the model has no such reader; keys and values belong to key heads, counted from 0",
        ));
    }
    if edge.position.is_some_and(|position| position >= positions) {
        return Err(refuse("the prompts have no such position"));
    }
    let (layer, mlp) = edge.reader.place(model);
    if !edge.writer.is_before(model, layer, mlp) {
        return Err(refuse("the writer does not write before the reader reads"));
    }
    Ok(index)
}

/// Returns the activations that a reader computes from a changed input, with the places they belong to.
fn changed<F: Precision>(
    maps: &ReadMaps<F>,
    run: &Capture<F>,
    change: &Array2<F>,
    norm: EdgeNorm,
) -> Result<Vec<(Place, ArrayD<F>)>, CircuitError> {
    let stream = row_of(run.get(maps.stream)?, 0);
    let mut sum = stream.clone();
    sum += change;
    if maps.products.is_empty() {
        let moved = match norm {
            EdgeNorm::Recomputed => sum.insert_axis(Axis(0)).into_dyn(),
            EdgeNorm::Frozen => {
                return Err(CircuitError::Argument(
                    "the final norm reads the whole residual stream; take the recomputed norm for edges into it, or direct logit \
                     attribution, which freezes that norm"
                        .into(),
                ));
            }
        };
        return Ok(vec![(Place::whole(maps.stream), moved)]);
    }
    let products = match norm {
        EdgeNorm::Recomputed => maps.read(&sum)?,
        EdgeNorm::Frozen => {
            let scales = maps.norm.scales(&stream);
            maps.linear(&maps.norm.frozen(change.clone(), &scales))?
        }
    };
    let mut all = Vec::new();
    for (point, product) in maps.points().zip(products) {
        let mut values = run.get(point)?.clone();
        let mut own = match maps.head {
            Some(head) => values.slice_mut(s![0, .., head, ..]).into_dyn(),
            None => values.index_axis_mut(Axis(0), 0),
        };
        match norm {
            EdgeNorm::Recomputed => own.assign(&product),
            EdgeNorm::Frozen => own += &product,
        }
        all.push((Place { head: maps.head, ..Place::whole(point) }, values));
    }
    Ok(all)
}

/// Returns an error for a model whose layers have different numbers of heads.
pub(super) fn heads_of<F: Precision>(model: &Model<F>, keys: bool) -> Result<usize, CircuitError> {
    let count = |layer: &collimate_transformer::LayerDescription| {
        if keys { layer.attention.key_heads } else { layer.attention.heads }
    };
    let layers = &model.description().layers;
    let n = layers.first().map_or(0, count);
    if layers.iter().any(|layer| count(layer) != n) {
        return Err(refuse(
            model,
            "its layers have different numbers of heads, so their values form no rectangle",
        ));
    }
    Ok(n)
}
