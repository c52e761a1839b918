//! Sum and mean of all entries, accumulated in f64 row by row. Both are linear, so their jvp is the map itself, applied to `ẋ`.

use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayRef2};

/// Computes `s = Σ x`.
///
/// # Examples
/// ```
/// assert_eq!(collimate_grad::primitive::reduce::sum(&ndarray::array![[1.0, 2.0], [3.0, 4.0]]), 10.0);
/// ```
pub fn sum<F: Scalar>(x: &ArrayRef2<F>) -> F {
    F::from_f64(x.iter().map(|&x| x.to_f64()).sum())
}

/// Returns `x̄ = s̄` in each entry.
pub fn sum_vjp<F: Scalar>(shape: (usize, usize), d_out: F) -> Array2<F> {
    Array2::from_elem(shape, d_out)
}

/// Computes `m = Σ x / N`; NaN for an empty matrix.
pub fn mean<F: Scalar>(x: &ArrayRef2<F>) -> F {
    F::from_f64(x.iter().map(|&x| x.to_f64()).sum::<f64>() / x.len() as f64)
}

/// Returns `x̄ = m̄ / N` in each entry.
pub fn mean_vjp<F: Scalar>(shape: (usize, usize), d_out: F) -> Array2<F> {
    Array2::from_elem(shape, d_out / F::from_f64((shape.0 * shape.1) as f64))
}
