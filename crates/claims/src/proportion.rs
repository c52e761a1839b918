//! Claims about a success rate.

use crate::{Claim, Context, Errors, Meta, Outcome, Sprt, Verdict, Why, Zone, in_order};
use collimate_measure::Interval;
use collimate_stream::RngStream;
use std::ops::ControlFlow;

/// A claim about a success rate, judged by a sequential probability ratio test ([`Sprt`]).
///
/// # Determinism
/// Trial `i` draws from child stream `i` of the claim: the same outcome on any number of threads.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Meta, Proportion, Subject, examine};
/// let meta = Meta::empirical("own/die", Subject::Own, "a die shows six in at least one throw of ten",
///     "independent throws; supported above 0.05, refuted below 0.10");
/// let claim = Proportion::new(meta).hypotheses(0.05, 0.10).trial(|stream| stream.below(6) == 5);
/// assert!(examine(&claim, &Budget::quick()).upheld());
/// ```
pub struct Proportion {
    meta: Meta,
    zone: Zone,
    errors: Errors,
    caps: [u64; 3],
    trial: Option<Box<dyn Fn(&mut RngStream) -> bool + Send + Sync>>,
}

impl Proportion {
    /// A claim that still needs its hypotheses and its trial; errors default to 10⁻⁴, the cap to 100 000.
    pub fn new(meta: Meta) -> Self {
        Self {
            meta,
            zone: Zone::new(f64::NAN, f64::NAN),
            errors: Errors::default(),
            caps: [100_000; 3],
            trial: None,
        }
    }

    /// The rate at which the claim is false, and the rate at which it is true; either may be the larger.
    pub fn hypotheses(mut self, null: f64, alternative: f64) -> Self {
        self.zone = Zone::new(null, alternative);
        self
    }

    /// "The rate is at least `threshold`", with an indifference zone of this width below it.
    pub fn at_least(mut self, threshold: f64, zone: f64) -> Self {
        self.zone = Zone::at_least(threshold, zone);
        self
    }

    /// "The rate is at most `threshold`", with an indifference zone of this width above it.
    pub fn at_most(mut self, threshold: f64, zone: f64) -> Self {
        self.zone = Zone::at_most(threshold, zone);
        self
    }

    /// Bounds on the probabilities of false support and of false refutation.
    pub fn errors(mut self, false_support: f64, false_refutation: f64) -> Self {
        self.errors = Errors { false_support, false_refutation };
        self
    }

    /// The number of trials after which the claim is Inconclusive, in every tier.
    pub fn cap(self, trials: u64) -> Self {
        self.caps([trials; 3])
    }

    /// The cap by tier (quick, standard, nightly).
    pub fn caps(mut self, by_tier: [u64; 3]) -> Self {
        self.caps = by_tier;
        self
    }

    /// One independent trial.
    pub fn trial(mut self, trial: impl Fn(&mut RngStream) -> bool + Send + Sync + 'static) -> Self {
        self.trial = Some(Box::new(trial));
        self
    }
}

impl Claim for Proportion {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn run(&self, context: &mut Context) -> Outcome {
        if let Some(reason) = Sprt::invalid(&self.zone, &self.errors) {
            return Outcome::inconclusive(Why::Invalid(reason));
        }
        let Some(trial) = &self.trial else {
            return Outcome::inconclusive(Why::Invalid("a proportion needs `trial`".to_owned()));
        };
        sequential(context, context.by_tier(self.caps), self.zone, self.errors, |stream| Some(trial(stream)))
    }
}

/// Runs trials through a sequential test; `None` from a trial makes the claim malformed (a NaN was seen).
pub(crate) fn sequential(
    context: &Context,
    cap: u64,
    zone: Zone,
    errors: Errors,
    trial: impl Fn(&mut RngStream) -> Option<bool> + Sync,
) -> Outcome {
    let mut test = Sprt::new(zone, errors);
    let mut verdict = Verdict::Inconclusive(Why::Cap);
    let base = context.named_stream("trials");
    in_order::for_each(
        context.budget().threads,
        cap,
        |i| trial(&mut base.child(i)),
        |i, success| {
            let Some(success) = success else {
                verdict = Verdict::Inconclusive(Why::Invalid(format!("trial {i} gave NaN")));
                return ControlFlow::Break(());
            };
            if let Some(decided) = test.push(success) {
                verdict = decided;
                return ControlFlow::Break(());
            }
            if context.interrupted() {
                verdict = Verdict::Inconclusive(Why::Interrupted);
                return ControlFlow::Break(());
            }
            context.progress(i + 1, cap, "trials");
            ControlFlow::Continue(())
        },
    );
    let (successes, trials) = test.counts();
    let mut outcome = Outcome::new(verdict).trials(trials).note(rates(zone, errors, cap));
    if trials > 0 {
        let rate = successes as f64 / trials as f64;
        outcome = outcome
            .estimate(rate)
            .margin(zone.margin(rate))
            .note(format!("{successes} of {trials} succeeded"));
    }
    if let Ok(interval) = Interval::clopper_pearson(successes, trials.max(1), 0.95) {
        outcome = outcome.interval(interval);
        outcome.notes.push(
            "the interval is Clopper and Pearson's for a fixed number of trials; the verdict is the sequential test's"
                .to_owned(),
        );
    }
    outcome
}

/// The sentence on hypotheses and error rates.
pub(crate) fn rates(zone: Zone, errors: Errors, cap: u64) -> String {
    let (null, alternative) =
        (collimate_figures::short_number(zone.null), collimate_figures::short_number(zone.alternative));
    let (less, more) = if zone.rising() { ("≤", "≥") } else { ("≥", "≤") };
    format!(
        "Upheld with probability at most {} if the value is {less} {null}; Refuted with probability at most {} if it is {more} {alternative}; cap {cap}",
        errors.false_support, errors.false_refutation
    )
}
