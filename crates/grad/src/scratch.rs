use collimate_tensor::Scalar;
use std::any::{Any, TypeId};

/// The working memory that an [`Objective`](crate::Objective) borrows from its caller: buffers by type, kept between calls.
///
/// The first call with a new type or a larger size allocates; later calls do not. The content of a returned buffer is unspecified
/// (usually that of the last call). One scratch serves one thread at a time. Several objectives may use it one after the other.
///
/// # Examples
/// ```
/// use collimate_grad::Scratch;
/// let mut scratch = Scratch::new();
/// let [hidden, residual] = scratch.floats::<f64, 2>([3, 5]);
/// assert_eq!((hidden.len(), residual.len()), (3, 5));
/// ```
#[derive(Default)]
pub struct Scratch {
    slots: Vec<(TypeId, Box<dyn Any + Send>)>,
}

/// The memory behind [`Scratch::floats`]. It has its own type, so that it cannot be confused with a `Vec<F>` of a caller.
struct Arena<F>(Vec<F>);

impl Scratch {
    /// Returns empty working memory, without allocating.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the value of type `T` in this scratch, which `make` creates at the first request.
    ///
    /// An objective that needs more than a few slices defines its own workspace struct and keeps it here.
    ///
    /// # Examples
    /// ```
    /// use collimate_grad::Scratch;
    /// struct Calls(usize);
    /// let mut scratch = Scratch::new();
    /// scratch.slot(|| Calls(0)).0 += 1;
    /// scratch.slot(|| Calls(0)).0 += 1;
    /// assert_eq!(scratch.slot(|| Calls(0)).0, 2);
    /// ```
    pub fn slot<T: Any + Send>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        let id = TypeId::of::<T>();
        let at = self.slots.iter().position(|(slot, _)| *slot == id).unwrap_or_else(|| {
            self.slots.push((id, Box::new(make())));
            self.slots.len() - 1
        });
        self.slots[at].1.downcast_mut::<T>().expect("a slot holds the type it is filed under")
    }

    /// Returns `K` disjoint slices of the given lengths, with unspecified contents.
    ///
    /// A second call reuses the memory, so request all slices that are needed at one time in one call.
    pub fn floats<F: Scalar, const K: usize>(&mut self, lengths: [usize; K]) -> [&mut [F]; K] {
        let total = lengths.iter().sum();
        let arena = &mut self.slot(|| Arena::<F>(Vec::new())).0;
        if arena.len() < total {
            arena.resize(total, F::default());
        }
        let mut rest = arena.as_mut_slice();
        lengths.map(|length| {
            let (head, tail) = std::mem::take(&mut rest).split_at_mut(length);
            rest = tail;
            head
        })
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("slots", &self.slots.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_kept_and_types_are_separate() {
        let mut scratch = Scratch::new();
        let [a] = scratch.floats::<f64, 1>([100]);
        a.fill(7.0);
        let first = a.as_ptr();
        let [b, c] = scratch.floats::<f64, 2>([40, 60]);
        assert_eq!(b.as_ptr(), first);
        assert!(b.iter().chain(c.iter()).all(|&x| x == 7.0));
        let [single] = scratch.floats::<f32, 1>([8]);
        assert!(single.iter().all(|&x| x == 0.0));
        assert_eq!(scratch.slots.len(), 2);
    }
}
