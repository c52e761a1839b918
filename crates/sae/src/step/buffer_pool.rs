use std::sync::{Mutex, PoisonError};

/// Buffers that tasks borrow while they run, so that there are only as many as run at once.
#[derive(Debug, Default)]
pub(crate) struct BufferPool<T>(Mutex<Vec<T>>);

impl<T: Default> BufferPool<T> {
    /// Runs a task with a buffer that no other task uses; it may hold values of an earlier task.
    pub(crate) fn lend<R>(&self, task: impl FnOnce(&mut T) -> R) -> R {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let result = task(&mut buffer);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        result
    }
}

impl<T> Clone for BufferPool<T> {
    /// Returns an empty pool: a copy makes its own buffers when it needs them.
    fn clone(&self) -> Self {
        Self(Mutex::new(Vec::new()))
    }
}
