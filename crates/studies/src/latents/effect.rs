use crate::error::StudyError;
use collimate_transformer::{Decoder, Run};
use ndarray::{Array2, ArrayRef2, Axis};

/// The effect of one unit of a direction in the final residual stream on the logit of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitEffect {
    /// The token.
    pub token: u32,
    /// The change of the logit.
    pub effect: f32,
}

/// Computes the direct effect of directions on the logits: through the final norm and the unembedding, without the later layers.
///
/// ```text
/// effect = W_U (gain ⊙ d)/rms        rms: the root mean square of the final residual
/// ```
/// The scale of the final norm is taken as given, so the effect is linear in the direction.
///
/// # Shapes
/// `directions` `[n, d]`, the result `[n, v]`.
///
/// # Errors
/// [`StudyError::Model`] for another width or more directions than the context is long.
pub fn direct_effect(
    decoder: &Decoder,
    directions: &ArrayRef2<f32>,
    rms: f32,
) -> Result<Array2<f32>, StudyError> {
    let d = directions.ncols() as f32;
    // The norm divides by the root mean square. Next to long rows its epsilon vanishes.
    let own: Vec<f32> = directions.rows().into_iter().map(|row| (row.dot(&row) / d).sqrt()).collect();
    let mut rows = directions.to_owned();
    for (mut row, &own) in rows.axis_iter_mut(Axis(0)).zip(&own) {
        if own > 0.0 {
            row.mapv_inplace(|v| v / own * 1e3);
        }
    }
    let tokens = vec![0; rows.nrows()];
    let run = Run::of(&tokens).from_layer(decoder.config().n_layers, &rows.view());
    let mut logits = decoder.logits(run, &mut ())?;
    for (mut row, &own) in logits.axis_iter_mut(Axis(0)).zip(&own) {
        row.mapv_inplace(|v| v * own / rms);
    }
    Ok(logits)
}

impl LogitEffect {
    /// Returns the `n` tokens that a row of effects raises most, and the `n` that it lowers most, the strongest first.
    pub fn extremes(effects: &[f32], n: usize) -> (Vec<Self>, Vec<Self>) {
        let mut all: Vec<Self> =
            effects.iter().enumerate().map(|(token, &effect)| Self { token: token as u32, effect }).collect();
        all.sort_by(|a, b| b.effect.total_cmp(&a.effect).then(a.token.cmp(&b.token)));
        let raised = all.iter().take(n).copied().collect();
        let lowered = all.iter().rev().take(n).copied().collect();
        (raised, lowered)
    }
}
