//! Changes of positions and of basis that an architecture does not see, and those that it sees.

use super::models::{Models, logits, over_texts, unmoved};
use crate::network::Model;
use crate::parameters::{ParameterName, Part};
use crate::pass::Input;
use collimate_claims::{Claim, Meta, Subject};
use collimate_stream::RngStream;
use ndarray::{Array2, ArrayRef2, Axis, concatenate};

/// Claims that only the distances of positions count. The models must have no table of positions.
pub fn positions_are_relative(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/positions-are-relative",
        Subject::Transformer,
        "a model with rotary positions, with ALiBi or without positions does not see a common shift of all positions",
    )
    .source("Su et al. (2021), section 3.2; Press et al. (2022)");
    shifted(meta, models)
}

/// Claims the same of models with a table of positions, where it is false.
pub fn learned_positions_are_relative(models: impl Models) -> impl Claim {
    let meta = Meta::counterexample(
        "transformer/learned-positions-are-relative",
        Subject::Transformer,
        "a transformer sees only the distances of positions, also with a table of learned positions",
    )
    .source("a common reading of attention; the table is added to the stream");
    shifted(meta, models)
}

fn shifted(meta: Meta, models: impl Models) -> impl Claim {
    over_texts(meta, models, |model, text, stream| {
        let by = 1 + stream.below(9) as i64;
        let moved = Input::new(text.clone())
            .with_positions(Array2::from_shape_fn(text.dim(), |(_, t)| t as i64 + by));
        unmoved(&logits(model, &Input::new(text.clone()), &mut ()), &logits(model, &moved, &mut ()))
    })
}

/// Claims that a rotation of the residual stream changes nothing. All norms of the stream must be by the root mean square; their gains
/// are set to one number.
pub fn stream_has_no_basis(models: impl Models) -> impl Claim {
    let meta = Meta::theorem(
        "transformer/stream-has-no-basis",
        Subject::Transformer,
        "with equal gains in norms by the root mean square, turning all that writes into the residual stream and all that reads it \
         changes no logit",
    )
    .source("Ashkboos et al. (2024), SliceGPT, theorem 1");
    turned(meta, models)
}

/// Claims the same of models with layer norms, where it is false.
pub fn stream_with_layer_norms_has_no_basis(models: impl Models) -> impl Claim {
    let meta = Meta::counterexample(
        "transformer/stream-with-layer-norms-has-no-basis",
        Subject::Transformer,
        "with equal gains, turning all that writes into the residual stream and all that reads it changes no logit, also with layer norms",
    )
    .source("a layer norm takes the mean over the coordinates, and a rotation moves it");
    turned(meta, models)
}

fn turned(meta: Meta, models: impl Models) -> impl Claim {
    over_texts(meta, models, |model, text, stream| {
        let plain = with_parameters(model, |name, x| match is_norm_of_the_stream(name.part) {
            true => x.mapv(|_| if name.part.is_bias() { 0.0 } else { 0.5 }),
            false => x.to_owned(),
        });
        let turn = rotation(model.description().width, stream);
        let turned = with_parameters(&plain, |name, x| match name.part {
            // Rows of the stream become rows times turn: readers too, because turn · turnᵀ = 1.
            part if reads(part) || writes_rows(part) => x.dot(&turn),
            Part::AttentionOutput | Part::Down | Part::ProjectIn => turn.t().dot(x),
            Part::ExpertDown => {
                let experts: Vec<_> =
                    x.axis_chunks_iter(Axis(0), turn.nrows()).map(|x| turn.t().dot(&x)).collect();
                concatenate(Axis(0), &experts.iter().map(|x| x.view()).collect::<Vec<_>>())
                    .expect("equal widths")
            }
            _ => x.to_owned(),
        });
        let input = Input::new(text.clone());
        unmoved(&logits(&plain, &input, &mut ()), &logits(&turned, &input, &mut ()))
    })
}

fn with_parameters(
    model: &Model<f64>,
    change: impl Fn(ParameterName, &ArrayRef2<f64>) -> Array2<f64>,
) -> Model<f64> {
    let parameters = model.parameters().map(|(name, x)| change(name, x)).collect();
    model.with_parameters(parameters).expect("the shapes stay")
}

/// Returns true for the gain or bias of a norm over the width of the stream.
fn is_norm_of_the_stream(part: Part) -> bool {
    let of_heads =
        matches!(part, Part::QueryNormGain | Part::QueryNormBias | Part::KeyNormGain | Part::KeyNormBias);
    let norm_bias = matches!(
        part,
        Part::EmbeddingNormBias
            | Part::AttentionNormBias
            | Part::AttentionPostNormBias
            | Part::AttentionSumNormBias
            | Part::MlpNormBias
            | Part::MlpPostNormBias
            | Part::MlpSumNormBias
            | Part::FinalNormBias
            | Part::HeadTransformNormBias
    );
    norm_bias || (part.is_gain() && !of_heads)
}

/// Returns true for matrices that read rows of the stream.
fn reads(part: Part) -> bool {
    matches!(
        part,
        Part::Query
            | Part::Key
            | Part::Value
            | Part::Gate
            | Part::Up
            | Part::Router
            | Part::ExpertGate
            | Part::ExpertUp
            | Part::Head
            | Part::ProjectOut
            | Part::HeadTransform
    )
}

/// Returns true for tables and biases whose rows are added to the stream.
fn writes_rows(part: Part) -> bool {
    matches!(
        part,
        Part::TokenEmbedding
            | Part::PositionEmbedding
            | Part::TypeEmbedding
            | Part::AttentionOutputBias
            | Part::DownBias
            | Part::ExpertDownBias
    )
}

/// Draws a rotation of the first, then of every further pair of axes, `[d, d]`.
fn rotation(width: usize, stream: &mut RngStream) -> Array2<f64> {
    let mut turn = Array2::<f64>::eye(width);
    for (i, j) in (0..width).flat_map(|j| (0..j).map(move |i| (i, j))) {
        let (sin, cos) = (3.0 * stream.normal()).sin_cos();
        for row in 0..width {
            let (x, y) = (turn[[row, i]], turn[[row, j]]);
            (turn[[row, i]], turn[[row, j]]) = (cos * x - sin * y, sin * x + cos * y);
        }
    }
    turn
}
