//! The claims that are finished when a run is interrupted.

use collimate_claims::{LeftOut, Meta, Progress, Report, Run, Tier};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// The finished reports, and the right to write them to files.
///
/// Two threads may want to write: the one that runs the claims, and the one that waits after Ctrl-C. The first one wins.
#[derive(Default)]
pub(super) struct Finished {
    state: Mutex<State>,
    writing: Mutex<()>,
    waiting_ended: (Mutex<bool>, Condvar),
}

/// The settings of a run that its report names.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    /// The tier.
    pub(super) tier: Tier,
    /// The seed, if no report is finished; a finished report names its own.
    pub(super) seed: u64,
    /// True if the seed is new.
    pub(super) fresh: bool,
    /// True if only some claims were selected.
    pub(super) filtered: bool,
}

#[derive(Default)]
struct State {
    reports: Vec<Report>,
    running: Option<Meta>,
}

impl Finished {
    /// Notes an event of the run.
    pub(super) fn note(&self, progress: &Progress) {
        let mut state = lock(&self.state);
        match progress {
            Progress::Started { meta, .. } => state.running = Some(**meta),
            Progress::Step { .. } | Progress::Waiting { .. } => {}
            Progress::Finished { report, .. } => {
                state.running = None;
                state.reports.push((*report).clone());
            }
        }
    }

    /// Returns the run with the finished reports. The claim that was running counts as interrupted.
    pub(super) fn as_run(&self, setting: Setting) -> Run {
        let Setting { tier, seed, fresh, filtered } = setting;
        let state = lock(&self.state);
        let reports = state.reports.clone();
        let seed = reports.first().map_or(seed, |report| report.seed);
        let left_out = state.running.iter().map(|meta| (*meta, LeftOut::Interrupted)).collect();
        Run { reports, left_out, tier, seed, fresh, filtered }
    }

    /// Waits until no other thread writes the files, and returns the right to write them.
    pub(super) fn begin_writing(&self) -> MutexGuard<'_, ()> {
        lock(&self.writing)
    }

    /// Returns the right to write the files, unless another thread has it.
    pub(super) fn try_begin_writing(&self) -> Option<MutexGuard<'_, ()>> {
        match self.writing.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Ends [`Self::wait`] in every thread.
    pub(super) fn end_waiting(&self) {
        *lock(&self.waiting_ended.0) = true;
        self.waiting_ended.1.notify_all();
    }

    /// Waits until [`Self::end_waiting`] is called, for at most this long.
    pub(super) fn wait(&self, at_most: Duration) {
        let guard = lock(&self.waiting_ended.0);
        drop(self.waiting_ended.1.wait_timeout_while(guard, at_most, |ended| !*ended));
    }
}

/// Locks a mutex. The state is valid also after a panic in another thread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
