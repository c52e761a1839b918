//! The outcome of a claim.

use crate::verdict::{Verdict, Why};
use collimate_figures::Figure;
use collimate_measure::{Interval, Measurement};

/// An input on which a claim fails.
#[derive(Clone, Debug, PartialEq)]
pub struct Counterexample {
    /// The input as Rust source, ready to paste.
    pub literal: String,
    /// The names and values of its dimensions.
    pub dims: Vec<(&'static str, usize)>,
    /// The margin at this input: negative, or NaN.
    pub margin: f64,
    /// The number of accepted steps that made it smaller or simpler.
    pub shrink_steps: u64,
}

/// The outcome of a claim: a plain struct with methods that fill it.
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
    /// The verdict.
    pub verdict: Verdict,
    /// The number of random inputs judged, or of trials run.
    pub trials: u64,
    /// The number of inputs that the generator or the domain of the claim rejected.
    pub rejected: u64,
    /// The number of inputs of guided search, which `trials` does not include.
    pub guided: u64,
    /// The smallest margin, or the distance of the estimate from the middle of the zone. Negative values contradict the claim.
    pub margin: Option<f64>,
    /// The estimate of the quantity in the claim.
    pub estimate: Option<f64>,
    /// An interval for the quantity.
    pub interval: Option<Interval>,
    /// True if the interval is approximate, so that its confidence and the error rates are nominal.
    pub approximate: bool,
    /// The smallest counterexample found.
    pub counterexample: Option<Counterexample>,
    /// Further measurements.
    pub measurements: Vec<Measurement>,
    /// Figures for the report.
    pub figures: Vec<Figure>,
    /// Sentences for the report.
    pub notes: Vec<String>,
}

impl Outcome {
    /// Returns an outcome with only a verdict.
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

    /// Returns an upheld outcome.
    pub fn upheld() -> Self {
        Self::new(Verdict::Upheld)
    }

    /// Returns a refuted outcome.
    pub fn refuted() -> Self {
        Self::new(Verdict::Refuted)
    }

    /// Returns an inconclusive outcome.
    pub fn inconclusive(why: Why) -> Self {
        Self::new(Verdict::Inconclusive(why))
    }

    /// Returns the outcome of a claim that could not run, with the missing thing and the way to get it.
    pub fn unavailable(missing: impl Into<String>, how_to_get: impl Into<String>) -> Self {
        Self::inconclusive(Why::Unavailable { missing: missing.into(), how_to_get: how_to_get.into() })
    }

    /// Returns Upheld if the margin is at least zero, and Refuted if it is negative or NaN.
    pub fn of_margin(margin: f64) -> Self {
        let verdict = if margin >= 0.0 { Verdict::Upheld } else { Verdict::Refuted };
        Self::new(verdict).margin(margin)
    }

    /// Sets the number of trials.
    pub fn trials(mut self, trials: u64) -> Self {
        self.trials = trials;
        self
    }

    /// Sets the margin.
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = Some(margin);
        self
    }

    /// Sets the estimate.
    pub fn estimate(mut self, estimate: f64) -> Self {
        self.estimate = Some(estimate);
        self
    }

    /// Sets an interval whose confidence is guaranteed.
    pub fn interval(mut self, interval: Interval) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Sets an interval whose confidence is only nominal (bootstrap, normal theory). The report labels it approximate.
    pub fn approximate_interval(mut self, interval: Interval) -> Self {
        self.interval = Some(interval);
        self.approximate = true;
        self
    }

    /// Sets a counterexample, in words or Rust source.
    pub fn counterexample(mut self, literal: impl Into<String>) -> Self {
        let margin = self.margin.unwrap_or(f64::NAN);
        let literal = literal.into();
        self.counterexample = Some(Counterexample { literal, dims: Vec::new(), margin, shrink_steps: 0 });
        self
    }

    /// Adds a measurement.
    pub fn measured(mut self, measurement: Measurement) -> Self {
        self.measurements.push(measurement);
        self
    }

    /// Adds a figure.
    pub fn figure(mut self, figure: Figure) -> Self {
        self.figures.push(figure);
        self
    }

    /// Adds a sentence.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}
