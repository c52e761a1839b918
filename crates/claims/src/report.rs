//! What is known about a claim after it has run.

use crate::{Kind, Meta, Outcome, Tier, Verdict, Why};
use collimate_figures::short_number;
use std::fmt;

/// What is known about a claim after it has run; printing it ends with the counterexample as Rust source.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What the claim says about itself.
    pub meta: Meta,
    /// What the run gave.
    pub outcome: Outcome,
    /// The tier of the run.
    pub tier: Tier,
    /// The seed of the run; the claim's own streams follow from it and the id.
    pub seed: u64,
    /// Wall time.
    pub seconds: f64,
}

impl Report {
    /// Whether the verdict is Upheld.
    pub fn upheld(&self) -> bool {
        self.outcome.verdict == Verdict::Upheld
    }

    /// Whether the verdict is Refuted.
    pub fn refuted(&self) -> bool {
        self.outcome.verdict == Verdict::Refuted
    }

    /// Whether the claim could not run because something is missing, or was interrupted.
    pub fn did_not_run(&self) -> bool {
        matches!(self.outcome.verdict, Verdict::Inconclusive(Why::Unavailable { .. } | Why::Interrupted))
    }

    /// Whether the verdict is what the kind demands: Upheld for a theorem, Refuted for a counterexample; an
    /// empirical claim may come out either way, but must not be malformed or panic.
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

    /// The number that sums the run up, in one line: margin, interval or count.
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
