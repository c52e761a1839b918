//! What a claim hands back when it has run.

use crate::{Figure, Verdict, Why};
use collimate_measure::{Interval, Measurement};

/// An input on which a claim fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Counterexample {
    /// The input as Rust source, ready to paste.
    pub literal: String,
    /// The names and values of the dimensions it was drawn with.
    pub dims: Vec<(&'static str, usize)>,
    /// The margin there: negative, or NaN.
    pub margin: f64,
    /// How many accepted steps made it smaller or simpler.
    pub shrink_steps: u64,
}

/// What a claim hands back when it has run; a plain struct that fluent methods fill.
///
/// # Examples
/// ```
/// use collimate_claims::{Outcome, Verdict};
/// let outcome = Outcome::upheld().trials(100).margin(0.25).note("layer 9 only");
/// assert_eq!(outcome.verdict, Verdict::Upheld);
/// assert_eq!(outcome.trials, 100);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The answer.
    pub verdict: Verdict,
    /// Random inputs judged, or trials run.
    pub trials: u64,
    /// Inputs drawn but rejected by the generator or by the claim's domain.
    pub rejected: u64,
    /// Inputs tried by guided search, on top of `trials`.
    pub guided: u64,
    /// The smallest margin seen, or the distance of the estimate from the threshold; negative speaks against the claim.
    pub margin: Option<f64>,
    /// The estimate of the quantity the claim speaks of.
    pub estimate: Option<f64>,
    /// An interval for it.
    pub interval: Option<Interval>,
    /// Whether the interval is approximate, so that its confidence and the error rates are nominal.
    pub approximate: bool,
    /// The smallest counterexample found.
    pub counterexample: Option<Counterexample>,
    /// Further measured numbers.
    pub measurements: Vec<Measurement>,
    /// Figures for the report.
    pub figures: Vec<Figure>,
    /// Sentences for the report.
    pub notes: Vec<String>,
}

impl Outcome {
    /// An outcome with only a verdict.
    pub fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            trials: 0,
            rejected: 0,
            guided: 0,
            margin: None,
            estimate: None,
            interval: None,
            approximate: false,
            counterexample: None,
            measurements: Vec::new(),
            figures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// An upheld outcome.
    pub fn upheld() -> Self {
        Self::new(Verdict::Upheld)
    }

    /// A refuted outcome.
    pub fn refuted() -> Self {
        Self::new(Verdict::Refuted)
    }

    /// An outcome without an answer.
    pub fn inconclusive(why: Why) -> Self {
        Self::new(Verdict::Inconclusive(why))
    }

    /// The claim could not run: what is missing, and how to get it.
    pub fn unavailable(missing: impl Into<String>, how_to_get: impl Into<String>) -> Self {
        Self::inconclusive(Why::Unavailable { missing: missing.into(), how_to_get: how_to_get.into() })
    }

    /// Upheld when the margin is at least zero, Refuted when it is negative or NaN.
    pub fn of_margin(margin: f64) -> Self {
        let verdict = if margin >= 0.0 { Verdict::Upheld } else { Verdict::Refuted };
        Self::new(verdict).margin(margin)
    }

    /// With the number of trials.
    pub fn trials(mut self, trials: u64) -> Self {
        self.trials = trials;
        self
    }

    /// With a margin.
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = Some(margin);
        self
    }

    /// With an estimate.
    pub fn estimate(mut self, estimate: f64) -> Self {
        self.estimate = Some(estimate);
        self
    }

    /// With an interval whose confidence is guaranteed.
    pub fn interval(mut self, interval: Interval) -> Self {
        self.interval = Some(interval);
        self
    }

    /// With an interval whose confidence is only nominal (bootstrap, normal theory); the report says so.
    pub fn approximate_interval(mut self, interval: Interval) -> Self {
        self.interval = Some(interval);
        self.approximate = true;
        self
    }

    /// With a counterexample in words or Rust source.
    pub fn counterexample(mut self, literal: impl Into<String>) -> Self {
        let margin = self.margin.unwrap_or(f64::NAN);
        let literal = literal.into();
        self.counterexample = Some(Counterexample { literal, dims: Vec::new(), margin, shrink_steps: 0 });
        self
    }

    /// With one more measured number.
    pub fn measured(mut self, measurement: Measurement) -> Self {
        self.measurements.push(measurement);
        self
    }

    /// With one more figure.
    pub fn figure(mut self, figure: Figure) -> Self {
        self.figures.push(figure);
        self
    }

    /// With one more sentence.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}
