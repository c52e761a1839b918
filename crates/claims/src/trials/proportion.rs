//! Claims about a success rate.

use super::builder::{ComparesValues, Judge, Trials, rates};
use super::sprt::Sprt;
use crate::context::Context;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::verdict::{Verdict, Why};
use crate::zone::Zone;
use collimate_measure::Interval;

/// A claim about a success rate, judged by a sequential probability ratio test ([`Sprt`]).
///
/// # Determinism
/// Trial `i` draws from child stream `i` of the claim, so the outcome is the same on any number of threads.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Meta, Proportion, Subject, examine};
/// let meta = Meta::empirical("own/die", Subject::Own, "a die shows six in at least one throw of ten",
///     "independent throws; supported above 0.05, refuted below 0.10");
/// let claim = Proportion::new(meta).hypotheses(0.05, 0.10).trial(|stream| stream.below(6) == 5);
/// assert!(examine(&claim, &Budget::quick()).upheld());
/// ```
pub type Proportion = Trials<SuccessRate>;

/// The judge of [`Proportion`].
pub struct SuccessRate;

impl Proportion {
    /// Returns a claim that still needs its hypotheses and its trial; the cap is 100 000 by default.
    pub fn new(meta: Meta) -> Self {
        Self::of(meta, 100_000, SuccessRate)
    }
}

impl ComparesValues for SuccessRate {}

impl Judge for SuccessRate {
    type Value = bool;

    const FORM: &'static str = "a proportion";

    fn invalid(claim: &Proportion) -> Option<String> {
        Sprt::invalid(&claim.zone, &claim.errors)
    }

    fn judge(claim: &Proportion, context: &Context) -> Outcome {
        sequential(claim, context, claim.zone, Some)
    }
}

/// Judges successes by a sequential test. A trial whose `success` is `None` gave NaN and makes the claim malformed.
pub(super) fn sequential<J: Judge>(
    claim: &Trials<J>,
    context: &Context,
    zone: Zone,
    success: impl Fn(J::Value) -> Option<bool>,
) -> Outcome {
    let cap = context.by_tier(claim.caps);
    let mut test = match Sprt::new(zone, claim.errors) {
        Ok(test) => test,
        Err(error) => return Outcome::inconclusive(Why::Invalid(error.to_string())),
    };
    let verdict = claim.run_until(context, cap, |i, value| match success(value) {
        Some(success) => test.push(success),
        None => Some(gave_nan(i)),
    });
    let (successes, trials) = test.counts();
    let mut outcome = Outcome::new(verdict).trials(trials).note(rates(zone, claim.errors, cap));
    if trials > 0 {
        let rate = successes as f64 / trials as f64;
        outcome = outcome
            .estimate(rate)
            .margin(zone.margin(rate))
            .note(format!("{successes} of {trials} succeeded"));
    }
    if let Ok(interval) = Interval::clopper_pearson(successes, trials.max(1), 0.95) {
        outcome = outcome.interval(interval).note(
            "the interval is Clopper and Pearson's for a fixed number of trials; the verdict is the sequential test's",
        );
    }
    outcome
}

/// Returns the verdict on a claim whose trial `i` gave NaN.
pub(super) fn gave_nan(i: u64) -> Verdict {
    Verdict::Inconclusive(Why::Invalid(format!("trial {i} gave NaN")))
}
