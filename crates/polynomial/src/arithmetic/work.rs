//! The amount of work that an analysis may do, counted in steps and not in seconds.

use std::cell::Cell;

/// A count of steps that goes down. One step is about one product of two short fractions.
///
/// The count depends only on the input, so a run that stops does so at the same place on every machine. A function that
/// finds the count spent returns early. Its result must then be dropped.
#[derive(Debug)]
pub(crate) struct Work {
    left: Cell<u64>,
}

impl Work {
    /// Creates a count of `steps`.
    pub(crate) fn new(steps: u64) -> Self {
        Self { left: Cell::new(steps) }
    }

    /// Takes steps off the count. Returns false if none are left.
    pub(crate) fn spend(&self, steps: u64) -> bool {
        self.left.set(self.left.get().saturating_sub(steps));
        !self.is_spent()
    }

    /// Returns true if no steps are left.
    pub(crate) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// Runs a part of the analysis on at most one `share`-th of the steps that are left.
    ///
    /// Returns `None` if that share was spent, so that the result is not used.
    pub(crate) fn within<T>(&self, share: u64, run: impl FnOnce() -> T) -> Option<T> {
        let before = self.left.get();
        let granted = before / share;
        self.left.set(granted);
        let result = run();
        let spent = self.is_spent();
        self.left.set(before - granted + self.left.get());
        (!spent).then_some(result)
    }
}

impl Default for Work {
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_is_spent_leaves_the_rest() {
        let work = Work::new(100);
        assert_eq!(work.within(4, || work.spend(10)), Some(true));
        assert_eq!(work.within(3, || work.spend(30)), None);
        assert!(!work.is_spent() && work.spend(59) && !work.spend(1));
    }
}
