//! Claims about the mean of a bounded quantity.

use super::builder::{ComparesValues, Judge, Trials, rates};
use super::sequence::{Bets, Lower, Method, scaled, unit};
use crate::context::Context;
use crate::meta::Meta;
use crate::outcome::Outcome;
use crate::verdict::{Verdict, Why};

/// A claim about the mean of a quantity with declared bounds, judged by anytime-valid one-sided bounds.
///
/// ```text
/// Upheld when the lower bound at error α passes `null`      Refuted when the upper bound at error β falls to `alternative`
/// ```
/// (mirrored when the claim is that the mean is small). Each bound holds at all times simultaneously, so stopping at the
/// first decision keeps both error rates. At the cap the claim is Inconclusive.
///
/// # Determinism
/// Trial `i` draws from child stream `i` of the claim, so the outcome is the same on any number of threads.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Mean, Meta, Subject, examine};
/// let meta = Meta::empirical("own/uniform", Subject::Own, "the mean of a uniform number is at least 0.45",
///     "independent draws; supported above 0.40, refuted below 0.45");
/// let claim = Mean::new(meta).bounds(0.0, 1.0).at_least(0.45, 0.05).trial(|stream| stream.uniform());
/// assert!(examine(&claim, &Budget::quick()).upheld());
/// ```
///
/// # References
/// Waudby-Smith and Ramdas (2024); Ville (1939).
pub type Mean = Trials<BoundedMean>;

/// The judge of [`Mean`].
pub struct BoundedMean {
    bounds: (f64, f64),
    method: Method,
}

impl Mean {
    /// Returns a claim that still needs bounds, hypotheses and a trial; the cap is 100 000 by default.
    pub fn new(meta: Meta) -> Self {
        Self::of(meta, 100_000, BoundedMean { bounds: (f64::NAN, f64::NAN), method: Method::Betting })
    }

    /// Declares the bounds of the quantity. A trial outside them makes the claim malformed.
    pub fn bounds(mut self, low: f64, high: f64) -> Self {
        self.judge.bounds = (low, high);
        self
    }

    /// Sets how the bounds on the mean are built; betting by default.
    pub fn method(mut self, method: Method) -> Self {
        self.judge.method = method;
        self
    }
}

impl ComparesValues for BoundedMean {}

/// One of the two tests of a mean: has the bound passed the tested value?
struct Side {
    lower: Lower,
    tested: f64,
    goal: f64,
    log_capital: f64,
    method: Method,
}

impl Side {
    fn new(tested: f64, gap: f64, error: f64, method: Method) -> Self {
        let bets = match method {
            Method::Betting => Bets::ApproximateGrowth(gap),
            Method::EmpiricalBernstein => Bets::PredictablePlugin,
        };
        let lower = Lower::new(error, method, bets);
        Self { lower, tested, goal: -error.ln(), log_capital: 0.0, method }
    }

    fn push(&mut self, y: f64) -> bool {
        let bet = self.lower.push(y);
        match self.method {
            // The capital falls as the candidate mean grows, so this decides without a search for the bound.
            Method::Betting => {
                self.log_capital += Lower::log_factor(bet, y, self.tested);
                self.log_capital >= self.goal
            }
            Method::EmpiricalBernstein => self.lower.bound() > self.tested,
        }
    }
}

impl Judge for BoundedMean {
    type Value = f64;

    const FORM: &'static str = "a mean";

    fn invalid(claim: &Mean) -> Option<String> {
        let (low, high) = claim.judge.bounds;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Some("a mean needs finite bounds, the lower one first".to_owned());
        }
        claim.zone.fault_within(low, high).or_else(|| claim.errors.fault(1.0))
    }

    fn judge(claim: &Mean, context: &Context) -> Outcome {
        let (zone, errors) = (claim.zone, claim.errors);
        let BoundedMean { bounds: (low, high), method } = claim.judge;
        let width = high - low;
        let rising = zone.rising();
        // In units of the width, mirrored if necessary, so that large numbers support the claim.
        let turned = |y: f64| if rising { y } else { 1.0 - y };
        let at = |m: f64| turned((m - low) / width);
        let gap = (zone.alternative - zone.null).abs() / width;
        let mut support = Side::new(at(zone.null), gap, errors.false_support, method);
        let mut against = Side::new(1.0 - at(zone.alternative), gap, errors.false_refutation, method);
        let cap = context.by_tier(claim.caps);
        let (mut trials, mut sum) = (0u64, 0.0);
        let verdict = claim.run_until(context, cap, |i, x| {
            let y = match unit(x, low, high) {
                Ok(y) => turned(y),
                Err(error) => {
                    return Some(Verdict::Inconclusive(Why::Invalid(format!("trial {i}: {error}"))));
                }
            };
            (trials, sum) = (trials + 1, sum + x);
            let (supported, refuted) = (support.push(y), against.push(1.0 - y));
            zone.settle(supported, refuted, sum / trials as f64)
        });
        let mut outcome = Outcome::new(verdict).trials(trials).note(rates(zone, errors, cap));
        if trials > 0 {
            let confidence = 1.0 - errors.false_support - errors.false_refutation;
            let (below, above) = if rising { (&support, &against) } else { (&against, &support) };
            let mean = sum / trials as f64;
            outcome = outcome.estimate(mean).margin(zone.margin(mean));
            outcome.interval = Some(scaled(&below.lower, &above.lower, low, high, confidence));
        }
        outcome
    }
}
