use super::edge::{Edge, EdgeNorm, heads_of, patch_edges};
use crate::error::CircuitError;
use crate::metric::Metric;
use crate::pair::Pair;
use crate::parts::{Projection, Reader, Writer};
use collimate_transformer::{Model, Precision};
use ndarray::Array4;

/// The metric of the corrupt run with the direct path from each head to each later head patched.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DirectPaths {
    /// The projection that reads.
    pub projection: Projection,
    /// The norm of the changed inputs.
    pub norm: EdgeNorm,
    /// The metric of the clean run.
    pub clean: f64,
    /// The metric of the corrupt run.
    pub corrupt: f64,
    /// The metric of each patched run, `[source layer, source head, target layer, target head]`; 0 where there is no path. Heads that
    /// read keys and values are key heads.
    pub values: Array4<f64>,
}

/// Patches the direct path from every head to one projection of every head of a later layer, at all positions together.
///
/// # Errors
/// As [`crate::patch_edges`]; [`CircuitError::Architecture`] if layers have different numbers of heads.
///
/// # Examples
/// ```
/// use collimate_circuits::{Answer, EdgeNorm, Pair, Projection, direct_paths};
/// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// # let mlp = MlpDescription::new(16, true, Activation::Silu);
/// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// # let mut description = Description::new("toy", 11, 8, 32);
/// # description.layers = vec![layer; 2];
/// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let pair = Pair::new(vec![3, 5, 8], vec![3, 6, 8])?;
/// let answer = Answer::LogitDifference { answer: 1, wrong: 2 };
/// let paths = direct_paths(&model, &pair, &answer, Projection::Key, EdgeNorm::Recomputed, 8)?;
/// assert_eq!(paths.values.dim(), (2, 2, 2, 1)); // two heads read one key head
/// assert_eq!(paths.values[[1, 0, 1, 0]], 0.0); // no head reads its own layer
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
pub fn direct_paths<F: Precision>(
    model: &Model<F>,
    pair: &Pair,
    metric: &dyn Metric,
    into: Projection,
    norm: EdgeNorm,
    batch: usize,
) -> Result<DirectPaths, CircuitError> {
    let layers = model.description().layers.len();
    let (sources, targets) = (heads_of(model, false)?, heads_of(model, into != Projection::Query)?);
    let shape = (layers, sources, layers, targets);
    let places: Vec<(usize, usize, usize, usize)> =
        ndarray::indices(shape).into_iter().filter(|(source, _, target, _)| source < target).collect();
    let edges: Vec<Edge> = places
        .iter()
        .map(|&(source, head, layer, reader)| Edge {
            writer: Writer::Head { layer: source, head },
            reader: Reader::Head { layer, projection: into, head: reader },
            position: None,
        })
        .collect();
    let patched = patch_edges(model, pair, metric, &edges, norm, batch)?;
    let mut values = Array4::zeros(shape);
    for (place, value) in places.into_iter().zip(&patched.values) {
        values[place] = *value;
    }
    Ok(DirectPaths { projection: into, norm, clean: patched.clean, corrupt: patched.corrupt, values })
}
