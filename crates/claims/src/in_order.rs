//! Work on several threads whose results are used in order, so that the number of threads changes no result.

use std::any::Any;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The work before other threads start: a thread costs tens of microseconds.
const WARM_UP: Duration = Duration::from_micros(500);
/// The work for which a thread asks for new items.
const CHUNK: Duration = Duration::from_micros(200);
/// The time between two looks at the results of an unfinished chunk, and between two calls of `waiting`.
const LOOK: Duration = Duration::from_millis(1);

/// The stack of a thread, as large as that of a main thread, because it runs the code of a user.
pub(crate) const STACK: usize = 8 << 20;

/// Computes `work(i)` for `i` in `0..count` on `threads` threads and passes the results to `take` in order, until it breaks.
///
/// A panic of `work(i)` is passed on when the results before it are taken, so a break before it hides it. The function returns
/// after the items that are in work at a break.
pub(crate) fn for_each<T: Send>(
    threads: usize,
    count: u64,
    work: impl Fn(u64) -> T + Sync,
    mut take: impl FnMut(u64, T) -> ControlFlow<()>,
) {
    let Some(first) = warm_up(threads, count, &work, &mut take) else { return };
    let queue = Queue::new(first, count, threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| queue.lane(&work));
        }
        let _stop = StopOnDrop(&queue);
        queue.collect(first, &mut take, &mut |_, _| ControlFlow::Continue(()))
    });
}

/// Computes like [`for_each`], and returns at a break without waiting for the items that are in work.
///
/// While a result is not ready, `waiting(i, since)` is called with its number and the time without a result, about once a
/// millisecond. If it breaks, the function returns at once. With `watched`, no item runs on this thread, so that an item which does
/// not return cannot block it.
pub(crate) fn for_each_abandoning<T: Send + 'static>(
    threads: usize,
    count: u64,
    watched: bool,
    work: impl Fn(u64) -> T + Send + Sync + 'static,
    mut take: impl FnMut(u64, T) -> ControlFlow<()>,
    mut waiting: impl FnMut(u64, Duration) -> ControlFlow<()>,
) {
    let first = if watched { 0 } else { warm_up(threads, count, &work, &mut take).unwrap_or(count) };
    if first == count {
        return;
    }
    let lanes = threads.max(1);
    let (queue, work) = (Arc::new(Queue::new(first, count, lanes)), Arc::new(work));
    for lane in 0..lanes {
        let (shared, work) = (Arc::clone(&queue), Arc::clone(&work));
        let thread = std::thread::Builder::new().stack_size(STACK);
        if let Err(error) = thread.spawn(move || shared.lane(&*work)) {
            assert!(lane > 0, "a thread could not be started: {error}");
            break;
        }
    }
    let _stop = StopOnDrop(&*queue);
    queue.collect(first, &mut take, &mut waiting);
}

/// Runs items on this thread while they are few or cheap. Returns the first open item, or `None` when nothing is left to do.
fn warm_up<T>(
    threads: usize,
    count: u64,
    work: &impl Fn(u64) -> T,
    take: &mut impl FnMut(u64, T) -> ControlFlow<()>,
) -> Option<u64> {
    let start = Instant::now();
    for i in 0..count {
        if take(i, work(i)).is_break() {
            return None;
        }
        if threads > 1 && i > 0 && i + 1 < count && start.elapsed() > WARM_UP {
            return Some(i + 1);
        }
    }
    None
}

/// The result of one item, or the payload of its panic.
type Returned<T> = Result<T, Box<dyn Any + Send>>;

/// Consecutive items of one thread. Each result is visible as soon as it is computed.
struct Chunk<T> {
    size: u64,
    results: Mutex<VecDeque<Returned<T>>>,
}

struct State<T> {
    next: u64,
    size: u64,
    chunks: VecDeque<Arc<Chunk<T>>>,
}

/// The chunks in work, in the order of their items.
struct Queue<T> {
    count: u64,
    limit: usize,
    state: Mutex<State<T>>,
    ready: Condvar,
    room: Condvar,
    stop: AtomicBool,
}

/// Stops the threads of a queue when their results are no longer used.
struct StopOnDrop<'a, T>(&'a Queue<T>);

impl<T> Drop for StopOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
        self.0.room.notify_all();
    }
}

/// Locks a mutex. No code that can panic runs under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Queue<T> {
    fn new(next: u64, count: u64, threads: usize) -> Self {
        let state = Mutex::new(State { next, size: 1, chunks: VecDeque::new() });
        let (ready, room, stop) = (Condvar::new(), Condvar::new(), AtomicBool::new(false));
        // Threads run ahead of the results in use by at most this number of chunks.
        Self { count, limit: 4 * threads, state, ready, room, stop }
    }

    /// Reserves the next items for a thread. Returns `None` when none are left.
    fn reserve(&self) -> Option<(u64, Arc<Chunk<T>>)> {
        let mut state = lock(&self.state);
        while !self.stop.load(Ordering::Relaxed) && state.next < self.count {
            if state.chunks.len() < self.limit {
                let (first, size) = (state.next, state.size.min(self.count - state.next));
                let chunk = Arc::new(Chunk { size, results: Mutex::default() });
                state.chunks.push_back(Arc::clone(&chunk));
                state.next += size;
                return Some((first, chunk));
            }
            state = self.room.wait_timeout(state, 20 * LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    /// Computes chunks until none are left.
    fn lane(&self, work: &impl Fn(u64) -> T) {
        while let Some((first, chunk)) = self.reserve() {
            let start = Instant::now();
            for i in first..first + chunk.size {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                let result = catch_unwind(AssertUnwindSafe(|| work(i)));
                let panicked = result.is_err();
                lock(&chunk.results).push_back(result);
                if panicked {
                    // No result after a panic is used.
                    lock(&self.state).next = self.count;
                    return;
                }
            }
            let each = start.elapsed().as_nanos() / u128::from(chunk.size);
            // The size follows the clock. It changes how many results are computed and dropped, but not those that are used.
            lock(&self.state).size = (CHUNK.as_nanos() / each.max(1)).clamp(1, 4096) as u64;
            self.ready.notify_one();
        }
    }

    /// Passes the results to `take` in order.
    fn collect(
        &self,
        first: u64,
        take: &mut impl FnMut(u64, T) -> ControlFlow<()>,
        waiting: &mut impl FnMut(u64, Duration) -> ControlFlow<()>,
    ) {
        let mut i = first;
        let mut since = Instant::now();
        let mut left = 0;
        while i < self.count {
            let front = lock(&self.state).chunks.front().cloned();
            let mut results = VecDeque::new();
            if let Some(chunk) = &front {
                left = if left == 0 { chunk.size } else { left };
                std::mem::swap(&mut results, &mut *lock(&chunk.results));
            }
            if results.is_empty() {
                if waiting(i, since.elapsed()).is_break() {
                    return;
                }
                let state = lock(&self.state);
                drop(self.ready.wait_timeout(state, LOOK));
                continue;
            }
            left -= results.len() as u64;
            if left == 0 {
                lock(&self.state).chunks.pop_front();
                self.room.notify_one();
            }
            for result in results {
                let value = result.unwrap_or_else(|payload| resume_unwind(payload));
                if take(i, value).is_break() {
                    return;
                }
                i += 1;
            }
            since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    const GO: ControlFlow<()> = ControlFlow::Continue(());

    fn never(_: u64, _: Duration) -> ControlFlow<()> {
        GO
    }

    #[test]
    fn results_are_in_order_on_any_number_of_threads() {
        for threads in [0, 1, 2, 3, 8] {
            for kind in 0..3 {
                let mut seen = Vec::new();
                let take = |i: u64, square: u64| {
                    assert_eq!(square, i * i);
                    seen.push(i);
                    if i == 7_654 { ControlFlow::Break(()) } else { GO }
                };
                match kind {
                    0 => for_each(threads, 10_000, |i| i * i, take),
                    kind => for_each_abandoning(threads, 10_000, kind == 1, |i| i * i, take, never),
                }
                assert_eq!(seen, (0..=7_654).collect::<Vec<u64>>());
            }
        }
    }

    #[test]
    fn all_results_are_taken_without_a_break() {
        for (threads, count) in [(2, 0), (2, 1), (3, 2), (2, 3_000)] {
            let mut sum = 0;
            let take = |_, i: u64| {
                sum += i + 1;
                GO
            };
            for_each_abandoning(threads, count, true, |i| i, take, never);
            assert_eq!(sum, count * (count + 1) / 2);
        }
    }

    #[test]
    fn a_panic_in_a_thread_keeps_its_message() {
        let run = || for_each(2, 100, |i| assert!(i != 50, "fifty"), |_, ()| GO);
        let payload = catch_unwind(run).unwrap_err();
        assert_eq!(crate::run::message(&*payload), "fifty");
    }

    #[test]
    fn work_after_a_break_costs_no_time_and_its_panic_is_dropped() {
        for threads in [1, 2, 8] {
            let start = Instant::now();
            let work = |i: u64| match i {
                0..=40 => std::thread::sleep(Duration::from_micros(100)),
                41 | 43 => std::thread::sleep(Duration::from_secs(40)),
                _ => panic!("after the break"),
            };
            let take = |i, ()| if i == 40 { ControlFlow::Break(()) } else { GO };
            for_each_abandoning(threads, 1_000, true, work, take, never);
            assert!(start.elapsed() < Duration::from_secs(20));
        }
    }

    #[test]
    fn an_item_that_does_not_return_is_named_and_can_be_left() {
        let calls = AtomicU64::new(0);
        let work = |i| {
            if i == 5 {
                std::thread::sleep(Duration::from_secs(60))
            }
        };
        let waiting = |i, _| {
            assert!(i <= 5);
            calls.fetch_add(1, Ordering::Relaxed);
            if i == 5 { ControlFlow::Break(()) } else { GO }
        };
        let mut taken = 0;
        let take = |_, ()| {
            taken += 1;
            GO
        };
        for_each_abandoning(2, 100, true, work, take, waiting);
        assert_eq!(taken, 5);
        assert!(calls.load(Ordering::Relaxed) > 0);
    }
}
