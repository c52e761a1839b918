//! The runner of many claims.

use super::examine::examine_in;
use super::report::Report;
use super::results::{LeftOut, Run};
use crate::budget::Budget;
use crate::claim::{Claim, Claims};
use crate::context::{Context, NO_RESULT, Shared};
use crate::error::ClaimsError;
use crate::meta::Meta;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An event of a run, for progress bars.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A claim starts.
    Started {
        /// The position of the claim, counted from 0.
        index: usize,
        /// The number of claims that will run.
        total: usize,
        /// The claim.
        meta: &'a Meta,
    },
    /// A claim reports progress.
    Step {
        /// The claim.
        meta: &'a Meta,
        /// The number of steps done.
        done: u64,
        /// The largest possible number of steps.
        total: u64,
        /// The current activity.
        note: &'a str,
    },
    /// An evaluation inside a claim has no result for a long time: 10 seconds, then 20, 40 and so on.
    Waiting {
        /// The claim.
        meta: &'a Meta,
        /// The time without a result, and the input as Rust source or the number of the trial.
        note: &'a str,
    },
    /// A claim is finished.
    Finished {
        /// The position of the claim, counted from 0.
        index: usize,
        /// The number of claims that will run.
        total: usize,
        /// The report of the claim.
        report: &'a Report,
    },
}

/// The runner of all claims that its filters and tier select.
///
/// # Determinism
/// A claim's streams follow from the run's seed and its own id, and its error rates were fixed when it was registered:
/// neither the other claims of a run nor their order changes a result.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, Claims, Lock, Meta, Outcome, Runner, Study, Subject};
/// let four = Meta::theorem("own/four", Subject::Own, "two and two is four");
/// let real = Meta::theorem("own/model", Subject::Own, "the model is there").real();
/// let claims = Claims::new()
///     .with(Study::new(four).run(|_| Outcome::of_margin(0.0)))
///     .with(Study::new(real).run(|_| Outcome::unavailable("the model", "run `collimate data`")));
/// let run = Runner::new(Budget::quick()).run(&claims).unwrap();
/// assert_eq!(run.exit_status(&Lock::default()), 2); // a selected claim could not run
/// let run = Runner::new(Budget::quick()).real(false).run(&claims).unwrap();
/// assert_eq!(run.exit_status(&Lock::default()), 0); // the claim was not selected
/// ```
pub struct Runner {
    budget: Budget,
    filters: Vec<String>,
    wanted: Option<Arc<Rule>>,
    real: bool,
    on_request: bool,
    interrupt: Arc<AtomicBool>,
    progress: Option<Arc<Callback>>,
}

type Callback = dyn Fn(&Progress) + Send + Sync;

/// A choice of claims by what is known about them.
type Rule = dyn Fn(&Meta) -> bool + Send + Sync;

impl Runner {
    /// Returns a runner of all claims under `budget`.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            filters: Vec::new(),
            wanted: None,
            real: true,
            on_request: true,
            interrupt: Arc::default(),
            progress: None,
        }
    }

    /// Adds a filter: a claim runs if its id contains the text, or matches it as a pattern with `*` and `?`. With several filters, a
    /// claim runs if one of them matches.
    pub fn filter(mut self, pattern: impl Into<String>) -> Self {
        self.filters.push(pattern.into());
        self
    }

    /// Keeps to the claims for which `wanted` returns true, on top of the filters.
    pub fn only(mut self, wanted: impl Fn(&Meta) -> bool + Send + Sync + 'static) -> Self {
        self.wanted = Some(Arc::new(wanted));
        self
    }

    /// Sets whether claims that need real data run; true by default.
    pub fn real(mut self, wanted: bool) -> Self {
        self.real = wanted;
        self
    }

    /// Sets whether claims run that need data fetched on request; true by default.
    pub fn on_request(mut self, wanted: bool) -> Self {
        self.on_request = wanted;
        self
    }

    /// Sets the flag that stops the run. Finished reports are kept. An evaluation of an [`Exact`](crate::Exact) claim or a trial that
    /// does not return is left behind, and keeps its thread until the program ends.
    pub fn interruptible(mut self, flag: Arc<AtomicBool>) -> Self {
        self.interrupt = flag;
        self
    }

    /// Sets the callback for progress. It may be called often, so it must limit its own rate if necessary.
    pub fn on_progress(mut self, callback: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(callback));
        self
    }

    /// Returns the claims that match the filters, in registered order.
    ///
    /// # Errors
    /// [`ClaimsError::DuplicateId`]; [`ClaimsError::NothingMatches`] for a filter that matches no registered id.
    pub fn select<'a>(&self, claims: &'a Claims) -> Result<Vec<&'a dyn Claim>, ClaimsError> {
        claims.check()?;
        for filter in &self.filters {
            if !claims.iter().any(|claim| matches(filter, claim.meta().id)) {
                return Err(ClaimsError::NothingMatches { filter: filter.clone() });
            }
        }
        let named = |id| self.filters.is_empty() || self.filters.iter().any(|filter| matches(filter, id));
        let wanted = |meta: &Meta| named(meta.id) && self.wanted.as_ref().is_none_or(|wanted| wanted(meta));
        Ok(claims.iter().filter(|claim| wanted(claim.meta())).collect())
    }

    /// Runs the selected claims one after the other. The work inside a claim uses the budget's threads.
    ///
    /// # Errors
    /// Those of [`Runner::select`].
    pub fn run(&self, claims: &Claims) -> Result<Run, ClaimsError> {
        let Budget { tier, seed, fresh, .. } = self.budget;
        let filtered = !self.filters.is_empty() || self.wanted.is_some();
        let mut run = Run { reports: Vec::new(), left_out: Vec::new(), tier, seed, fresh, filtered };
        let mut selected = Vec::new();
        for claim in self.select(claims)? {
            match claim.meta() {
                meta if meta.tier > tier => run.left_out.push((*meta, LeftOut::Tier)),
                meta if meta.real && !self.real => run.left_out.push((*meta, LeftOut::Real)),
                meta if !meta.on_request.is_empty() && !self.on_request => {
                    run.left_out.push((*meta, LeftOut::OnRequest));
                }
                _ => selected.push(claim),
            }
        }
        let total = selected.len();
        let shared = Arc::<Shared>::default();
        for (index, claim) in selected.into_iter().enumerate() {
            let meta = *claim.meta();
            if self.interrupt.load(Ordering::Relaxed) {
                run.left_out.push((meta, LeftOut::Interrupted));
                continue;
            }
            self.report_progress(&Progress::Started { index, total, meta: &meta });
            let mut context = Context::new(meta.id, &self.budget)
                .interruptible(Arc::clone(&self.interrupt))
                .sharing(&shared);
            if let Some(callback) = self.progress.clone() {
                let step = move |done, total, note: &str| {
                    callback(&match note.starts_with(NO_RESULT) {
                        true => Progress::Waiting { meta: &meta, note },
                        false => Progress::Step { meta: &meta, done, total, note },
                    })
                };
                context = context.on_progress(Arc::new(step));
            }
            let report = examine_in(claim, context);
            self.report_progress(&Progress::Finished { index, total, report: &report });
            run.reports.push(report);
        }
        Ok(run)
    }

    fn report_progress(&self, progress: &Progress) {
        if let Some(callback) = &self.progress {
            callback(progress);
        }
    }
}

/// Returns true if a filter matches an id: as a part of it, or as a pattern if it holds `*` (any text) or `?` (any character).
fn matches(filter: &str, id: &str) -> bool {
    if filter.contains(['*', '?']) { glob(filter.as_bytes(), id.as_bytes()) } else { id.contains(filter) }
}

/// Matches a pattern with linear backtracking: only the last star may have to be tried again.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    (p, t) = (at + 1, from + 1);
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_parts_of_ids_and_patterns() {
        assert!(matches("sum", "superposition/dimensionality-sum"));
        assert!(!matches("sum*", "superposition/dimensionality-sum"));
        assert!(matches("*sum", "superposition/dimensionality-sum"));
        assert!(matches("s*/d*-s?m", "superposition/dimensionality-sum"));
        assert!(!matches("sae/*", "superposition/dimensionality-sum"));
        assert!(matches("*", ""));
        assert!(matches("", "anything"));
    }
}
