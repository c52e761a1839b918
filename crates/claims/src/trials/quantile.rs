//! Claims about a quantile, for quantities without bounds.

use super::builder::{Judge, Trials, rates};
use super::proportion::{gave_nan, sequential};
use super::sprt::Sprt;
use crate::context::Context;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::verdict::{Verdict, Why};
use crate::zone::Zone;
use collimate_measure::Interval;
use statrs::distribution::{Binomial, DiscreteCDF};

/// A claim about a quantile (by default the median) of a quantity that needs no bounds: the sign test.
///
/// ```text
/// "the q-quantile is at least t":   s = P(X ≥ t);   false when s ≤ 1−q,   true when s ≥ 1−q+z
/// "the q-quantile is at most t":    s = P(X ≤ t);   false when s ≤ q,     true when s ≥ q+z
/// ```
/// The zone `z` is a probability. With paired differences and `t = 0`, the claim compares two quantities: the first is larger than
/// the second more often than not. The judge is a sequential test, or the exact binomial law at a fixed number of trials.
///
/// # Determinism
/// Trial `i` draws from child stream `i` of the claim, so the outcome is the same on any number of threads.
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
pub type Quantile = Trials<SignTest>;

/// The judge of [`Quantile`].
pub struct SignTest {
    level: f64,
    threshold: f64,
    above: bool,
    width: f64,
    fixed: bool,
}

impl Quantile {
    /// Returns a claim about the median that still needs its threshold and its trial; the zone is 0.2 and the cap 100 000 by
    /// default.
    pub fn new(meta: Meta) -> Self {
        let judge = SignTest { level: 0.5, threshold: f64::NAN, above: true, width: 0.2, fixed: false };
        Self::of(meta, 100_000, judge)
    }

    /// Sets the level of the quantile; 1/2 (the median) by default.
    pub fn level(mut self, level: f64) -> Self {
        self.judge.level = level;
        self
    }

    /// Claims that the quantile is at least `threshold`.
    pub fn at_least(mut self, threshold: f64) -> Self {
        (self.judge.threshold, self.judge.above) = (threshold, true);
        self
    }

    /// Claims that the quantile is at most `threshold`.
    pub fn at_most(mut self, threshold: f64) -> Self {
        (self.judge.threshold, self.judge.above) = (threshold, false);
        self
    }

    /// Sets the width of the indifference zone, as a probability.
    pub fn zone(mut self, width: f64) -> Self {
        self.judge.width = width;
        self
    }

    /// Tests once, by the exact binomial law, after a number of trials that is given by tier (quick, standard, nightly).
    pub fn fixed(mut self, by_tier: [u64; 3]) -> Self {
        self.judge.fixed = true;
        self.caps(by_tier)
    }
}

impl SignTest {
    fn zone(&self) -> Zone {
        let null = if self.above { 1.0 - self.level } else { self.level };
        // The share of trials on the claimed side must be large, so the zone lies above the null.
        Zone::above(null, self.width)
    }

    /// Returns true if a trial supports the claim, and `None` for NaN.
    fn success(&self, x: f64) -> Option<bool> {
        (!x.is_nan()).then_some(if self.above { x >= self.threshold } else { x <= self.threshold })
    }
}

impl Judge for SignTest {
    type Value = f64;

    const FORM: &'static str = "a quantile";

    fn invalid(claim: &Quantile) -> Option<String> {
        let judge = &claim.judge;
        let threshold = judge.threshold;
        if threshold.is_nan() {
            return Some("a quantile needs `at_least` or `at_most` with a number".to_owned());
        }
        if !(judge.level > 0.0 && judge.level < 1.0) {
            return Some(format!("the level of a quantile must lie between 0 and 1, but is {}", judge.level));
        }
        Sprt::invalid(&judge.zone(), &claim.errors)
    }

    fn judge(claim: &Quantile, context: &Context) -> Outcome {
        let judge = &claim.judge;
        let outcome = if judge.fixed {
            binomial(claim, context)
        } else {
            sequential(claim, context, judge.zone(), |x| judge.success(x))
        };
        let (side, t) =
            (if judge.above { "≥" } else { "≤" }, collimate_figures::short_number(judge.threshold));
        outcome.note(format!("the estimate is the share of trials {side} {t}"))
    }
}

/// Tests both hypotheses after a fixed number of trials by the exact binomial law.
fn binomial(claim: &Quantile, context: &Context) -> Outcome {
    let (zone, errors, trials) = (claim.judge.zone(), claim.errors, context.by_tier(claim.caps));
    let (mut successes, mut done) = (0u64, 0u64);
    let stopped = claim.run_until(context, trials, |i, x| {
        let Some(success) = claim.judge.success(x) else { return Some(gave_nan(i)) };
        (successes, done) = (successes + u64::from(success), done + 1);
        None
    });
    if stopped != Verdict::Inconclusive(Why::Cap) {
        return Outcome::new(stopped).trials(done);
    }
    let law = |p: f64| Binomial::new(p, trials).expect("a probability, checked before");
    // P(K ≥ k) if the claim is false, P(K ≤ k) if it is true.
    let against_null = if successes == 0 { 1.0 } else { law(zone.null).sf(successes - 1) };
    let against_alternative = law(zone.alternative).cdf(successes);
    let rate = successes as f64 / trials as f64;
    let supported = against_null <= errors.false_support;
    let refuted = against_alternative <= errors.false_refutation;
    let verdict = zone.settle(supported, refuted, rate).unwrap_or(Verdict::Inconclusive(Why::Cap));
    let mut outcome = Outcome::new(verdict)
        .trials(trials)
        .estimate(rate)
        .margin(zone.margin(rate))
        .note(format!("{successes} of {trials}: exact binomial tail {against_null:.2e} at the null, {against_alternative:.2e} at the alternative"))
        .note(rates(zone, errors, trials));
    outcome.interval = Interval::clopper_pearson(successes, trials, 0.95).ok();
    outcome
}
