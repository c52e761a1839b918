//! The peak of memory during a call.

use crate::kernels::{LIVE, PEAK};
use std::sync::atomic::Ordering;

/// Returns the peak of live bytes during a call, less the live bytes before it, and the result of the call. The result is part
/// of the peak.
///
/// It counts only in a program whose global allocator is [`Counting`](crate::Counting).
pub fn peak_bytes<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = LIVE.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let result = work();
    (PEAK.load(Ordering::SeqCst).saturating_sub(before), result)
}
