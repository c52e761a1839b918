use crate::error::RunError;
use collimate_measure::{Fingerprint, Measurement, Moments, Quantity, Unit};

/// The cross-entropy on one run of tokens.
pub const CROSS_ENTROPY: Quantity = Quantity {
    name: "cross-entropy",
    definition: "mean over positions of −log p(next token | tokens so far)",
    unit: Unit::Nats,
};

/// The losses of a decoder on its input, token by token.
#[derive(Clone, Debug, PartialEq)]
pub struct Losses {
    /// The log Σ exp(logits) at each position, `[t]`.
    pub log_sum_exp: Vec<f64>,
    /// The losses −log p(token i + 1 | tokens 0..=i) in nats, `[t − 1]`.
    pub nll: Vec<f64>,
}

impl Losses {
    /// Returns the mean of [`Losses::nll`]; NaN for a single token.
    pub fn mean_nll(&self) -> f64 {
        self.nll.iter().sum::<f64>() / self.nll.len() as f64
    }

    /// Returns the cross-entropy with its standard error over positions. Positions are not independent, so the standard error is a
    /// lower bound.
    ///
    /// # Errors
    /// [`RunError::Measure`] when there is only one token or a loss is not finite.
    pub fn cross_entropy(&self, object: Fingerprint) -> Result<Measurement, RunError> {
        let moments: Moments = self.nll.iter().copied().collect();
        Ok(Measurement::mean(&CROSS_ENTROPY, &moments, object)?)
    }
}
