//! Claims about a mean without bounds, by normal theory: labelled approximate.

use super::builder::{ComparesValues, Judge, Trials};
use crate::context::Context;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::verdict::{Verdict, Why};
use collimate_measure::{Interval, Moments};

/// A claim about the mean of an unbounded quantity, by Student's interval after a fixed number of trials.
///
/// No test of an unbounded mean can keep its error rates for every distribution, so the outcome is labelled approximate and
/// its rates are nominal. Prefer [`Quantile`](crate::Quantile) or declared bounds.
///
/// # Determinism
/// Trial `i` draws from child stream `i` of the claim, so the outcome is the same on any number of threads.
///
/// # Examples
/// ```
/// use collimate_claims::{Approximate, Budget, Meta, Subject, examine};
/// let meta = Meta::empirical("own/normal", Subject::Own, "the mean of a normal number is at most 0.5",
///     "400 draws; supported below 1.0, refuted above 0.5");
/// let claim = Approximate::new(meta).at_most(0.5, 0.5).trials([400; 3]).trial(|stream| stream.normal());
/// let report = examine(&claim, &Budget::quick());
/// assert!(report.upheld() && report.outcome.approximate);
/// ```
///
/// # References
/// Student (1908).
pub type Approximate = Trials<UnboundedMean>;

/// The judge of [`Approximate`].
pub struct UnboundedMean;

impl Approximate {
    /// Returns a claim that still needs its hypotheses and its trial; it runs 1000 trials by default.
    pub fn new(meta: Meta) -> Self {
        Self::of(meta, 1000, UnboundedMean)
    }

    /// Sets the number of trials by tier (quick, standard, nightly); at least two.
    pub fn trials(self, by_tier: [u64; 3]) -> Self {
        self.caps(by_tier)
    }
}

impl ComparesValues for UnboundedMean {}

impl Judge for UnboundedMean {
    type Value = f64;

    const FORM: &'static str = "an approximate claim";

    fn invalid(claim: &Approximate) -> Option<String> {
        claim.zone.fault().or_else(|| claim.errors.fault(0.5))
    }

    fn judge(claim: &Approximate, context: &Context) -> Outcome {
        let invalid = |reason: String| Outcome::inconclusive(Why::Invalid(reason));
        let (zone, errors, count) = (claim.zone, claim.errors, context.by_tier(claim.caps));
        let mut values = Vec::new();
        let stopped = claim.run_until(context, count, |_, x| {
            values.push(x);
            None
        });
        if stopped != Verdict::Inconclusive(Why::Cap) {
            return Outcome::new(stopped).trials(values.len() as u64);
        }
        let moments = Moments::of(&values);
        if let Err(error) = moments.check("trials") {
            return invalid(error.to_string());
        }
        // One error rate on each side.
        let side = |error: f64| {
            Interval::student(moments.mean(), moments.standard_error(), count, 1.0 - 2.0 * error)
                .map_err(|error| error.to_string())
        };
        let (support, against) = match (side(errors.false_support), side(errors.false_refutation)) {
            (Ok(support), Ok(against)) => (support, against),
            (Err(error), _) | (_, Err(error)) => return invalid(error),
        };
        let (low, high) =
            if zone.rising() { (support.low, against.high) } else { (against.low, support.high) };
        let confidence = 1.0 - errors.false_support - errors.false_refutation;
        let interval = Interval { low, high, confidence };
        Outcome::new(zone.decide(&interval))
            .trials(count)
            .estimate(moments.mean())
            .margin(zone.margin(moments.mean()))
            .approximate_interval(interval)
            .note("Student's interval: its confidence and the error rates are nominal")
    }
}
