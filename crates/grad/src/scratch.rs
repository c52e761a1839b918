use collimate_tensor::Scalar;
use std::any::{Any, TypeId};

/// Working memory that an [`crate::Objective`] borrows from its caller: buffers by type, kept between calls.
///
/// The first call with a new type or a larger size allocates, every later call does not. What a buffer holds when
/// it is handed out is unspecified (usually the left-overs of the last call). One scratch serves one thread at a
/// time; several objectives may share it in turn.
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

/// The arena behind [`Scratch::floats`]: a type of its own, so that it meets no caller's `Vec<F>`.
struct Arena<F>(Vec<F>);

impl Scratch {
    /// Empty working memory; nothing is allocated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The one value of type `T` in this scratch, made by `make` at the first request.
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

    /// `K` disjoint slices of the given lengths with unspecified contents.
    ///
    /// A second call reuses the same memory: ask once for all that must live together.
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
    fn memory_is_kept_and_types_do_not_meet() {
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
