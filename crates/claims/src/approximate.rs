//! Claims about a mean without bounds, by normal theory: labelled approximate.

use crate::{Claim, Context, Errors, Meta, Outcome, Verdict, Why, Zone, in_order};
use collimate_measure::{Interval, Moments};
use collimate_stream::RngStream;
use std::ops::ControlFlow;

/// A claim about the mean of an unbounded quantity, by Student's interval after a fixed number of trials.
///
/// No test of a mean without bounds can keep its error rates for every law, so the outcome is labelled approximate and
/// its rates are nominal. Prefer [`Quantile`](crate::Quantile) or declared bounds.
///
/// # Determinism
/// Trial `i` draws from child stream `i` of the claim: the same outcome on any number of threads.
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
pub struct Approximate {
    meta: Meta,
    zone: Zone,
    errors: Errors,
    trials: [u64; 3],
    trial: Option<Box<dyn Fn(&mut RngStream) -> f64 + Send + Sync>>,
}

impl Approximate {
    /// A claim that still needs its hypotheses and its trial; nominal errors default to 10⁻⁴, trials to 1000.
    pub fn new(meta: Meta) -> Self {
        let zone = Zone::new(f64::NAN, f64::NAN);
        Self { meta, zone, errors: Errors::default(), trials: [1000; 3], trial: None }
    }

    /// The mean at which the claim is false, and the mean at which it is true; either may be the larger.
    pub fn hypotheses(mut self, null: f64, alternative: f64) -> Self {
        self.zone = Zone::new(null, alternative);
        self
    }

    /// "The mean is at least `threshold`", with an indifference zone of this width below it.
    pub fn at_least(mut self, threshold: f64, zone: f64) -> Self {
        self.zone = Zone::at_least(threshold, zone);
        self
    }

    /// "The mean is at most `threshold`", with an indifference zone of this width above it.
    pub fn at_most(mut self, threshold: f64, zone: f64) -> Self {
        self.zone = Zone::at_most(threshold, zone);
        self
    }

    /// Nominal rates of false support and of false refutation.
    pub fn errors(mut self, false_support: f64, false_refutation: f64) -> Self {
        self.errors = Errors { false_support, false_refutation };
        self
    }

    /// The number of trials by tier (quick, standard, nightly); at least two.
    pub fn trials(mut self, by_tier: [u64; 3]) -> Self {
        self.trials = by_tier;
        self
    }

    /// One independent trial.
    pub fn trial(mut self, trial: impl Fn(&mut RngStream) -> f64 + Send + Sync + 'static) -> Self {
        self.trial = Some(Box::new(trial));
        self
    }
}

impl Claim for Approximate {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn run(&self, context: &mut Context) -> Outcome {
        let invalid = |reason: &str| Outcome::inconclusive(Why::Invalid(reason.to_owned()));
        if !self.zone.null.is_finite() || !self.zone.alternative.is_finite() {
            return invalid("two finite hypotheses are needed");
        }
        if [self.errors.false_support, self.errors.false_refutation].iter().any(|e| !(*e > 0.0 && *e < 0.5)) {
            return invalid("error rates must lie between 0 and 1/2");
        }
        let Some(trial) = &self.trial else { return invalid("an approximate claim needs `trial`") };
        let count = context.by_tier(self.trials);
        let base = context.named_stream("trials");
        let (mut values, mut interrupted) = (Vec::new(), false);
        in_order::for_each(
            context.budget().threads,
            count,
            |i| trial(&mut base.child(i)),
            |_, x| {
                values.push(x);
                interrupted = context.interrupted();
                context.progress(values.len() as u64, count, "trials");
                if interrupted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );
        if interrupted {
            return Outcome::inconclusive(Why::Interrupted).trials(values.len() as u64);
        }
        let moments = Moments::of(&values);
        if let Err(error) = moments.check("trials") {
            return invalid(&error.to_string());
        }
        // One error rate on each side.
        let side = |error: f64| {
            Interval::student(moments.mean(), moments.standard_error(), count, 1.0 - 2.0 * error)
                .map_err(|error| error.to_string())
        };
        let (support, against) = match (side(self.errors.false_support), side(self.errors.false_refutation)) {
            (Ok(support), Ok(against)) => (support, against),
            (Err(error), _) | (_, Err(error)) => return invalid(&error),
        };
        let (low, high) =
            if self.zone.rising() { (support.low, against.high) } else { (against.low, support.high) };
        let confidence = 1.0 - self.errors.false_support - self.errors.false_refutation;
        let interval = Interval { low, high, confidence };
        let verdict: Verdict = self.zone.decide(&interval);
        Outcome::new(verdict)
            .trials(count)
            .estimate(moments.mean())
            .margin(self.zone.margin(moments.mean()))
            .approximate_interval(interval)
            .note("Student's interval: its confidence and the error rates are nominal")
    }
}
