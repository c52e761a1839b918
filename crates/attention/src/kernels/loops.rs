use super::Join;
use super::{columns, dots, micro, rotate, transpose};
use collimate_tensor::{Scalar, hot_loops};
use ndarray::{ArrayRef2, ArrayRef3};

hot_loops! {
    /// The hot loops of attention for f32 and f64, each at the level of this processor.
    pub trait Loops: Scalar {
        /// Computes `a·b` and combines it with `c`, for `b` and `c` with rows of `width` numbers.
        fn product(a: &ArrayRef2<Self>, b: &[Self], width: usize, join: Join<'_, Self>, c: &mut [Self]) = micro::_::product;
        /// Computes `product` for `width` columns of wider rows. The second numbers are the distances between rows.
        fn product_part(a: &ArrayRef2<Self>, b: (&[Self], usize), width: usize, join: Join<'_, Self>, c: (&mut [Self], usize)) = micro::_::product_part;
        /// Computes `c[i][j] = ⟨a[i], b[j]⟩` for a few rows of `b`. Rows of `a` are contiguous, rows of `c` are `width` apart.
        fn dots(a: &ArrayRef2<Self>, b: &[Self], columns: usize, width: usize, c: &mut [Self]) = dots::_::dots;
        /// Writes `to[p][i] = factor · x[i][p]`. Columns past the rows of `x` become zero.
        fn into_columns(x: &ArrayRef2<Self>, factor: Self, width: usize, to: &mut [Self]) = transpose::_::into_columns;
        /// Writes `to[i][..d] = factor · x[i]`, padded with zeros to whole vectors.
        fn into_rows(x: &ArrayRef2<Self>, factor: Self, width: usize, to: &mut [Self]) = transpose::into_rows;
        /// Writes `x[i][p] = factors[i] · from[p][i]`.
        fn out_of_columns(from: &[Self], width: usize, factors: &[Self], x: &mut ArrayRef2<Self>) = transpose::_::out_of_columns;
        /// Performs one step of the online softmax.
        fn absorb(tile: &mut [Self], width: usize, top: &mut [Self], total: &mut [Self], factor: &mut [Self]) = columns::_::absorb;
        /// Turns scores into the pattern, given the log-sum-exp, both in units of log 2.
        fn pattern(tile: &mut [Self], width: usize, log_sum_exp: &[Self]) = columns::_::pattern;
        /// Turns the gradient by the pattern into the gradient by the scores.
        fn softmax_backward(p: &[Self], dp: &mut [Self], width: usize, mean: &[Self]) = columns::_::softmax_backward;
        /// Computes `softmax_backward` through a map of the scores that has the slope `slope` at each place.
        fn softmax_backward_sloped(p: &[Self], slope: &[Self], dp: &mut [Self], width: usize, mean: &[Self]) = columns::_::softmax_backward_sloped;
        /// Computes `z ← cap · tanh(z / cap)` and the slope of that map.
        fn softcap(tile: &mut [Self], slope: &mut [Self], cap: Self) = columns::_::softcap;
        /// Computes `z ← cap · tanh(z / cap)`.
        fn softcap_only(tile: &mut [Self], cap: Self) = columns::_::softcap_only;
        /// Returns true if all numbers are finite.
        fn all_finite(x: &[Self]) -> bool = columns::_::all_finite;
        /// Computes `x ← x · y`.
        fn times(x: &mut [Self], y: &[Self]) = columns::_::times;
        /// Turns the direction of the scores, in units of log 2, into pattern times direction and its sums.
        fn tangent(p: &[Self], z: &mut [Self], width: usize, mean: &mut [Self]) = columns::_::tangent;
        /// Turns pairs of numbers of each row by the angles of its position.
        fn rotate(x: &mut ArrayRef3<Self>, cos: &ArrayRef2<Self>, sin: &ArrayRef2<Self>, turn: rotate::Turn) = rotate::rotate;
    }
}
