use crate::error::StudyError;
use crate::splicing::Splice;
use collimate_tensor::log_softmax_in_place;
use collimate_transformer::{Hooks, Model, Run};

/// The predictions of the token after a text, without and with a change of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// The natural logarithms of the probabilities of the unchanged model, one for each token of the vocabulary.
    pub clean: Vec<f32>,
    /// The logarithms of the probabilities of the changed model.
    pub changed: Vec<f32>,
}

impl Predictions {
    /// Returns the `n` tokens that are most probable in either model, the most probable in the changed model first.
    pub fn likeliest(&self, n: usize) -> Vec<u32> {
        let best = |of: &[f32]| {
            let mut order: Vec<u32> = (0..of.len() as u32).collect();
            order.sort_by(|&a, &b| of[b as usize].total_cmp(&of[a as usize]).then(a.cmp(&b)));
            order.truncate(n);
            order
        };
        let mut both = best(&self.changed);
        both.extend(best(&self.clean));
        let mut once: Vec<u32> = Vec::new();
        for token in both {
            if !once.contains(&token) {
                once.push(token);
            }
        }
        once
    }

    /// Returns the divergence of the changed model from the unchanged one, in nats.
    ///
    /// ```text
    /// KL(clean ‖ changed) = Σ p (log p − log q)
    /// ```
    pub fn divergence(&self) -> f64 {
        let terms = self.clean.iter().zip(&self.changed);
        terms.map(|(&p, &q)| f64::from(p).exp() * (f64::from(p) - f64::from(q))).sum()
    }
}

/// Predicts the token after a text, without and with a splice.
///
/// # Errors
/// [`StudyError::Model`]; the error of the splice.
///
/// # Examples
/// ```
/// use collimate_sae::{Sae, Size, TopK};
/// use collimate_stream::RngStream;
/// use collimate_studies::latents::predictions;
/// use collimate_studies::splicing::{Change, ErrorTerm, Splice};
/// use collimate_transformer::{Description, Model, Site};
/// let mut stream = RngStream::new(1, 0);
/// let model = Model::<f32>::random(Description::small(), &stream);
/// let size = Size { d_model: model.description().width, n_latents: 64 };
/// let dictionary = Sae::<f32>::new(TopK::new(4), size, &mut stream)?.into_dictionary();
/// let splice = |value| {
///     Splice::dictionary(Site::ResidualPost.of_layer(0), &dictionary, ErrorTerm::Kept)?.with(Change::Add(5, value))
/// };
/// let of = |value| predictions(&model, &[0, 7, 3], &mut splice(value)?);
/// assert!(of(0.0)?.divergence() < 1e-6 && of(8.0)?.divergence() > 1e-3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn predictions(
    model: &Model<f32>,
    tokens: &[u32],
    splice: &mut Splice<'_>,
) -> Result<Predictions, StudyError> {
    let clean = log_probabilities(model, tokens, &mut ())?;
    let changed = log_probabilities(model, tokens, splice)?;
    splice.check()?;
    Ok(Predictions { clean, changed })
}

fn log_probabilities(
    model: &Model<f32>,
    tokens: &[u32],
    hooks: &mut dyn Hooks,
) -> Result<Vec<f32>, StudyError> {
    let mut logits = last_logits(model, tokens, hooks)?;
    log_softmax_in_place(&mut logits);
    Ok(logits)
}

/// Computes the logits after the last token of one sequence.
pub(super) fn last_logits(
    model: &Model<f32>,
    tokens: &[u32],
    hooks: &mut dyn Hooks,
) -> Result<Vec<f32>, StudyError> {
    Ok(model.last_logits(Run::of(tokens), hooks)?.into_raw_vec_and_offset().0)
}

/// Continues a text with the most probable tokens, one after another, without a splice or with one. It stops at `most` tokens or at the
/// end of the context.
///
/// `keep_going` is called before each token; the text so far is returned when it returns false.
///
/// # Errors
/// [`StudyError::Model`]; the error of the splice.
///
/// # Determinism
/// Among equal logits the smaller token is chosen.
pub fn continuation(
    model: &Model<f32>,
    tokens: &[u32],
    mut splice: Option<&mut Splice<'_>>,
    most: usize,
    keep_going: &mut dyn FnMut() -> bool,
) -> Result<Vec<u32>, StudyError> {
    let mut all = tokens.to_vec();
    let end = (tokens.len() + most).min(model.description().context);
    while all.len() < end && keep_going() {
        let logits = match &mut splice {
            Some(splice) => {
                let logits = last_logits(model, &all, &mut **splice)?;
                splice.check()?;
                logits
            }
            None => last_logits(model, &all, &mut ())?,
        };
        let best = (0..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
        all.push(best as u32);
    }
    Ok(all.split_off(tokens.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_stream::RngStream;
    use collimate_transformer::Description;

    #[test]
    fn a_continuation_takes_the_likeliest_token_and_ends_with_the_context() {
        let model = Model::<f32>::random(Description::small(), &RngStream::new(3, 0));
        let tokens = [0, 4, 9];
        let three = continuation(&model, &tokens, None, 3, &mut || true).unwrap();
        let clean = log_probabilities(&model, &tokens, &mut ()).unwrap();
        assert!(clean.iter().all(|&p| p <= clean[three[0] as usize]));
        let longer = continuation(&model, &tokens, None, 5, &mut || true).unwrap();
        assert_eq!(longer[..3], three);
        let all = continuation(&model, &tokens, None, usize::MAX / 2, &mut || true).unwrap();
        assert_eq!(all.len(), model.description().context - 3);
        assert!(continuation(&model, &tokens, None, 5, &mut || false).unwrap().is_empty());
    }

    #[test]
    fn the_likeliest_tokens_of_both_models_are_listed_once() {
        let predictions = Predictions { clean: vec![-1.0, -2.0, -3.0], changed: vec![-3.0, -1.0, -2.0] };
        assert_eq!(predictions.likeliest(1), [1, 0]);
        assert_eq!(predictions.likeliest(2), [1, 2, 0]);
        let expected = 2.0 * (-1.0_f64).exp() - (-2.0_f64).exp() - (-3.0_f64).exp();
        assert!((predictions.divergence() - expected).abs() < 1e-12);
    }
}
