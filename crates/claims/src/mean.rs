//! Claims about the mean of a bounded quantity.

use crate::sequence::{Lower, Stakes, scaled, unit};
use crate::{Claim, Context, Errors, Meta, Method, Outcome, Verdict, Why, Zone, in_order};
use collimate_stream::RngStream;
use std::ops::ControlFlow;

/// A claim about the mean of a quantity with declared bounds, judged by anytime-valid one-sided bounds.
///
/// ```text
/// Upheld when the lower bound at error α passes `null`      Refuted when the upper bound at error β falls to `alternative`
/// ```
/// (mirrored when the claim is that the mean is small). Both bounds hold at every moment at once, so stopping at the
/// first decision keeps both error rates; the cap makes the claim Inconclusive.
///
/// # Determinism
/// Trial `i` draws from child stream `i` of the claim: the same outcome on any number of threads.
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
pub struct Mean {
    meta: Meta,
    bounds: (f64, f64),
    zone: Zone,
    errors: Errors,
    method: Method,
    caps: [u64; 3],
    trial: Option<Box<dyn Fn(&mut RngStream) -> f64 + Send + Sync>>,
}

impl Mean {
    /// A claim that still needs bounds, hypotheses and a trial; errors default to 10⁻⁴, the cap to 100 000.
    pub fn new(meta: Meta) -> Self {
        Self {
            meta,
            bounds: (f64::NAN, f64::NAN),
            zone: Zone::new(f64::NAN, f64::NAN),
            errors: Errors::default(),
            method: Method::Betting,
            caps: [100_000; 3],
            trial: None,
        }
    }

    /// The bounds no trial may leave.
    pub fn bounds(mut self, low: f64, high: f64) -> Self {
        self.bounds = (low, high);
        self
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

    /// Bounds on the probabilities of false support and of false refutation.
    pub fn errors(mut self, false_support: f64, false_refutation: f64) -> Self {
        self.errors = Errors { false_support, false_refutation };
        self
    }

    /// How the bounds are built; betting by default.
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
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
    pub fn trial(mut self, trial: impl Fn(&mut RngStream) -> f64 + Send + Sync + 'static) -> Self {
        self.trial = Some(Box::new(trial));
        self
    }

    fn invalid(&self) -> Option<String> {
        let (low, high) = self.bounds;
        let inside = |m: f64| m >= low && m <= high;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Some("a mean needs finite bounds, the lower one first".to_owned());
        }
        if !inside(self.zone.null)
            || !inside(self.zone.alternative)
            || self.zone.null == self.zone.alternative
        {
            let (null, alternative) = (self.zone.null, self.zone.alternative);
            return Some(format!(
                "two different hypotheses inside the bounds are needed, given {null} and {alternative}"
            ));
        }
        (!self.errors.valid()).then(|| "error rates must lie between 0 and 1".to_owned())
    }
}

/// One of the two tests inside a mean: has the bound passed the tested value?
struct Side {
    lower: Lower,
    tested: f64,
    goal: f64,
    log_capital: f64,
    method: Method,
}

impl Side {
    fn new(tested: f64, gap: f64, error: f64, method: Method) -> Self {
        let stakes = if method == Method::Betting { Stakes::Gap(gap) } else { Stakes::Plugin };
        let lower = Lower::new(error, method, stakes);
        Self { lower, tested, goal: -error.ln(), log_capital: 0.0, method }
    }

    fn push(&mut self, y: f64) -> bool {
        let stake = self.lower.push(y);
        match self.method {
            // By monotony in the candidate this is "the bound has passed it", without searching for the bound.
            Method::Betting => {
                self.log_capital += Lower::log_factor(stake, y, self.tested);
                self.log_capital >= self.goal
            }
            Method::EmpiricalBernstein => self.lower.bound() > self.tested,
        }
    }
}

impl Claim for Mean {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn run(&self, context: &mut Context) -> Outcome {
        if let Some(reason) = self.invalid() {
            return Outcome::inconclusive(Why::Invalid(reason));
        }
        let Some(trial) = &self.trial else {
            return Outcome::inconclusive(Why::Invalid("a mean needs `trial`".to_owned()));
        };
        let (low, high) = self.bounds;
        let width = high - low;
        let rising = self.zone.rising();
        // In units of the width, turned so that large numbers support the claim.
        let turned = |y: f64| if rising { y } else { 1.0 - y };
        let at = |m: f64| turned((m - low) / width);
        let gap = (self.zone.alternative - self.zone.null).abs() / width;
        let mut support = Side::new(at(self.zone.null), gap, self.errors.false_support, self.method);
        let mut against =
            Side::new(1.0 - at(self.zone.alternative), gap, self.errors.false_refutation, self.method);
        let cap = context.by_tier(self.caps);
        let mut verdict = Verdict::Inconclusive(Why::Cap);
        let (mut trials, mut sum) = (0u64, 0.0);
        let base = context.named_stream("trials");
        in_order::for_each(
            context.budget().threads,
            cap,
            |i| trial(&mut base.child(i)),
            |i, x| {
                let y = match unit(x, low, high) {
                    Ok(y) => turned(y),
                    Err(error) => {
                        verdict = Verdict::Inconclusive(Why::Invalid(format!("trial {i}: {error}")));
                        return ControlFlow::Break(());
                    }
                };
                (trials, sum) = (trials + 1, sum + x);
                verdict = match (support.push(y), against.push(1.0 - y)) {
                    // Both at once happens only inside the zone, where either verdict is right.
                    (true, true) if self.zone.margin(sum / trials as f64) < 0.0 => Verdict::Refuted,
                    (true, _) => Verdict::Upheld,
                    (false, true) => Verdict::Refuted,
                    (false, false) if context.interrupted() => Verdict::Inconclusive(Why::Interrupted),
                    (false, false) => {
                        context.progress(i + 1, cap, "trials");
                        return ControlFlow::Continue(());
                    }
                };
                ControlFlow::Break(())
            },
        );
        let note = crate::proportion::rates(self.zone, self.errors, cap);
        let mut outcome = Outcome::new(verdict).trials(trials).note(note);
        if trials > 0 {
            let confidence = (1.0 - self.errors.false_support - self.errors.false_refutation).max(0.0);
            let (below, above) = if rising { (&support, &against) } else { (&against, &support) };
            let mean = sum / trials as f64;
            outcome = outcome.estimate(mean).margin(self.zone.margin(mean));
            outcome.interval = Some(scaled(&below.lower, &above.lower, low, high, confidence));
        }
        outcome
    }
}
