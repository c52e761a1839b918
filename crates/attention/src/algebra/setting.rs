use super::mask::Seen;
use collimate_tensor::Scalar;
use ndarray::Array3;

/// The sizes of a call and its attending pairs.
pub(crate) struct Setting<'a> {
    pub(crate) seen: &'a Seen,
    pub(crate) heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    /// The offset of the positions: query `i` has position `i + offset`.
    pub(crate) offset: isize,
}

impl Setting<'_> {
    /// Calls `run` for each query of each head with the keys it sees.
    pub(crate) fn for_each(&self, mut run: impl FnMut(usize, usize, &[usize])) {
        for h in 0..self.heads {
            for i in 0..self.queries {
                run(h, i, self.seen.keys(h, i));
            }
        }
    }

    /// Computes an array of logits from a function of the pairs that attend, with −∞ elsewhere.
    pub(crate) fn logits<F: Scalar>(&self, mut of: impl FnMut(usize, usize, usize) -> F) -> Array3<F> {
        self.filled(F::neg_infinity(), &mut of)
    }

    /// Computes an array of gradients or directions from a function of the pairs that attend, with 0 elsewhere.
    pub(crate) fn slopes<F: Scalar>(&self, mut of: impl FnMut(usize, usize, usize) -> F) -> Array3<F> {
        self.filled(F::zero(), &mut of)
    }

    pub(super) fn filled<F: Scalar>(
        &self,
        rest: F,
        of: &mut dyn FnMut(usize, usize, usize) -> F,
    ) -> Array3<F> {
        let mut array = Array3::from_elem((self.heads, self.queries, self.keys), rest);
        self.for_each(|h, i, keys| {
            for &j in keys {
                array[[h, i, j]] = of(h, i, j);
            }
        });
        array
    }
}
