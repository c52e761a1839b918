//! Recorded verdicts: what changed since they were written down.

use crate::{ClaimsError, Kind, Run, Tier, Verdict};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A verdict as it is recorded: without its reason.
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
    /// The verdict at each tier that was recorded.
    pub verdicts: BTreeMap<Tier, Recorded>,
    /// Other verdicts that are no surprise (on another CPU level, say); they count only with an explanation.
    pub accepts: Vec<Recorded>,
    /// Why the verdict changed when it last did, or why others are accepted; empty when there is nothing to say.
    pub explanation: String,
}

/// How a verdict differs from the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surprise {
    /// Same tier and seed, and the lock does not explain it: the code changed the result.
    Unexplained,
    /// Same tier and seed, and the lock accepts this verdict with an explanation.
    Explained,
    /// Another seed than the recorded one: worth reading, no failure.
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
    /// What to make of it.
    pub surprise: Surprise,
}

impl Change {
    /// Whether it makes the run fail.
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
/// A run is compared line by line, at its own tier only: what quick finds says nothing about what nightly found. With the
/// seed of the lock the run is bit-reproducible, so a verdict that differs was changed by the code: a failure unless the
/// line accepts it with an explanation. With another seed (`--seed`, `--fresh`) an empirical verdict may differ honestly:
/// the truth can lie inside the indifference zone. Such a change is reported and is no failure. Theorems and
/// counterexamples are judged by their kind under every seed; the lock adds nothing to that. A claim that has no line
/// yet is unrecorded, not changed.
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
    /// The seed under which all lines were recorded.
    pub seed: u64,
    /// The lines, by id.
    pub entries: BTreeMap<String, Entry>,
}

impl Lock {
    /// What differs from the lock; claims that did not run and unrecorded claims do not count.
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

    /// Ids that ran and have no verdict recorded at the tier of the run.
    pub fn unrecorded(&self, run: &Run) -> Vec<&'static str> {
        let known =
            |id: &str| self.entries.get(id).is_some_and(|entry| entry.verdicts.contains_key(&run.tier));
        let ran = run.reports.iter().filter(|report| !report.did_not_run());
        ran.map(|report| report.meta.id).filter(|id| !known(id)).collect()
    }

    /// Records the verdicts of a run and returns what changed; lines of claims that did not run stay as they are.
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

    /// Ids of lines that belong to no registered claim.
    pub fn stale(&self, claims: &crate::Claims) -> Vec<String> {
        self.entries.keys().filter(|id| claims.get(id).is_none()).cloned().collect()
    }

    /// Drops the lines that belong to no registered claim.
    pub fn prune(&mut self, claims: &crate::Claims) {
        self.entries.retain(|id, _| claims.get(id).is_some());
    }
}
