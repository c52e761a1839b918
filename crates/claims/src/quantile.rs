//! Claims about a quantile, for quantities without bounds.

use crate::proportion::sequential;
use crate::{Claim, Context, Errors, Meta, Outcome, Sprt, Verdict, Why, Zone, in_order};
use collimate_measure::Interval;
use collimate_stream::RngStream;
use statrs::distribution::{Binomial, DiscreteCDF};
use std::ops::ControlFlow;

/// A claim about a quantile (by default the median) of a quantity that needs no bounds: the sign test.
///
/// ```text
/// "the q-quantile is at least t":   s = P(X ≥ t);   false when s ≤ 1−q,   true when s ≥ 1−q+z
/// "the q-quantile is at most t":    s = P(X ≤ t);   false when s ≤ q,     true when s ≥ q+z
/// ```
/// The zone `z` is a probability. With paired differences and `t = 0` this asks whether one thing is larger than the
/// other more often than not. Judged by a sequential test, or by the exact binomial law at a fixed number of trials.
///
/// # Determinism
/// Trial `i` draws from child stream `i` of the claim: the same outcome on any number of threads.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Meta, Quantile, Subject, examine};
/// let meta = Meta::empirical("own/shifted", Subject::Own, "the median of a shifted normal number exceeds 0",
///     "independent draws; share above 0 at most 1/2 against at least 3/4");
/// let claim = Quantile::new(meta).at_least(0.0).zone(0.25).trial(|stream| 1.0 + stream.normal());
/// assert!(examine(&claim, &Budget::quick()).upheld());
/// ```
///
/// # References
/// Arbuthnott (1710) for the sign test.
pub struct Quantile {
    meta: Meta,
    level: f64,
    threshold: f64,
    above: bool,
    zone: f64,
    errors: Errors,
    trials: [u64; 3],
    fixed: bool,
    trial: Option<Box<dyn Fn(&mut RngStream) -> f64 + Send + Sync>>,
}

impl Quantile {
    /// A claim about the median that still needs its threshold and its trial; the zone defaults to 0.2, errors to
    /// 10⁻⁴, the cap to 100 000.
    pub fn new(meta: Meta) -> Self {
        Self {
            meta,
            level: 0.5,
            threshold: f64::NAN,
            above: true,
            zone: 0.2,
            errors: Errors::default(),
            trials: [100_000; 3],
            fixed: false,
            trial: None,
        }
    }

    /// Another quantile than the median.
    pub fn level(mut self, level: f64) -> Self {
        self.level = level;
        self
    }

    /// "The quantile is at least `threshold`."
    pub fn at_least(mut self, threshold: f64) -> Self {
        (self.threshold, self.above) = (threshold, true);
        self
    }

    /// "The quantile is at most `threshold`."
    pub fn at_most(mut self, threshold: f64) -> Self {
        (self.threshold, self.above) = (threshold, false);
        self
    }

    /// The width of the indifference zone, as a probability.
    pub fn zone(mut self, width: f64) -> Self {
        self.zone = width;
        self
    }

    /// Bounds on the probabilities of false support and of false refutation.
    pub fn errors(mut self, false_support: f64, false_refutation: f64) -> Self {
        self.errors = Errors { false_support, false_refutation };
        self
    }

    /// Tests sequentially, with these caps by tier (quick, standard, nightly).
    pub fn caps(mut self, by_tier: [u64; 3]) -> Self {
        (self.trials, self.fixed) = (by_tier, false);
        self
    }

    /// Tests once, after these numbers of trials by tier, by the exact binomial law.
    pub fn fixed(mut self, by_tier: [u64; 3]) -> Self {
        (self.trials, self.fixed) = (by_tier, true);
        self
    }

    /// One independent trial.
    pub fn trial(mut self, trial: impl Fn(&mut RngStream) -> f64 + Send + Sync + 'static) -> Self {
        self.trial = Some(Box::new(trial));
        self
    }
}

impl Claim for Quantile {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn run(&self, context: &mut Context) -> Outcome {
        let null = if self.above { 1.0 - self.level } else { self.level };
        let zone = Zone::new(null, null + self.zone);
        let reason = match Sprt::invalid(&zone, &self.errors) {
            Some(reason) => Some(reason),
            None if self.threshold.is_nan() => Some("a quantile needs `at_least` or `at_most`".to_owned()),
            None if self.zone < 0.0 => Some("the zone is a width: it cannot be negative".to_owned()),
            None => self.trial.is_none().then(|| "a quantile needs `trial`".to_owned()),
        };
        let Some(trial) = self.trial.as_ref().filter(|_| reason.is_none()) else {
            return Outcome::inconclusive(Why::Invalid(reason.unwrap_or_default()));
        };
        let success = |stream: &mut RngStream| {
            let x = trial(stream);
            (!x.is_nan()).then_some(if self.above { x >= self.threshold } else { x <= self.threshold })
        };
        let trials = context.by_tier(self.trials);
        let outcome = if self.fixed {
            binomial(context, trials, zone, self.errors, success)
        } else {
            sequential(context, trials, zone, self.errors, success)
        };
        let (side, t) = (if self.above { "≥" } else { "≤" }, collimate_figures::short_number(self.threshold));
        outcome.note(format!("the estimate is the share of trials {side} {t}"))
    }
}

/// The exact binomial test of both hypotheses after a fixed number of trials.
fn binomial(
    context: &Context,
    trials: u64,
    zone: Zone,
    errors: Errors,
    trial: impl Fn(&mut RngStream) -> Option<bool> + Sync,
) -> Outcome {
    let base = context.named_stream("trials");
    let (mut successes, mut done, mut broken) = (0u64, 0u64, None);
    in_order::for_each(
        context.budget().threads,
        trials,
        |i| trial(&mut base.child(i)),
        |i, success| {
            match success {
                _ if context.interrupted() => broken = Some(Why::Interrupted),
                None => broken = Some(Why::Invalid(format!("trial {i} gave NaN"))),
                Some(success) => {
                    (successes, done) = (successes + u64::from(success), done + 1);
                    context.progress(done, trials, "trials");
                    return ControlFlow::Continue(());
                }
            }
            ControlFlow::Break(())
        },
    );
    if let Some(why) = broken {
        return Outcome::inconclusive(why).trials(done);
    }
    if trials == 0 {
        return Outcome::inconclusive(Why::Invalid("a fixed test needs trials".to_owned()));
    }
    let law = |p: f64| Binomial::new(p, trials).expect("a probability, checked before");
    // P(K ≥ k) if the claim is false, P(K ≤ k) if it is true.
    let against_null = if successes == 0 { 1.0 } else { law(zone.null).sf(successes - 1) };
    let against_alternative = law(zone.alternative).cdf(successes);
    let supported = against_null <= errors.false_support;
    let verdict = match (supported, against_alternative <= errors.false_refutation) {
        (true, false) => Verdict::Upheld,
        (false, true) => Verdict::Refuted,
        (true, true) if zone.margin(successes as f64 / trials as f64) >= 0.0 => Verdict::Upheld,
        (true, true) => Verdict::Refuted,
        (false, false) => Verdict::Inconclusive(Why::Cap),
    };
    let rate = successes as f64 / trials as f64;
    let mut outcome = Outcome::new(verdict)
        .trials(trials)
        .estimate(rate)
        .margin(zone.margin(rate))
        .note(format!("{successes} of {trials}: exact binomial tail {against_null:.2e} at the null, {against_alternative:.2e} at the alternative"))
        .note(crate::proportion::rates(zone, errors, trials));
    outcome.interval = Interval::clopper_pearson(successes, trials, 0.95).ok();
    outcome
}
