//! Running many claims.

use crate::claim::examine_in;
use crate::{Budget, Claim, Claims, ClaimsError, Context, Lock, Meta, Report, Tier};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What happens during a run, for progress bars.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A claim begins.
    Started {
        /// Its place, from 0.
        index: usize,
        /// How many claims will run.
        total: usize,
        /// The claim.
        meta: &'a Meta,
    },
    /// A claim has come further.
    Step {
        /// The claim.
        meta: &'a Meta,
        /// Steps done.
        done: u64,
        /// Steps at most.
        total: u64,
        /// What is happening.
        note: &'a str,
    },
    /// A claim is finished.
    Finished {
        /// Its place, from 0.
        index: usize,
        /// How many claims will run.
        total: usize,
        /// Its report.
        report: &'a Report,
    },
}

/// Why a registered claim was not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// It belongs to a more expensive tier.
    Tier,
    /// It needs real data, and the run was asked to go without.
    Real,
    /// It needs data that are fetched on request, and nobody asked for them.
    OnRequest,
    /// The run was interrupted before its turn.
    Interrupted,
}

/// Runs the claims that a filter, a tier and the wish for real data select.
///
/// # Determinism
/// A claim's streams follow from the run's seed and its own id, and its error rates were fixed when it was registered:
/// what else runs, and in which order, changes nothing.
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
/// assert_eq!(run.exit_status(&Lock::default()), 2); // something asked for could not run
/// let run = Runner::new(Budget::quick()).real(false).run(&claims).unwrap();
/// assert_eq!(run.exit_status(&Lock::default()), 0); // it was not asked for
/// ```
pub struct Runner {
    budget: Budget,
    filters: Vec<String>,
    real: bool,
    on_request: bool,
    interrupt: Arc<AtomicBool>,
    progress: Option<Arc<Callback>>,
}

type Callback = dyn Fn(&Progress) + Send + Sync;

impl Runner {
    /// Runs everything under this budget.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            filters: Vec::new(),
            real: true,
            on_request: true,
            interrupt: Arc::default(),
            progress: None,
        }
    }

    /// Only claims whose id contains this text, or matches it where it holds `*` or `?`; several filters add up.
    pub fn filter(mut self, pattern: impl Into<String>) -> Self {
        self.filters.push(pattern.into());
        self
    }

    /// Whether claims that need real data are asked for; true by default.
    pub fn real(mut self, wanted: bool) -> Self {
        self.real = wanted;
        self
    }

    /// Whether claims that need data fetched on request are asked for; true by default.
    pub fn on_request(mut self, wanted: bool) -> Self {
        self.on_request = wanted;
        self
    }

    /// Stops when this flag becomes true; what is finished is kept.
    pub fn interruptible(mut self, flag: Arc<AtomicBool>) -> Self {
        self.interrupt = flag;
        self
    }

    /// Calls back on progress, possibly often: throttling is up to the callback.
    pub fn on_progress(mut self, callback: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(callback));
        self
    }

    /// The claims that match the filters, in registered order.
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
        let wanted = |id| self.filters.is_empty() || self.filters.iter().any(|filter| matches(filter, id));
        Ok(claims.iter().filter(|claim| wanted(claim.meta().id)).collect())
    }

    /// Runs them one after the other; the work inside a claim is spread over the budget's threads.
    ///
    /// # Errors
    /// As [`Runner::select`].
    pub fn run(&self, claims: &Claims) -> Result<Run, ClaimsError> {
        let Budget { tier, seed, fresh, .. } = self.budget;
        let filtered = !self.filters.is_empty();
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
        for (index, claim) in selected.into_iter().enumerate() {
            let meta = *claim.meta();
            if self.interrupt.load(Ordering::Relaxed) {
                run.left_out.push((meta, LeftOut::Interrupted));
                continue;
            }
            self.tell(&Progress::Started { index, total, meta: &meta });
            let mut context = Context::new(meta.id, &self.budget).interruptible(Arc::clone(&self.interrupt));
            if let Some(callback) = self.progress.clone() {
                let step = move |done, total, note: &str| {
                    callback(&Progress::Step { meta: &meta, done, total, note })
                };
                context = context.on_progress(Arc::new(step));
            }
            let report = examine_in(claim, context);
            self.tell(&Progress::Finished { index, total, report: &report });
            run.reports.push(report);
        }
        Ok(run)
    }

    fn tell(&self, progress: &Progress) {
        if let Some(callback) = &self.progress {
            callback(progress);
        }
    }
}

/// What a run brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The reports in registered order.
    pub reports: Vec<Report>,
    /// Claims that matched the filter but were not run, and why.
    pub left_out: Vec<(Meta, LeftOut)>,
    /// The tier.
    pub tier: Tier,
    /// The seed.
    pub seed: u64,
    /// Whether the seed was drawn afresh.
    pub fresh: bool,
    /// Whether a filter was set.
    pub filtered: bool,
}

impl Run {
    /// Reports that break what their kind demands: theorems not Upheld, counterexamples not Refuted, and empirical
    /// claims that panicked or are malformed. What could not run is not among them.
    pub fn failures(&self) -> impl Iterator<Item = &Report> {
        self.reports.iter().filter(|report| !report.as_expected() && !report.did_not_run())
    }

    /// Ids of what was asked for and could not run.
    pub fn not_run(&self) -> Vec<&'static str> {
        let unavailable =
            self.reports.iter().filter(|report| report.did_not_run()).map(|report| report.meta.id);
        let interrupted = self.left_out.iter().filter(|(_, why)| *why == LeftOut::Interrupted);
        unavailable.chain(interrupted.map(|(meta, _)| meta.id)).collect()
    }

    /// The exit status of a run.
    ///
    /// ```text
    /// 1  a failed theorem or counterexample, or a change from the lock that it does not explain
    /// 2  something that was asked for could not run
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

/// Whether a filter matches an id: as a part of it, or as a whole where it holds `*` (any text) or `?` (any character).
fn matches(filter: &str, id: &str) -> bool {
    if filter.contains(['*', '?']) { glob(filter.as_bytes(), id.as_bytes()) } else { id.contains(filter) }
}

/// Linear backtracking: only the last star can need another try.
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
    fn filters() {
        assert!(matches("sum", "superposition/dimensionality-sum"));
        assert!(!matches("sum*", "superposition/dimensionality-sum"));
        assert!(matches("*sum", "superposition/dimensionality-sum"));
        assert!(matches("s*/d*-s?m", "superposition/dimensionality-sum"));
        assert!(!matches("sae/*", "superposition/dimensionality-sum"));
        assert!(matches("*", ""));
        assert!(matches("", "anything"));
    }
}
