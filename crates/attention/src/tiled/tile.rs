//! The common tools of the tiles: tasks, scratch memory and a product on the calling thread.

use collimate_tensor::Scalar;
use ndarray::{ArrayRef2, ArrayView2, ArrayViewMut2, ShapeBuilder};
use rayon::prelude::*;
use std::sync::Mutex;

/// The number of multiply-adds up to which all tiles run on the calling thread: entering the pool costs more.
const SERIAL: usize = 1 << 17;

/// Runs every tile, the last one first: late tiles of a causal mask are the long ones, and starting with them keeps
/// the threads busy to the end. `work` is a number of multiply-adds.
pub(crate) fn for_each<T: Send, B: Send>(
    tiles: &mut [T],
    work: usize,
    buffers: impl Fn() -> B + Send + Sync,
    run: impl Fn(&mut B, &mut T) + Send + Sync,
) {
    if work <= SERIAL {
        let mut own = buffers();
        tiles.iter_mut().for_each(|tile| run(&mut own, tile));
    } else {
        tiles.par_iter_mut().rev().for_each_init(buffers, run);
    }
}

/// Runs every task. Free threads take the tasks in order, so long tasks belong at the front.
pub(crate) fn run<T: Send, B>(
    tasks: &mut [T],
    work: usize,
    buffers: impl Fn() -> B + Sync,
    run: impl Fn(&mut B, &mut T) + Sync,
) {
    let workers = rayon::current_num_threads().min(tasks.len());
    if work <= SERIAL || workers <= 1 {
        let mut own = buffers();
        return tasks.iter_mut().for_each(|task| run(&mut own, task));
    }
    let queue = Mutex::new(tasks.iter_mut());
    let next = || queue.lock().expect("no task runs under the lock").next();
    let worker = || {
        let mut own = buffers();
        while let Some(task) = next() {
            run(&mut own, task);
        }
    };
    rayon::scope(|scope| (0..workers).for_each(|_| scope.spawn(|_| worker())));
}

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

/// Returns a matrix of the given shape over a scratch buffer, which grows if needed.
pub(crate) fn scratch<F: Scalar>(buffer: &mut Vec<F>, rows: usize, columns: usize) -> ArrayViewMut2<'_, F> {
    if buffer.len() < rows * columns {
        buffer.resize(rows * columns, F::zero());
    }
    ArrayViewMut2::from_shape((rows, columns), &mut buffer[..rows * columns])
        .expect("the buffer was grown to fit")
}

/// Computes `c = alpha · a b + beta · c` on the calling thread: the tiles are the parallel tasks.
///
/// # Panics
/// If the shapes do not fit, which would be a fault of this crate.
pub(crate) fn product<F: Scalar>(
    alpha: F,
    a: &ArrayRef2<F>,
    b: &ArrayRef2<F>,
    beta: F,
    c: &mut ArrayRef2<F>,
) {
    assert_eq!(
        (a.nrows(), a.ncols(), b.ncols()),
        (c.nrows(), b.nrows(), c.ncols()),
        "shapes of a tile product"
    );
    F::matmul_kernel(alpha, a, b, beta, c, false);
}

/// Views a tile as a matrix `[keys, queries]`.
pub(crate) fn tile_view<F>(tile: &[F], queries: usize, width: usize) -> ArrayView2<'_, F> {
    let shape = (tile.len() / width, queries).strides((width, 1));
    ArrayView2::from_shape(shape, tile).expect("a tile is rows of that width")
}
