//! What every tile needs: a place to run, a scratch matrix and a product on the calling thread.

use collimate_tensor::Scalar;
use ndarray::{ArrayRef2, ArrayViewMut2};
use rayon::prelude::*;

/// Below this many multiply-adds all tiles run on the calling thread: entering the pool costs more.
const SERIAL: usize = 1 << 17;

/// Runs every tile, the last first: late tiles of a causal mask are the long ones, and starting with them keeps
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

/// A matrix of the given shape over a scratch buffer that grows as needed.
pub(crate) fn scratch<F: Scalar>(buffer: &mut Vec<F>, rows: usize, columns: usize) -> ArrayViewMut2<'_, F> {
    if buffer.len() < rows * columns {
        buffer.resize(rows * columns, F::zero());
    }
    ArrayViewMut2::from_shape((rows, columns), &mut buffer[..rows * columns])
        .expect("the buffer was grown to fit")
}

/// `c = alpha · a b + beta · c` on the calling thread: the tiles are the parallel tasks.
///
/// # Panics
/// When the shapes do not fit, which would be a fault of this crate.
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
