use std::sync::{Mutex, PoisonError};

/// Buffers that tasks borrow while they run, so that there are only as many buffers as tasks that run at once.
///
/// # Examples
/// ```
/// let pool = collimate_tensor::BufferPool::<Vec<u8>>::default();
/// let length = pool.lend(|buffer| {
///     buffer.resize(3, 0);
///     buffer.len()
/// });
/// assert_eq!(length, 3);
/// ```
#[derive(Debug, Default)]
pub struct BufferPool<T>(Mutex<Vec<T>>);

impl<T: Default> BufferPool<T> {
    /// Runs a task with a buffer that no other task has. The buffer holds whatever an earlier task left in it.
    pub fn lend<R>(&self, task: impl FnOnce(&mut T) -> R) -> R {
        let mut buffer = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let result = task(&mut buffer);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
        result
    }
}

impl<T: Default> Clone for BufferPool<T> {
    /// Returns an empty pool: a copy makes its own buffers when it needs them.
    fn clone(&self) -> Self {
        Self::default()
    }
}
