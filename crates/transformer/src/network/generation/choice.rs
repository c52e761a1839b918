//! The rules by which a token is chosen from its logits.

use collimate_measure::{OutOfRange, ensure};
use collimate_stream::RngStream;
use collimate_tensor::Scalar;
use ndarray::ArrayView1;

/// The rule by which the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Choice {
    /// The token with the largest logit; the first of equal ones.
    Greedy,
    /// A token drawn from a distribution.
    Sampled(Sampling),
}

/// A distribution of the next token: softmax(logits/temperature), from which less likely tokens are left out in three steps, in this
/// order. After each step the probabilities are those of the tokens that are left.
///
/// # References
/// Fan et al. (2018), section 5.4, for top k; Holtzman et al. (2020), section 3.1, for top p; Nguyen et al. (2024), algorithm 1, for min p.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The divisor of the logits, positive; 1 by default.
    pub temperature: f64,
    /// The number of most likely tokens that are kept, or none for all; equal ones are kept in the order of their ids.
    pub top_k: Option<usize>,
    /// The probability that the most likely tokens must reach together, in (0, 1], or none for all tokens.
    pub top_p: Option<f64>,
    /// The least probability as a share of the largest one, in [0, 1], or none for all tokens.
    pub min_p: Option<f64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 1.0, top_k: None, top_p: None, min_p: None }
    }
}

impl Sampling {
    /// Returns the tokens that are left with their probabilities, the most likely first.
    ///
    /// # Examples
    /// ```
    /// use collimate_transformer::Sampling;
    /// let logits = ndarray::array![0.0, 2f64.ln(), 0.0];
    /// let sampling = Sampling { top_k: Some(2), ..Sampling::default() };
    /// let kept = sampling.distribution(logits.view());
    /// assert!(kept[0].0 == 1 && (kept[0].1 - 2.0 / 3.0).abs() < 1e-15 && kept[1].0 == 0);
    /// ```
    pub fn distribution<F: Scalar>(&self, logits: ArrayView1<'_, F>) -> Vec<(u32, f64)> {
        let scaled = logits.iter().map(|&x| Scalar::to_f64(x) / self.temperature);
        let most = scaled.clone().fold(f64::NEG_INFINITY, f64::max);
        let mut kept: Vec<(u32, f64)> = (0..).zip(scaled.map(|x| (x - most).exp())).collect();
        kept.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if let Some(k) = self.top_k {
            kept.truncate(k.max(1));
        }
        normalise(&mut kept);
        if let Some(p) = self.top_p {
            let mut sum = 0.0;
            let enough = kept.iter().position(|(_, probability)| {
                sum += probability;
                sum >= p
            });
            kept.truncate(enough.map_or(kept.len(), |last| last + 1));
            normalise(&mut kept);
        }
        if let Some(share) = self.min_p {
            let least = share * kept[0].1;
            kept.retain(|(_, probability)| *probability >= least);
            normalise(&mut kept);
        }
        kept
    }
}

fn normalise(kept: &mut [(u32, f64)]) {
    let sum: f64 = kept.iter().map(|(_, probability)| probability).sum();
    kept.iter_mut().for_each(|(_, probability)| *probability /= sum);
}

impl Choice {
    /// Checks the numbers of the rule.
    pub(super) fn check(self) -> Result<(), OutOfRange> {
        let Self::Sampled(sampling) = self else { return Ok(()) };
        let Sampling { temperature, top_k, top_p, min_p } = sampling;
        ensure(
            temperature > 0.0 && temperature.is_finite(),
            "the temperature",
            "positive and finite",
            temperature,
        )?;
        ensure(top_k != Some(0), "top k", "at least 1", 0.0)?;
        ensure(top_p.is_none_or(|p| p > 0.0 && p <= 1.0), "top p", "in (0, 1]", top_p.unwrap_or_default())?;
        ensure(
            min_p.is_none_or(|p| (0.0..=1.0).contains(&p)),
            "min p",
            "in [0, 1]",
            min_p.unwrap_or_default(),
        )
    }

    /// Chooses a token.
    pub(super) fn choose<F: Scalar>(self, logits: ArrayView1<'_, F>, stream: &mut RngStream) -> u32 {
        match self {
            Self::Greedy => {
                let mut best = 0;
                for (id, logit) in logits.iter().enumerate() {
                    if *logit > logits[best] {
                        best = id;
                    }
                }
                best as u32
            }
            Self::Sampled(sampling) => {
                let kept = sampling.distribution(logits);
                let mut left = stream.uniform();
                for &(id, probability) in &kept {
                    left -= probability;
                    if left < 0.0 {
                        return id;
                    }
                }
                kept[kept.len() - 1].0
            }
        }
    }
}
