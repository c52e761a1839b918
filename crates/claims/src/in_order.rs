//! Work on several threads whose results are used in order, so that the number of threads changes no bit.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Computes `work(i)` for `i` in `0..count` on `threads` threads and passes the results to `take` in order,
/// until it breaks.
///
/// The block size depends on the clock. It changes how many results are computed and dropped after a break, but not the results
/// that `take` receives.
pub(crate) fn for_each<T: Send>(
    threads: usize,
    count: u64,
    work: impl Fn(u64) -> T + Sync,
    mut take: impl FnMut(u64, T) -> ControlFlow<()>,
) {
    let mut next = 0;
    // The first items run on this thread, and their time gives the block size.
    let mut each = Duration::MAX;
    while next < count {
        // Starting a thread costs tens of microseconds, so each gets work for half a millisecond.
        let worth = Duration::from_micros(500);
        let per_thread = (worth.as_nanos() / each.as_nanos().max(1)).clamp(1, 4096) as u64;
        let spread = threads > 1 && next >= 2;
        let block = if spread { (per_thread * threads as u64).min(count - next) } else { 1 };
        let start = Instant::now();
        if block == 1 {
            if take(next, work(next)).is_break() {
                return;
            }
        } else {
            let lane = block.div_ceil(threads as u64);
            let parts: Vec<Vec<T>> = std::thread::scope(|scope| {
                let work = &work;
                let spawn = |t: u64| {
                    let from = next + (t * lane).min(block);
                    let to = next + ((t + 1) * lane).min(block);
                    scope.spawn(move || (from..to).map(work).collect())
                };
                let handles: Vec<_> = (0..threads as u64).map(spawn).collect();
                let join = |handle: std::thread::ScopedJoinHandle<'_, Vec<T>>| {
                    handle.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
                };
                handles.into_iter().map(join).collect()
            });
            for (i, result) in parts.into_iter().flatten().enumerate() {
                if take(next + i as u64, result).is_break() {
                    return;
                }
            }
        }
        next += block;
        let lanes = block.div_ceil(threads as u64).max(1) as u32;
        each = start.elapsed() / if block == 1 { 1 } else { lanes };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_on_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let mut seen = Vec::new();
            for_each(
                threads,
                10_000,
                |i| i * i,
                |i, square| {
                    assert_eq!(square, i * i);
                    seen.push(i);
                    if i == 7_654 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                },
            );
            assert_eq!(seen, (0..=7_654).collect::<Vec<u64>>());
        }
    }

    #[test]
    fn a_panic_in_a_thread_keeps_its_message() {
        let run = || for_each(2, 100, |i| assert!(i != 50, "fifty"), |_, ()| ControlFlow::Continue(()));
        let payload = std::panic::catch_unwind(run).unwrap_err();
        assert_eq!(crate::run::message(&*payload), "fifty");
    }
}
