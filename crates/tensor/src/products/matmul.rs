use crate::{Scalar, ShapeError};
use ndarray::{Array2, Array3, ArrayRef2, ArrayRef3, Axis};
use rayon::prelude::*;

/// The number of multiply-adds up to which a product stays on the calling thread, because entering the pool costs more.
const SERIAL: usize = 1 << 18;

/// Computes the product a·b.
///
/// # Shapes
/// `a` `[m, k]`, `b` `[k, n]` → `[m, n]`. Any strides: a transposed view is not copied.
///
/// # Errors
/// [`ShapeError::Mismatch`] if the inner axes differ.
///
/// # Determinism
/// The bits are the same on any number of threads. Up to four rows of `a` with contiguous columns of `b` are inner products. Their sums
/// run in another order than those of more rows.
///
/// # Examples
/// ```
/// use ndarray::array;
/// let y = collimate_tensor::matmul(&array![[1.0_f32, 2.0]], &array![[3.0], [4.0]])?;
/// assert_eq!(y, array![[11.0]]);
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
pub fn matmul<F: Scalar>(a: &ArrayRef2<F>, b: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
    let mut c = crate::zeros((a.nrows(), b.ncols()));
    matmul_into(F::one(), a, b, F::zero(), &mut c)?;
    Ok(c)
}

/// Computes c ← α·a·b + β·c. With β = 0 the old content of `c` is not read, so NaN in it does not spread.
///
/// # Shapes
/// `a` `[m, k]`, `b` `[k, n]`, `c` `[m, n]`, with any strides.
///
/// # Errors
/// [`ShapeError::Mismatch`] naming the argument that does not fit.
///
/// # Determinism
/// The same bits on any number of threads.
///
/// # Examples
/// ```
/// use ndarray::array;
/// let mut c = array![[100.0_f64]];
/// collimate_tensor::matmul_into(2.0, &array![[1.0, 2.0]], &array![[3.0], [4.0]], 1.0, &mut c)?;
/// assert_eq!(c, array![[122.0]]);
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
pub fn matmul_into<F: Scalar>(
    alpha: F,
    a: &ArrayRef2<F>,
    b: &ArrayRef2<F>,
    beta: F,
    c: &mut ArrayRef2<F>,
) -> Result<(), ShapeError> {
    let (m, k) = a.dim();
    let n = b.ncols();
    ShapeError::check("b", &[k, n], b.shape())?;
    ShapeError::check("c", &[m, n], c.shape())?;
    F::matmul_kernel(alpha, a, b, beta, c, m * n * k > SERIAL);
    Ok(())
}

/// Computes the products of corresponding matrices, each in a task of its own.
///
/// # Shapes
/// `a` `[b, m, k]`, `b` `[b, k, n]` → `[b, m, n]`.
///
/// # Errors
/// [`ShapeError::Mismatch`] if the batch axes or the inner axes differ.
///
/// # Determinism
/// The same bits on any number of threads.
///
/// # Examples
/// ```
/// use ndarray::Array3;
/// let y = collimate_tensor::batched_matmul(&Array3::<f64>::ones((4, 2, 3)), &Array3::ones((4, 3, 5)))?;
/// assert_eq!(y, Array3::from_elem((4, 2, 5), 3.0));
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
pub fn batched_matmul<F: Scalar>(a: &ArrayRef3<F>, b: &ArrayRef3<F>) -> Result<Array3<F>, ShapeError> {
    let (batch, m, k) = a.dim();
    let n = b.dim().2;
    ShapeError::check("b", &[batch, k, n], b.shape())?;
    let mut c = crate::zeros((batch, m, n));
    let one = |i: usize, out: &mut ArrayRef2<F>, threads: bool| {
        F::matmul_kernel(
            F::one(),
            &a.index_axis(Axis(0), i),
            &b.index_axis(Axis(0), i),
            F::zero(),
            out,
            threads,
        );
    };
    let whole = m * n * k > SERIAL;
    if batch * m * n * k <= SERIAL || batch == 1 {
        for (i, mut out) in c.outer_iter_mut().enumerate() {
            one(i, &mut out, whole);
        }
    } else {
        let mut outs: Vec<_> = c.outer_iter_mut().collect();
        outs.par_iter_mut().enumerate().for_each(|(i, out)| one(i, out, false));
    }
    Ok(c)
}
