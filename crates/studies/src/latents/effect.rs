use crate::error::StudyError;
use collimate_tensor::matmul;
use collimate_transformer::{GainForm, Model, NormKind, ParameterName, Part, RunError, Site};
use ndarray::{Array2, ArrayRef2, Axis};

/// The effect of one unit of a direction in the final residual stream on the logit of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogitEffect {
    /// The token.
    pub token: u32,
    /// The change of the logit.
    pub effect: f32,
}

/// Returns true if a direction at this site is a direction of the residual stream: in the stream itself, and in the outputs of attention and
/// of the MLP, which are added to it.
pub fn is_in_residual(site: Site) -> bool {
    matches!(
        site,
        Site::ResidualPre | Site::ResidualMid | Site::ResidualPost | Site::MlpOutput | Site::AttentionOutput
    )
}

/// Computes the direct effect of directions on the logits: through the final norm and the head, without the later layers.
///
/// ```text
/// effect = W_U (gain ⊙ d)/σ
/// ```
/// σ is the scale of the final norm. It is taken as given, so the effect is linear in the direction, apart from a softcap of the logits.
/// A norm that subtracts the mean does so with the direction too.
///
/// # Shapes
/// `directions` `[n, d]`, the result `[n, v]`.
///
/// # Errors
/// [`StudyError::Model`] for another width or directions that are not finite.
pub fn direct_effect(
    model: &Model<f32>,
    directions: &ArrayRef2<f32>,
    scale: f32,
) -> Result<Array2<f32>, StudyError> {
    let mut rows = directions.to_owned();
    let part = |part| model.parameter(ParameterName { layer: None, part });
    if let Some(norm) = model.description().final_norm {
        if norm.kind == NormKind::Layer {
            let means = rows.mean_axis(Axis(1)).unwrap_or_default();
            rows -= &means.insert_axis(Axis(1));
        }
        if let Some(gain) = part(Part::FinalNormGain) {
            let offset = if norm.gain == GainForm::PlusOne { 1.0 } else { 0.0 };
            rows *= &gain.mapv(|gain| gain + offset);
        }
        rows.mapv_inplace(|v| v / scale);
    }
    if let Some(projection) = part(Part::ProjectOut) {
        rows = matmul(&rows, &projection.t()).map_err(RunError::from)?;
    }
    // The biases of the words drop out of a difference.
    let nothing = model.unembed(Array2::zeros((1, rows.ncols())).view())?;
    Ok(model.unembed(rows.view())? - &nothing)
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
