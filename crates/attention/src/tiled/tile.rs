//! Scratch memory of the tiles, and views of them.

use collimate_tensor::Scalar;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

/// Scratch memory of one thread, reused from task to task.
pub(crate) struct Arena<F>(Vec<F>);

/// The unused rest of an [`Arena`].
pub(crate) struct Space<'a, F>(&'a mut [F]);

impl<F: Scalar> Arena<F> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Returns room for parts of these sizes, aligned to a cache line: a vector that straddles two lines costs two loads.
    pub(crate) fn space(&mut self, parts: &[usize]) -> Space<'_, F> {
        let line = 64 / size_of::<F>();
        let count = line + parts.iter().map(|part| part.next_multiple_of(16)).sum::<usize>();
        if self.0.len() < count {
            self.0.resize(count, F::zero());
        }
        let start = self.0.as_ptr().align_offset(64).min(line);
        Space(&mut self.0[start..])
    }
}

impl<'a, F> Space<'a, F> {
    /// Takes the next `count` numbers, with any values. The rest starts on a cache line too.
    pub(crate) fn take(&mut self, count: usize) -> &'a mut [F] {
        let (taken, rest) = std::mem::take(&mut self.0).split_at_mut(count.next_multiple_of(16));
        self.0 = rest;
        &mut taken[..count]
    }
}

/// Returns the columns of a tile from `first` on. A tile without rows has no columns.
pub(crate) fn columns_from<F>(tile: &[F], first: usize) -> &[F] {
    &tile[first.min(tile.len())..]
}

/// Returns the columns of a tile from `first` on, like [`columns_from`], for writing.
pub(crate) fn columns_from_mut<F>(tile: &mut [F], first: usize) -> &mut [F] {
    let first = first.min(tile.len());
    &mut tile[first..]
}

/// Returns a matrix of the given shape over a scratch buffer, which grows if needed.
pub(crate) fn scratch<F: Scalar>(buffer: &mut Vec<F>, rows: usize, columns: usize) -> ArrayViewMut2<'_, F> {
    if buffer.len() < rows * columns {
        buffer.resize(rows * columns, F::zero());
    }
    ArrayViewMut2::from_shape((rows, columns), &mut buffer[..rows * columns])
        .expect("the buffer was grown to fit")
}

/// Views a tile as a matrix `[keys, queries]`.
pub(crate) fn tile_view<F>(tile: &[F], queries: usize, width: usize) -> ArrayView2<'_, F> {
    let shape = (tile.len() / width, queries).strides((width, 1));
    ArrayView2::from_shape(shape, tile).expect("a tile is rows of that width")
}
