//! Recorded verdicts, and their differences from a run.

use super::results::Run;
use crate::claim::Claims;
use crate::error::ClaimsError;
use crate::meta::{Kind, Tier};
use crate::verdict::Verdict;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A verdict without its reason, as the lock records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recorded {
    /// Upheld.
    Upheld,
    /// Refuted.
    Refuted,
    /// Inconclusive.
    Inconclusive,
}

impl From<&Verdict> for Recorded {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Upheld => Self::Upheld,
            Verdict::Refuted => Self::Refuted,
            Verdict::Inconclusive(_) => Self::Inconclusive,
        }
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Upheld => "upheld",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
        })
    }
}

impl FromStr for Recorded {
    type Err = ClaimsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Upheld, Self::Refuted, Self::Inconclusive]
            .into_iter()
            .find(|verdict| verdict.to_string() == text)
            .ok_or_else(|| ClaimsError::UnknownVerdict { given: text.to_owned() })
    }
}

/// One line of the lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The recorded verdict of each tier.
    pub verdicts: BTreeMap<Tier, Recorded>,
    /// Further verdicts that are accepted, for example from another CPU level. They count only with an explanation.
    pub accepts: Vec<Recorded>,
    /// The reason for the last change of the verdict, or for accepting further verdicts. May be empty.
    pub explanation: String,
}

/// The kind of difference between a verdict and the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surprise {
    /// Tier and seed are equal and the lock has no explanation: the code changed the result.
    Unexplained,
    /// Tier and seed are equal and the lock accepts this verdict with an explanation.
    Explained,
    /// The seed differs from the recorded one. This is not a failure.
    OtherSeed,
}

/// A difference between a run and the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The claim.
    pub id: String,
    /// The verdict in the lock.
    pub recorded: Recorded,
    /// The verdict of the run.
    pub found: Recorded,
    /// The kind of difference.
    pub surprise: Surprise,
}

impl Change {
    /// Returns true if the change makes the run fail.
    pub fn fails(&self) -> bool {
        self.surprise == Surprise::Unexplained
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remark = match self.surprise {
            Surprise::Unexplained => "unexplained",
            Surprise::Explained => "explained in the lock",
            Surprise::OtherSeed => "under another seed",
        };
        write!(f, "{}: recorded {}, now {} ({remark})", self.id, self.recorded, self.found)
    }
}

/// The recorded verdicts of all claims, kept in the repository as `claims.lock`.
///
/// A run is compared line by line, at its own tier only, because the tiers run different protocols. With the seed of the lock the
/// run is reproducible to the bit. A different verdict was then caused by the code, and it is a failure unless the line accepts it
/// with an explanation. With another seed (`--seed`, `--fresh`) an empirical verdict may differ legitimately, because the truth can
/// lie inside the indifference zone. Such a change is reported and is not a failure. Theorems and counterexamples are judged by their
/// kind under every seed. A claim without a line is unrecorded, not changed.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Claims, Lock, Meta, Outcome, Runner, Study, Subject};
/// let meta = Meta::empirical("own/coin", Subject::Own, "the coin is fair", "threshold 1/2, zone 0.1");
/// let with = |outcome: fn() -> Outcome| Claims::new().with(Study::new(meta).run(move |_| outcome()));
/// let runner = Runner::new(Budget::quick());
/// let mut lock = Lock::default();
/// lock.update(&runner.run(&with(Outcome::upheld)).unwrap(), None).unwrap();
/// let changed = runner.run(&with(Outcome::refuted)).unwrap();
/// assert_eq!(changed.exit_status(&lock), 1);
/// lock.update(&changed, Some("a heavier coin")).unwrap();
/// assert_eq!(changed.exit_status(&lock), 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The seed of all recorded lines.
    pub seed: u64,
    /// The lines by id.
    pub entries: BTreeMap<String, Entry>,
}

impl Lock {
    /// Returns the differences between the lock and a run. Claims that did not run and unrecorded claims do not count.
    pub fn compare(&self, run: &Run) -> Vec<Change> {
        let mut changes = Vec::new();
        for report in run.reports.iter().filter(|report| !report.did_not_run()) {
            let Some(entry) = self.entries.get(report.meta.id) else { continue };
            let Some(&recorded) = entry.verdicts.get(&run.tier) else { continue };
            let found = Recorded::from(&report.outcome.verdict);
            if found != recorded {
                let explained = entry.accepts.contains(&found) && !entry.explanation.trim().is_empty();
                let surprise = match (run.seed == self.seed, explained) {
                    (true, false) => Surprise::Unexplained,
                    (true, true) => Surprise::Explained,
                    (false, _) => Surprise::OtherSeed,
                };
                changes.push(Change { id: report.meta.id.to_owned(), recorded, found, surprise });
            }
        }
        changes
    }

    /// Records the verdicts of a run and returns the changes. Lines of claims that did not run stay unchanged.
    ///
    /// # Errors
    /// [`ClaimsError::OtherSeed`] when the lock was written under another seed: mixing seeds would make the next
    /// comparison meaningless. [`ClaimsError::Unexplained`] when an empirical verdict changes without an explanation.
    /// [`ClaimsError::Broken`] when a theorem or counterexample fails: a broken run is not recorded. The lock is
    /// unchanged after an error.
    pub fn update(&mut self, run: &Run, explanation: Option<&str>) -> Result<Vec<Change>, ClaimsError> {
        if run.seed != self.seed && !self.entries.is_empty() {
            return Err(ClaimsError::OtherSeed { lock: self.seed, run: run.seed });
        }
        if let Some(failed) = run.failures().next() {
            return Err(ClaimsError::Broken { id: failed.meta.id.to_owned() });
        }
        // With the lock's own seed every change counts, explained or not.
        let changes = Self { seed: run.seed, entries: self.entries.clone() }.compare(run);
        let explanation = explanation.map(str::trim).filter(|text| !text.is_empty());
        let empirical =
            |id: &str| run.reports.iter().any(|r| r.meta.id == id && r.meta.kind == Kind::Empirical);
        if let (Some(change), None) =
            (changes.iter().find(|change| change.fails() && empirical(&change.id)), explanation)
        {
            return Err(ClaimsError::Unexplained { change: change.to_string() });
        }
        self.seed = run.seed;
        for report in run.reports.iter().filter(|report| !report.did_not_run()) {
            let entry = self.entries.entry(report.meta.id.to_owned()).or_default();
            entry.verdicts.insert(run.tier, Recorded::from(&report.outcome.verdict));
        }
        for change in &changes {
            if let (Some(entry), Some(text)) = (self.entries.get_mut(&change.id), explanation) {
                entry.explanation = text.to_owned();
            }
        }
        Ok(changes)
    }

    /// Returns the ids of lines without a registered claim.
    pub fn stale(&self, claims: &Claims) -> Vec<String> {
        self.entries.keys().filter(|id| claims.get(id).is_none()).cloned().collect()
    }

    /// Removes the lines without a registered claim.
    pub fn prune(&mut self, claims: &Claims) {
        self.entries.retain(|id, _| claims.get(id).is_some());
    }
}

impl Run {
    /// Returns the exit status of the run.
    ///
    /// ```text
    /// 1  a failed theorem or counterexample, or a change from the lock without an explanation there
    /// 2  a selected claim could not run
    /// 0  otherwise
    /// ```
    pub fn exit_status(&self, lock: &Lock) -> u8 {
        if self.failures().next().is_some() || lock.compare(self).iter().any(|change| change.fails()) {
            1
        } else if !self.not_run().is_empty() {
            2
        } else {
            0
        }
    }
}
