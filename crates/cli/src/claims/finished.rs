//! What is finished so far, for the moment in which the run is interrupted.

use collimate_claims::{LeftOut, Meta, Progress, Report, Run, Tier};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// Reports as they come in, and whose turn it is to write them.
#[derive(Default)]
pub(super) struct Finished {
    state: Mutex<State>,
    writing: Mutex<()>,
    hurry: (Mutex<bool>, Condvar),
}

#[derive(Default)]
struct State {
    reports: Vec<Report>,
    under_way: Option<Meta>,
}

impl Finished {
    /// Takes note of an event of the run.
    pub(super) fn note(&self, progress: &Progress) {
        let mut state = lock(&self.state);
        match progress {
            Progress::Started { meta, .. } => state.under_way = Some(**meta),
            Progress::Step { .. } => {}
            Progress::Finished { report, .. } => {
                state.under_way = None;
                state.reports.push((*report).clone());
            }
        }
    }

    /// The run as far as it came; the claim that was under way counts as interrupted.
    pub(super) fn as_run(&self, (tier, seed, fresh, filtered): (Tier, u64, bool, bool)) -> Run {
        let state = lock(&self.state);
        let reports = state.reports.clone();
        let seed = reports.first().map_or(seed, |report| report.seed);
        let left_out = state.under_way.iter().map(|meta| (*meta, LeftOut::Interrupted)).collect();
        Run { reports, left_out, tier, seed, fresh, filtered }
    }

    /// Waits until nobody else writes the files, and keeps others from it.
    pub(super) fn begin_writing(&self) -> MutexGuard<'_, ()> {
        lock(&self.writing)
    }

    /// The same, unless somebody is at it.
    pub(super) fn try_begin_writing(&self) -> Option<MutexGuard<'_, ()>> {
        match self.writing.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Ends the waiting.
    pub(super) fn hurry(&self) {
        *lock(&self.hurry.0) = true;
        self.hurry.1.notify_all();
    }

    /// Waits for this long, or until somebody is in a hurry.
    pub(super) fn wait_for_hurry(&self, at_most: Duration) {
        let guard = lock(&self.hurry.0);
        drop(self.hurry.1.wait_timeout_while(guard, at_most, |hurry| !*hurry));
    }
}

/// A panic elsewhere does not make what was noted wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
