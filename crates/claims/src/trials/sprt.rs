//! Wald's sequential test of a success probability, with thresholds that guarantee the error rates.

use super::builder::Errors;
use crate::error::ClaimsError;
use crate::verdict::Verdict;
use crate::zone::Zone;

/// Wald's sequential probability ratio test of "the success probability is `alternative`" against `null`.
///
/// ```text
/// Λₙ = Π p₁ˣ(1−p₁)¹⁻ˣ / p₀ˣ(1−p₀)¹⁻ˣ      Upheld when Λₙ ≥ 1/α      Refuted when Λₙ ≤ β
/// ```
/// Under any p on the null's side Λ is a supermartingale, and under any p on the alternative's side 1/Λ is one, so
/// by Ville's inequality the two error rates are at most α and β however long the test runs. Wald's own
/// thresholds (1−β)/α and β/(1−α) guarantee only α/(1−β) and β/(1−α).
///
/// # Examples
/// ```
/// use collimate_claims::{Errors, Sprt, Verdict, Zone};
/// let errors = Errors { false_support: 0.01, false_refutation: 0.01 };
/// let mut test = Sprt::new(Zone::new(0.5, 0.9), errors).unwrap();
/// let decided_after = (1..).find(|_| test.push(true).is_some()).unwrap();
/// assert_eq!(decided_after, 8); // (9/5)⁸ = 110 is the first power above 1/0.01
/// ```
///
/// # References
/// Wald (1945); Ville (1939).
#[derive(Clone, Debug, PartialEq)]
pub struct Sprt {
    zone: Zone,
    log_ratio: f64,
    up: f64,
    down: f64,
    successes: u64,
    trials: u64,
}

impl Sprt {
    /// Returns a test without trials.
    ///
    /// # Errors
    /// [`ClaimsError::Malformed`] unless the hypotheses are two different probabilities and the error rates are positive with a sum
    /// below 1.
    pub fn new(zone: Zone, errors: Errors) -> Result<Self, ClaimsError> {
        if let Some(reason) = Self::invalid(&zone, &errors) {
            return Err(ClaimsError::Malformed { reason });
        }
        let (up, down) = (-errors.false_support.ln(), errors.false_refutation.ln());
        Ok(Self { zone, log_ratio: 0.0, up, down, successes: 0, trials: 0 })
    }

    /// Adds one trial, and returns the verdict as soon as the test decides.
    pub fn push(&mut self, success: bool) -> Option<Verdict> {
        let (p0, p1) = (self.zone.null, self.zone.alternative);
        self.trials += 1;
        self.successes += u64::from(success);
        self.log_ratio += if success { (p1 / p0).ln() } else { ((1.0 - p1) / (1.0 - p0)).ln() };
        if self.log_ratio >= self.up {
            Some(Verdict::Upheld)
        } else if self.log_ratio <= self.down {
            Some(Verdict::Refuted)
        } else {
            None
        }
    }

    /// Returns the logarithm of the likelihood ratio.
    pub fn log_ratio(&self) -> f64 {
        self.log_ratio
    }

    /// Returns the number of successes and the number of trials so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.successes, self.trials)
    }

    /// Returns what is wrong with the hypotheses or the error rates, if anything.
    pub(super) fn invalid(zone: &Zone, errors: &Errors) -> Option<String> {
        zone.fault_within(0.0, 1.0).or_else(|| errors.fault(1.0))
    }
}
