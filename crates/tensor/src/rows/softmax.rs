use crate::Scalar;
use ndarray::ArrayRef2;

/// Replaces a row by its softmax.
///
/// ```text
/// yᵢ = exp(xᵢ − max x) / Σⱼ exp(xⱼ − max x)
/// ```
/// An entry of −∞ gives 0, and a row with only −∞ (everything masked) gives zeros. A NaN or +∞ turns the whole row into NaN.
///
/// # Determinism
/// Every [`crate::CpuLevel`] gives the same bits.
///
/// # Examples
/// ```
/// let mut row = [1e4_f64, 1e4, f64::NEG_INFINITY];
/// collimate_tensor::softmax_in_place(&mut row);
/// assert_eq!(row, [0.5, 0.5, 0.0]);
/// ```
pub fn softmax_in_place<F: Scalar>(row: &mut [F]) {
    F::softmax_kernel(row);
}

/// Applies [`softmax_in_place`] to every row of a matrix.
///
/// # Examples
/// ```
/// let mut x = ndarray::array![[0.0_f32, 0.0], [5.0, 5.0]];
/// collimate_tensor::softmax_rows(&mut x);
/// assert_eq!(x, ndarray::array![[0.5, 0.5], [0.5, 0.5]]);
/// ```
pub fn softmax_rows<F: Scalar>(x: &mut ArrayRef2<F>) {
    let columns = x.ncols();
    if let Some(contiguous) = x.as_slice_mut().filter(|_| columns > 0) {
        // The loop over rows is compiled here as well: in a debug caller it costs more than a short row.
        return F::softmax_rows_kernel(contiguous, columns);
    }
    for mut row in x.rows_mut() {
        match row.as_slice_mut() {
            Some(slice) => F::softmax_kernel(slice),
            None => {
                let mut copy = row.to_vec();
                F::softmax_kernel(&mut copy);
                row.iter_mut().zip(copy).for_each(|(to, from)| *to = from);
            }
        }
    }
}

/// Computes log Σⱼ exp(xⱼ) without overflow.
///
/// The result is −∞ for an empty row and for a row with only −∞, +∞ for a row with +∞, and NaN for a row with NaN.
///
/// # Examples
/// ```
/// let lse = collimate_tensor::log_sum_exp(&[1e4_f64, 1e4]);
/// assert!((lse - (1e4 + 2.0_f64.ln())).abs() < 1e-11);
/// assert_eq!(collimate_tensor::log_sum_exp(&[f64::INFINITY, 0.0]), f64::INFINITY);
/// ```
pub fn log_sum_exp<F: Scalar>(row: &[F]) -> F {
    F::log_sum_exp_kernel(row)
}

/// Replaces a row by its log-softmax, xᵢ − log Σⱼ exp(xⱼ).
///
/// A row with only −∞ is not changed.
///
/// # Examples
/// ```
/// let mut row = [0.0_f64, 0.0];
/// collimate_tensor::log_softmax_in_place(&mut row);
/// assert!((row[0] + 2.0_f64.ln()).abs() < 1e-15);
/// ```
pub fn log_softmax_in_place<F: Scalar>(row: &mut [F]) {
    // A NaN, once reached, remains the largest.
    let top = row.iter().fold(F::neg_infinity(), |top: F, &x| if x > top || x.is_nan() { x } else { top });
    if top == F::neg_infinity() {
        return;
    }
    // The largest is subtracted first: next to a log-sum-exp of 10⁴, an f32 keeps three digits of a logarithm of 3.
    row.iter_mut().for_each(|x| *x -= top);
    let lse = F::log_sum_exp_kernel(row);
    row.iter_mut().for_each(|x| *x -= lse);
}
