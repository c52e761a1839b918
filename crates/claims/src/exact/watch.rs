//! The evaluations in progress, so that one that does not return can be named.

use super::erased::Input;
use super::judged::Judged;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The evaluations of one run of a claim that have no result yet, and the violation found so far.
#[derive(Default)]
pub(super) struct Watch {
    running: Mutex<Vec<Running>>,
    found: Mutex<Option<(Judged, u64)>>,
    next: AtomicU64,
    done: AtomicU64,
    total: AtomicU64,
}

/// One evaluation without a result.
#[derive(Clone)]
pub(super) struct Running {
    number: u64,
    start: Instant,
    pub(super) dims: Vec<usize>,
    /// The input, or `None` while it is drawn.
    pub(super) input: Option<Input>,
}

/// The entry of one evaluation, which ends with it.
struct Entry<'a>(&'a Watch, u64);

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        lock(&self.0.running).retain(|running| running.number != self.1);
    }
}

/// Locks a mutex. No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Runs `work`, which draws or evaluates the input, and lists it until it returns.
    pub(super) fn during<T>(&self, dims: &[usize], input: Option<&Input>, work: impl FnOnce() -> T) -> T {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let running = Running { number, start: Instant::now(), dims: dims.to_vec(), input: input.cloned() };
        lock(&self.running).push(running);
        let _entry = Entry(self, number);
        work()
    }

    /// Returns the evaluation that has run for the longest time, and that time.
    pub(super) fn longest(&self) -> Option<(Running, Duration)> {
        let first = lock(&self.running).iter().min_by_key(|running| running.number).cloned();
        first.map(|running| (running.clone(), running.start.elapsed()))
    }

    /// Stores the smallest violation so far and the number of steps that led to it.
    pub(super) fn keep(&self, violation: &Judged, steps: u64) {
        *lock(&self.found) = Some((violation.clone(), steps));
    }

    /// Returns the smallest violation so far and the number of steps that led to it.
    pub(super) fn found(&self) -> Option<(Judged, u64)> {
        lock(&self.found).clone()
    }

    /// Stores the progress, for messages.
    pub(super) fn progress(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Returns the last stored progress.
    pub(super) fn at(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}
