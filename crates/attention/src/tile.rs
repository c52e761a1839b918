//! What every tile needs: a scratch matrix and a product on the calling thread.

use collimate_tensor::Scalar;
use ndarray::{ArrayRef2, ArrayViewMut2};

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
