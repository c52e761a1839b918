use crate::Scalar;

/// Computes the inner product Σᵢ aᵢbᵢ, summed over 16 lanes in a fixed order.
///
/// # Panics
/// If the slices have different lengths.
///
/// # Examples
/// ```
/// assert_eq!(collimate_tensor::dot(&[1.0_f32, 2.0], &[3.0, 4.0]), 11.0);
/// ```
pub fn dot<F: Scalar>(a: &[F], b: &[F]) -> F {
    assert_eq!(a.len(), b.len(), "dot: slices of different lengths");
    F::dot_kernel(a, b)
}

/// Computes y ← y + α·x.
///
/// # Panics
/// If the slices have different lengths.
///
/// # Examples
/// ```
/// let mut y = [1.0_f64, 1.0];
/// collimate_tensor::axpy(2.0, &[1.0, 3.0], &mut y);
/// assert_eq!(y, [3.0, 7.0]);
/// ```
pub fn axpy<F: Scalar>(alpha: F, x: &[F], y: &mut [F]) {
    assert_eq!(x.len(), y.len(), "axpy: slices of different lengths");
    F::axpy_kernel(alpha, x, y);
}

/// Computes the squared Euclidean norm Σᵢ xᵢ².
///
/// # Examples
/// ```
/// assert_eq!(collimate_tensor::sum_of_squares(&[3.0_f64, 4.0]), 25.0);
/// ```
pub fn sum_of_squares<F: Scalar>(x: &[F]) -> F {
    F::dot_kernel(x, x)
}
