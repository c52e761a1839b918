use super::effect::{direct_effect, is_in_residual};
use super::prediction::last_logits;
use crate::error::StudyError;
use crate::rows::rows_at;
use crate::splicing::{Change, ErrorTerm, Splice};
use collimate_sae::Dictionary;
use collimate_transformer::{HookPoint, Model, Site};
use ndarray::{Array2, Axis, s};

/// The share of one latent in a logit difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The latent.
    pub latent: u32,
    /// The code of the latent at the position.
    pub code: f32,
    /// The part of logit(a) − logit(b) that the latent causes.
    pub share: f64,
}

/// A logit difference at one position, split into parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// The difference logit(a) − logit(b) of the unchanged model.
    pub difference: f64,
    /// The parts of the latents, sorted by decreasing magnitude.
    pub shares: Vec<Share>,
    /// The part of the decoder bias; zero where latents are ablated one by one.
    pub bias: f64,
    /// The part of the reconstruction error; zero where latents are ablated one by one.
    pub error: f64,
    /// The remaining part: everything that does not pass the point directly, or the interaction of the latents.
    pub rest: f64,
}

impl Attribution {
    fn sorted(mut self) -> Self {
        self.shares.sort_by(|a, b| b.share.abs().total_cmp(&a.share.abs()).then(a.latent.cmp(&b.latent)));
        self
    }
}

/// Computes the direct parts of logit(a) − logit(b) for the prediction of the next token.
///
/// The direct part of a latent is its step in the residual stream, taken through the final norm with the scale of the norm held
/// fixed. Later layers do not see the step.
///
/// ```text
/// difference = Σ_i s f_i u·d_i + u·(s b_dec + m) + u·(x − x̂) + rest        u = gain ⊙ (W_a − W_b)/σ
/// ```
/// σ is the scale of the final norm at the last position. s and m are the scale and the shift of the row for a dictionary that normalises its rows, otherwise 1 and 0
/// ([`Dictionary::output_scales`]).
///
/// # Errors
/// [`StudyError::OutsideResidual`] unless the point lies in the residual stream; [`StudyError::Dictionary`]; [`StudyError::Model`].
pub fn direct_attribution(
    model: &Model<f32>,
    dictionary: &Dictionary<f32>,
    point: HookPoint,
    tokens: &[u32],
    [a, b]: [u32; 2],
) -> Result<Attribution, StudyError> {
    if !is_in_residual(point.site) {
        return Err(StudyError::OutsideResidual { operation: "direct attribution", point });
    }
    let rows = rows_at(model, tokens, point)?;
    let last = rows.slice(s![-1.., ..]).to_owned();
    let out = dictionary.forward(&last)?;
    let scale_of_the_norm =
        *rows_at(model, tokens, Site::FinalNormScale.of_layer(0))?.last().expect("one row a token");
    let (latents, codes) = out.codes.row(0);
    let atoms =
        dictionary.decoder().select(Axis(0), &latents.iter().map(|&i| i as usize).collect::<Vec<_>>());
    let part = |rows: &Array2<f32>| -> Result<Vec<f64>, StudyError> {
        let mut parts = Vec::new();
        for block in rows.axis_chunks_iter(Axis(0), 256) {
            let effects = direct_effect(model, &block, scale_of_the_norm)?;
            parts.extend(
                effects.rows().into_iter().map(|e| f64::from(e[a as usize]) - f64::from(e[b as usize])),
            );
        }
        Ok(parts)
    };
    let (scale, shift) = dictionary.output_scales(&last)?[0];
    let bias = dictionary.decoder_bias().mapv(|b| b * scale + shift);
    let bias = part(&bias.insert_axis(Axis(0)))?[0];
    let error = part(&(&last - &out.reconstruction))?[0];
    let shares: Vec<Share> = latents
        .iter()
        .zip(codes)
        .zip(if latents.is_empty() { Vec::new() } else { part(&atoms)? })
        .map(|((&latent, &code), effect)| Share {
            latent,
            code,
            share: f64::from(code) * f64::from(scale) * effect,
        })
        .collect();
    let difference = difference(&last_logits(model, tokens, &mut ())?, a, b);
    let rest = difference - bias - error - shares.iter().map(|share| share.share).sum::<f64>();
    Ok(Attribution { difference, shares, bias, error, rest }.sorted())
}

/// Computes the parts of logit(a) − logit(b) by ablation: the loss of difference when one active latent of the last position is set
/// to zero at all positions. The error term is kept, and the later layers run again.
///
/// The `most` latents with the largest codes are ablated. `keep_going` is called before each; the run stops when it returns false.
///
/// # Errors
/// [`StudyError::Interrupted`], [`StudyError::Model`], [`StudyError::Dictionary`].
pub fn attribution_by_ablation(
    model: &Model<f32>,
    dictionary: &Dictionary<f32>,
    point: HookPoint,
    tokens: &[u32],
    [a, b]: [u32; 2],
    most: usize,
    keep_going: &mut dyn FnMut() -> bool,
) -> Result<Attribution, StudyError> {
    let clean = difference(&last_logits(model, tokens, &mut ())?, a, b);
    let rows = rows_at(model, tokens, point)?;
    let out = dictionary.forward(&rows.slice(s![-1.., ..]).to_owned())?;
    let (latents, codes) = out.codes.row(0);
    let mut active: Vec<(u32, f32)> = latents.iter().copied().zip(codes.iter().copied()).collect();
    active.sort_by(|p, q| q.1.total_cmp(&p.1).then(p.0.cmp(&q.0)));
    let mut shares = Vec::new();
    for &(latent, code) in active.iter().take(most) {
        if !keep_going() {
            return Err(StudyError::Interrupted);
        }
        let mut hooks =
            Splice::dictionary(point, dictionary, ErrorTerm::Kept)?.with(Change::Ablate(latent))?;
        let without = difference(&last_logits(model, tokens, &mut hooks)?, a, b);
        hooks.codes()?;
        shares.push(Share { latent, code, share: clean - without });
    }
    let rest = clean - shares.iter().map(|share| share.share).sum::<f64>();
    Ok(Attribution { difference: clean, shares, bias: 0.0, error: 0.0, rest }.sorted())
}

fn difference(logits: &[f32], a: u32, b: u32) -> f64 {
    f64::from(logits[a as usize]) - f64::from(logits[b as usize])
}
