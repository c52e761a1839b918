//! A bias added to each row: `y = x + 1 βᵀ`.

use super::{check1, check2};
use collimate_tensor::{Scalar, ShapeError};
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2, Axis};

/// Computes `y_bd = x_bd + β_d`.
///
/// # Shapes
/// `x [b, d]`, `bias [d]`, result `[b, d]`.
///
/// # Errors
/// [`ShapeError`] if the lengths differ.
///
/// # Examples
/// ```
/// use ndarray::array;
/// let y = collimate_grad::primitive::bias::forward(&array![[1.0, 2.0]], &array![10.0, 20.0])?;
/// assert_eq!(y, array![[11.0, 22.0]]);
/// # Ok::<(), collimate_tensor::ShapeError>(())
/// ```
pub fn forward<F: Scalar>(x: &ArrayRef2<F>, bias: &ArrayRef1<F>) -> Result<Array2<F>, ShapeError> {
    check1("bias", x.ncols(), bias)?;
    let mut y = x.to_owned();
    *y += bias;
    Ok(y)
}

/// Computes `(x̄, β̄) = (ȳ, Σ_b ȳ_b)`.
pub fn vjp<F: Scalar>(d_out: &ArrayRef2<F>) -> (Array2<F>, Array1<F>) {
    (d_out.to_owned(), d_out.sum_axis(Axis(0)))
}

/// Computes `ẏ = ẋ + 1 β̇ᵀ`.
///
/// # Errors
/// [`ShapeError`] if the lengths differ.
pub fn jvp<F: Scalar>(x_dot: &ArrayRef2<F>, bias_dot: &ArrayRef1<F>) -> Result<Array2<F>, ShapeError> {
    check2("x_dot", (x_dot.nrows(), bias_dot.len()), x_dot)?;
    forward(x_dot, bias_dot)
}
