//! Sum and mean of all entries; accumulated in f64, in the order of memory rows.

use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayRef2};

/// `s = Σ x`.
///
/// # Examples
/// ```
/// assert_eq!(collimate_grad::primitive::reduce::sum(&ndarray::array![[1.0, 2.0], [3.0, 4.0]]), 10.0);
/// ```
pub fn sum<F: Scalar>(x: &ArrayRef2<F>) -> F {
    F::from_f64(x.iter().map(|&x| x.to_f64()).sum())
}

/// `x̄ = s̄` in each entry.
pub fn sum_vjp<F: Scalar>(shape: (usize, usize), d_out: F) -> Array2<F> {
    Array2::from_elem(shape, d_out)
}

/// `ṡ = Σ ẋ`: summing is linear, so this is [`sum`].
pub fn sum_jvp<F: Scalar>(x_dot: &ArrayRef2<F>) -> F {
    sum(x_dot)
}

/// `m = Σ x / N`; NaN for an empty matrix.
pub fn mean<F: Scalar>(x: &ArrayRef2<F>) -> F {
    F::from_f64(x.iter().map(|&x| x.to_f64()).sum::<f64>() / x.len() as f64)
}

/// `x̄ = m̄ / N` in each entry.
pub fn mean_vjp<F: Scalar>(shape: (usize, usize), d_out: F) -> Array2<F> {
    Array2::from_elem(shape, d_out / F::from_f64((shape.0 * shape.1) as f64))
}

/// `ṁ = Σ ẋ / N`.
pub fn mean_jvp<F: Scalar>(x_dot: &ArrayRef2<F>) -> F {
    mean(x_dot)
}
