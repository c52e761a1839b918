//! The matrix product `y = a b`.

use super::check2;
use collimate_tensor::{Scalar, ShapeError};
use ndarray::{Array2, ArrayRef2};

/// Computes `y = a b`.
///
/// # Shapes
/// `a [b, i]`, `b [i, o]`, result `[b, o]`.
///
/// # Errors
/// [`ShapeError`] if the inner lengths differ.
pub fn forward<F: Scalar>(a: &ArrayRef2<F>, b: &ArrayRef2<F>) -> Result<Array2<F>, ShapeError> {
    collimate_tensor::matmul(a, b)
}

/// Computes `(ā, b̄) = (ȳ bᵀ, aᵀ ȳ)`.
///
/// # Errors
/// [`ShapeError`] if the shapes do not fit.
///
/// # Examples
/// ```
/// use collimate_grad::primitive::matmul;
/// use ndarray::array;
/// let (d_a, d_b) = matmul::vjp(&array![[1.0, 2.0]], &array![[3.0], [4.0]], &array![[10.0]])?;
/// assert_eq!((d_a, d_b), (array![[30.0, 40.0]], array![[10.0], [20.0]]));
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
pub fn vjp<F: Scalar>(
    a: &ArrayRef2<F>,
    b: &ArrayRef2<F>,
    d_out: &ArrayRef2<F>,
) -> Result<(Array2<F>, Array2<F>), ShapeError> {
    check2("b", (a.ncols(), b.ncols()), b)?;
    check2("d_out", (a.nrows(), b.ncols()), d_out)?;
    Ok((collimate_tensor::matmul(d_out, &b.t())?, collimate_tensor::matmul(&a.t(), d_out)?))
}

/// Computes `ẏ = ȧ b + a ḃ`.
///
/// # Errors
/// [`ShapeError`] if the shapes do not fit.
pub fn jvp<F: Scalar>(
    a: &ArrayRef2<F>,
    b: &ArrayRef2<F>,
    a_dot: &ArrayRef2<F>,
    b_dot: &ArrayRef2<F>,
) -> Result<Array2<F>, ShapeError> {
    check2("a_dot", a.dim(), a_dot)?;
    check2("b_dot", b.dim(), b_dot)?;
    let mut out = collimate_tensor::matmul(a_dot, b)?;
    collimate_tensor::matmul_into(F::one(), a, b_dot, F::one(), &mut out)?;
    Ok(out)
}
