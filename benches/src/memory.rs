//! How much memory a call takes at its peak.

use crate::kernels::{LIVE, PEAK};
use std::sync::atomic::Ordering;

/// Bytes that were live at the peak of a call beyond those before it, what it returns included; and what it returns.
///
/// Counts only in a program whose global allocator is [`Counting`](crate::Counting).
pub fn peak_bytes<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = LIVE.load(Ordering::SeqCst);
    PEAK.store(before, Ordering::SeqCst);
    let result = work();
    (PEAK.load(Ordering::SeqCst).saturating_sub(before), result)
}
