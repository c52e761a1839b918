//! The report of a claim.

use crate::meta::{Kind, Meta, Tier};
use crate::outcome::Outcome;
use crate::verdict::{Verdict, Why};
use collimate_figures::short_number;
use std::fmt;

/// The report of a claim that has run. Its printed form ends with the counterexample as Rust source.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The description of the claim.
    pub meta: Meta,
    /// The outcome.
    pub outcome: Outcome,
    /// The tier of the run.
    pub tier: Tier,
    /// The seed of the run. The claim's own streams follow from the seed and the id.
    pub seed: u64,
    /// The wall time in seconds.
    pub seconds: f64,
}

impl Report {
    /// Returns true if the verdict is Upheld.
    pub fn upheld(&self) -> bool {
        self.outcome.verdict == Verdict::Upheld
    }

    /// Returns true if the verdict is Refuted.
    pub fn refuted(&self) -> bool {
        self.outcome.verdict == Verdict::Refuted
    }

    /// Returns true if the claim could not run because something is missing, or was interrupted.
    pub fn did_not_run(&self) -> bool {
        matches!(self.outcome.verdict, Verdict::Inconclusive(Why::Unavailable { .. } | Why::Interrupted))
    }

    /// Returns true if the verdict is as the kind demands: Upheld for a theorem, Refuted for a counterexample. An
    /// empirical claim may have any verdict, but must not be malformed or panic.
    pub fn as_expected(&self) -> bool {
        match self.meta.kind {
            Kind::Theorem => self.upheld(),
            Kind::Counterexample => self.refuted(),
            Kind::Empirical => !matches!(
                self.outcome.verdict,
                Verdict::Inconclusive(Why::Panicked(_) | Why::Invalid(_) | Why::Vacuous { .. })
            ),
        }
    }

    /// Returns the numbers that summarise the run, in one line: estimate, interval, margin and number of trials.
    pub fn summary(&self) -> String {
        let outcome = &self.outcome;
        let mut parts = Vec::new();
        if let Some(estimate) = outcome.estimate {
            parts.push(format!("estimate {}", short_number(estimate)));
        }
        if let Some(interval) = outcome.interval {
            let label = if outcome.approximate { ", approximate" } else { "" };
            parts.push(format!("interval {interval}{label}"));
        }
        if let (Some(margin), None) = (outcome.margin, outcome.interval) {
            parts.push(format!("margin {}", short_number(margin)));
        }
        match outcome.trials {
            0 => {}
            1 => parts.push("1 trial".to_owned()),
            trials => parts.push(format!("{trials} trials")),
        }
        parts.join("; ")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = &self.outcome;
        writeln!(f, "{}: {}", self.meta.id, outcome.verdict)?;
        writeln!(f, "  {} ({}): {}", self.meta.kind, self.meta.subject, self.meta.statement)?;
        let summary = self.summary();
        if !summary.is_empty() {
            writeln!(f, "  {summary}")?;
        }
        if outcome.rejected > 0 {
            writeln!(f, "  {} inputs rejected", outcome.rejected)?;
        }
        for measurement in &outcome.measurements {
            writeln!(f, "  {measurement}")?;
        }
        for note in &outcome.notes {
            writeln!(f, "  {note}")?;
        }
        write!(f, "  {} tier, seed {}, {:.2} s", self.tier, self.seed, self.seconds)?;
        if let Some(counterexample) = &outcome.counterexample {
            write!(f, "\n{}", counterexample.literal)?;
        }
        Ok(())
    }
}
