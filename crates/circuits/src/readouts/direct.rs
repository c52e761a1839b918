use super::lens::LensEntry;
use crate::error::CircuitError;
use crate::parts::{Unembed, Writer, additive, head_writes, refuse, row_of};
use crate::runs::copies;
use collimate_tensor::{Scalar, matmul};
use collimate_transformer::{Capture, Model, ParameterName, Part, Precision, Site};
use ndarray::{Array1, Array2, ArrayRef2, Axis, Ix3, s};

/// The part that the biases of the values are credited to.
///
/// A pattern sums to 1, so a bias of the values passes attention unchanged, and so does the bias of the norm before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueBiases {
    /// The heads: a head is credited with all that it adds.
    Heads,
    /// The bias of the output: a head is credited with P(v − b_V), as after folding.
    OutputBias,
}

/// The share of each part of a model in a difference of two logits at the last position.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DirectAttribution {
    /// The components in order: the embedding, the positions where they are added to it, and attention and MLP of each layer.
    pub components: Vec<(String, f64)>,
    /// Each residual stream, with all that was written before: cumulative, not additive.
    pub streams: Vec<(LensEntry, f64)>,
    /// Each head, `[layer, head]`.
    pub heads: Array2<f64>,
    /// The share of everything but the heads.
    pub remainder: f64,
    /// The share of the bias of the final norm and of the head.
    pub constant: f64,
    /// The difference of the logits before a softcap. The components and the constant add up to it.
    pub difference: f64,
}

/// Computes how much each part of a model adds to `logit[answer] − logit[wrong]` at the last position, with the divisor of the final norm
/// held at its value in the run.
///
/// ```text
/// share of c = c · (w ∘ (U_answer − U_wrong)) / s        (c is centred where the norm subtracts the mean)
/// ```
///
/// # Errors
/// [`CircuitError::Architecture`] for a model whose residual stream is no sum of its parts, or whose head is no product; with
/// [`ValueBiases::OutputBias`] also for sinks or differential attention, whose patterns do not sum to 1; the errors of a run.
///
/// # Examples
/// ```
/// use collimate_circuits::{ValueBiases, direct_attribution};
/// # use collimate_transformer::{Activation, AttentionDescription, Description, LayerDescription, MlpDescription, Model, Norm, RngStream};
/// # let mlp = MlpDescription::new(16, true, Activation::Silu);
/// # let layer = LayerDescription::new(AttentionDescription::new(2, 1, 4), mlp, Norm::root_mean_square(1e-5));
/// # let mut description = Description::new("toy", 11, 8, 32);
/// # description.layers = vec![layer; 2];
/// # let model = Model::<f64>::random(description, &RngStream::new(1, 0));
/// let direct = direct_attribution(&model, &[3, 5, 8], 1, 2, ValueBiases::Heads)?;
/// let sum: f64 = direct.components.iter().map(|(_, share)| share).sum();
/// assert!((sum + direct.constant - direct.difference).abs() < 1e-12);
/// # Ok::<(), collimate_circuits::CircuitError>(())
/// ```
pub fn direct_attribution<F: Precision>(
    model: &Model<F>,
    ids: &[u32],
    answer: u32,
    wrong: u32,
    biases: ValueBiases,
) -> Result<DirectAttribution, CircuitError> {
    additive(model)?;
    let d = model.description();
    let layers = d.layers.len();
    for id in [answer, wrong] {
        if id as usize >= d.vocabulary {
            return Err(CircuitError::Argument(format!(
                "the token {id} is not in the vocabulary of {}; give the id of a token of this model",
                d.vocabulary
            )));
        }
    }
    let head = Unembed::new(model)?;
    let entries = LensEntry::all(model);
    let mut points = Writer::points(layers);
    points.extend((0..layers).map(|layer| Site::AttentionAdded.of_layer(layer)));
    points.extend(entries.iter().map(|entry| entry.point(layers)));
    let mut capture = Capture::at(points);
    model.run(&copies(ids, 1), &mut capture)?;
    let end = ids.len() - 1;
    let last = |point| -> Result<Array2<F>, CircuitError> {
        Ok(row_of(capture.get(point)?, 0).slice(s![end..=end, ..]).to_owned())
    };
    // The direction in the last residual stream: the transpose of the frozen norm applied to the difference of two rows of the head.
    let rows = &head.matrix.row(answer as usize) - &head.matrix.row(wrong as usize);
    let stream = last(LensEntry::Final.point(layers))?;
    let scales = head.norm.scales(&stream);
    let direction = head.norm.frozen_transposed(rows.clone().insert_axis(Axis(0)), &scales);
    let direction: Array1<f64> = direction.row(0).map(|&x| Scalar::to_f64(x));
    let share = |x: &ArrayRef2<F>, factor: f64| -> f64 {
        x.row(x.nrows() - 1).iter().zip(&direction).map(|(&x, d)| factor * Scalar::to_f64(x) * d).sum()
    };
    let embedding = last(Site::Embedding.of_layer(0))?;
    let mut components = Vec::new();
    match positions(model, ids.len())? {
        Some(row) => {
            let row = row.insert_axis(Axis(0));
            components.push(("embed".to_owned(), share(&(&embedding - &row), 1.0)));
            components.push(("pos_embed".to_owned(), share(&row, 1.0)));
        }
        None => components.push(("embed".to_owned(), share(&embedding, 1.0))),
    }
    let n_heads = d.layers[0].attention.heads;
    if d.layers.iter().any(|layer| layer.attention.heads != n_heads) {
        return Err(refuse(
            model,
            "its layers have different numbers of heads, so their values form no rectangle",
        ));
    }
    let mut heads = Array2::zeros((layers, n_heads));
    for (layer, one) in d.layers.iter().enumerate() {
        let z = capture.get(Site::HeadOutput.of_layer(layer))?.index_axis(Axis(0), 0).slice_move(s![
            end..=end,
            ..,
            ..
        ]);
        let mut z = z
            .into_dimensionality::<Ix3>()
            .expect("outputs of heads have three axes after the batch")
            .to_owned();
        if biases == ValueBiases::OutputBias
            && let Some(bias) = value_bias(model, layer)?
        {
            z -= &bias;
        }
        for (index, write) in head_writes(model, layer, &z)?.iter().enumerate() {
            heads[[layer, index]] = share(write, 1.0);
        }
        let factor = one.branch_scale;
        components
            .push((format!("{layer}_attn_out"), share(&last(Site::AttentionAdded.of_layer(layer))?, factor)));
        components.push((format!("{layer}_mlp_out"), share(&last(Site::MlpAdded.of_layer(layer))?, factor)));
    }
    let streams = entries
        .iter()
        .map(|&entry| Ok((entry, share(&last(entry.point(layers))?, 1.0))))
        .collect::<Result<Vec<_>, CircuitError>>()?;
    let number = |x: F| Scalar::to_f64(x);
    let constant =
        number(rows.dot(&head.norm.bias)) + number(head.bias[answer as usize] - head.bias[wrong as usize]);
    let sum: f64 = components.iter().map(|(_, share)| share).sum();
    let remainder = sum - heads.sum();
    let difference = number(rows.dot(&head.norm.forward(&stream)?.row(0)))
        + number(head.bias[answer as usize] - head.bias[wrong as usize]);
    Ok(DirectAttribution { components, streams, heads, remainder, constant, difference })
}

/// Returns the row of learned positions that the embedding of the last token contains, if it is a term of it.
fn positions<F: Precision>(model: &Model<F>, length: usize) -> Result<Option<Array1<F>>, CircuitError> {
    let e = &model.description().embedding;
    let table = model.read_parameter(ParameterName { layer: None, part: Part::PositionEmbedding });
    let (Some(positions), Some(table), None) = (e.positions, table, &e.norm) else { return Ok(None) };
    Ok(Some(table.row(positions.offset + length - 1).to_owned()))
}

/// Returns the bias of the values of each query head, `[h, e]`, with that of the norm before attention; none where it is zero.
fn value_bias<F: Precision>(model: &Model<F>, layer: usize) -> Result<Option<Array2<F>>, CircuitError> {
    let one = &model.description().layers[layer];
    let a = &one.attention;
    let own = |part: Part| model.read_parameter(ParameterName { layer: Some(layer), part });
    let weight = own(Part::Value).ok_or_else(|| refuse(model, "a layer has no matrix of values"))?;
    let parts = [Part::AttentionNormGain, Part::AttentionNormBias];
    let norm = crate::parts::NormMap::new(model, one.attention_norm.as_ref(), Some(layer), parts);
    let mut bias = matmul(&norm.bias.view().insert_axis(Axis(0)), &weight.t())?.row(0).to_owned();
    if let Some(own) = own(Part::ValueBias) {
        bias += &own.row(0);
    }
    if bias.iter().all(|&x| x == F::zero()) {
        return Ok(None);
    }
    if a.sinks || a.differential.is_some() {
        return Err(refuse(
            model,
            "its patterns do not sum to 1, so biases of the values are no constant; credit them to the heads",
        ));
    }
    let per_key = bias.into_shape_with_order((a.key_heads, a.head_width)).expect("the heads divide the bias");
    let rows: Vec<usize> = (0..a.heads).map(|head| head * a.key_heads / a.heads).collect();
    Ok(Some(per_key.select(Axis(0), &rows)))
}
