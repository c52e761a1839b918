use super::ends::Ends;
use super::points::{Linearisation, Sign};
use super::slopes::{Slopes, gradient};
use crate::error::CircuitError;
use crate::metric::Metric;
use crate::pair::Pair;
use crate::parts::{Writer, refuse, row_of};
use collimate_tensor::Scalar;
use collimate_transformer::{HookPoint, Model, Precision, Site};
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, Zip, s};

/// The estimated effect of each part of a model on a metric, to first order.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NodeAttribution {
    /// The runs at which the gradient was taken.
    pub at: Linearisation,
    /// The difference that was taken.
    pub sign: Sign,
    /// The metric of the clean run.
    pub clean: f64,
    /// The metric of the corrupt run.
    pub corrupt: f64,
    /// The embedding, `[position]`.
    pub embedding: Array1<f64>,
    /// The heads, `[layer, position, head]`.
    pub heads: Array3<f64>,
    /// The MLPs, `[layer, position]`.
    pub mlps: Array2<f64>,
}

/// Computes difference · gradient for the embedding, every head and every MLP at every position.
///
/// ```text
/// a = (v_clean − v_corrupt) · ∂M/∂v        or its negative, with ∂M/∂v at the runs of `at`
/// ```
///
/// # Errors
/// [`CircuitError`] if the pair or the metric does not fit the model, or its layers have different numbers of heads.
///
/// # Examples
/// ```
/// use collimate_circuits::{Answer, Linearisation, Pair, Sign, attribute_nodes};
/// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// # let mlp = MlpDescription::new(16, true, Activation::Silu);
/// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// # let mut description = Description::new("toy", 11, 8, 32);
/// # description.layers = vec![layer; 2];
/// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let pair = Pair::new(vec![3, 5, 8], vec![3, 6, 8])?;
/// let answer = Answer::LogitDifference { answer: 1, wrong: 2 };
/// let nodes = attribute_nodes(&model, &pair, &answer, Linearisation::AtCorrupt, Sign::CleanMinusCorrupt, 8)?;
/// assert_eq!(nodes.heads.dim(), (2, 3, 2));
/// assert_eq!(nodes.embedding[0], 0.0); // the first tokens are equal
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
pub fn attribute_nodes<F: Precision>(
    model: &Model<F>,
    pair: &Pair,
    metric: &dyn Metric,
    at: Linearisation,
    sign: Sign,
    batch: usize,
) -> Result<NodeAttribution, CircuitError> {
    let layers = model.description().layers.len();
    let points = Writer::points(layers);
    let Ends { before, after, clean, corrupt } = Ends::of(model, pair, metric)?;
    let start = Site::Embedding.of_layer(0);
    let embeddings = [row_of(before.get(start)?, 0), row_of(after.get(start)?, 0)];
    let slopes = Slopes { pair, metric, at, batch };
    let mut sums: Vec<Option<ArrayD<F>>> = vec![None; points.len()];
    let runs = slopes.each(model, embeddings.each_ref(), &points, &[], |back, _, _| {
        for (sum, &point) in sums.iter_mut().zip(&points) {
            let one = gradient(back, point)?.sum_axis(Axis(0));
            *sum = Some(match sum.take() {
                Some(sum) => sum + one,
                None => one,
            });
        }
        Ok(())
    })?;
    let factor = sign.factor(runs);
    let score = |point: HookPoint| -> Result<ArrayD<f64>, CircuitError> {
        let index = points.iter().position(|other| *other == point).expect("the points of all writers");
        let slope = sums[index].as_ref().expect("at least one run");
        let [before, after] = [before.get(point)?, after.get(point)?].map(|x| x.index_axis(Axis(0), 0));
        let mut products = ArrayD::<f64>::zeros(slope.raw_dim());
        Zip::from(&mut products).and(slope).and(&before).and(&after).for_each(
            |out, &slope, &before, &after| {
                *out = factor * Scalar::to_f64(slope) * (Scalar::to_f64(after) - Scalar::to_f64(before));
            },
        );
        Ok(products.sum_axis(Axis(products.ndim() - 1)))
    };
    let positions = pair.clean().len();
    let count = model.description().layers.first().map_or(0, |layer| layer.attention.heads);
    let mut heads = Array3::zeros((layers, positions, count));
    let mut mlps = Array2::zeros((layers, positions));
    for layer in 0..layers {
        let of_heads = score(Site::HeadOutput.of_layer(layer))?;
        if of_heads.shape() != [positions, count] {
            return Err(refuse(
                model,
                "its layers have different numbers of heads, so their values form no rectangle",
            ));
        }
        heads.slice_mut(s![layer, .., ..]).assign(&of_heads);
        mlps.row_mut(layer).assign(&score(Site::MlpAdded.of_layer(layer))?);
    }
    let embedding = score(start)?.into_dimensionality().expect("one value for each position");
    Ok(NodeAttribution { at, sign, clean, corrupt, embedding, heads, mlps })
}
