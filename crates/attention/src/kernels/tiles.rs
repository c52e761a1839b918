use super::{Join, columns, dots, lanes, micro, transpose};
use collimate_tensor::{CpuLevel, Scalar};
use ndarray::ArrayRef2;

/// The hot loops at the level of this processor.
pub trait Tiles: Scalar {
    /// `columns` filled up to whole vectors.
    #[doc(hidden)]
    fn whole(columns: usize) -> usize;
    /// `c ← a·b`, joined to what `c` holds.
    #[doc(hidden)]
    fn product(a: &ArrayRef2<Self>, b: &[Self], width: usize, join: Join<'_, Self>, c: &mut [Self]) {
        Self::product_part(a, (b, width), width, join, (c, width));
    }
    /// The same for `width` columns of wider rows, which lie as far apart as the second numbers say.
    #[doc(hidden)]
    fn product_part(
        a: &ArrayRef2<Self>,
        b: (&[Self], usize),
        width: usize,
        join: Join<'_, Self>,
        c: (&mut [Self], usize),
    );
    /// `c[i][j] = ⟨a[i], b[j]⟩` for a few rows of `b`; rows of `a` are contiguous, those of `c` are `width` apart.
    #[doc(hidden)]
    fn dots(a: &ArrayRef2<Self>, b: &[Self], columns: usize, width: usize, c: &mut [Self]);
    /// `to[p][i] = factor · x[i][p]`; columns past the rows of `x` are zero.
    #[doc(hidden)]
    fn into_columns(x: &ArrayRef2<Self>, factor: Self, width: usize, to: &mut [Self]);
    /// `to[i][..d] = factor · x[i]`, filled up with zeros to whole vectors.
    #[doc(hidden)]
    fn into_rows(x: &ArrayRef2<Self>, factor: Self, width: usize, to: &mut [Self]);
    /// `x[i][p] = factors[i] · from[p][i]`.
    #[doc(hidden)]
    fn out_of_columns(from: &[Self], width: usize, factors: &[Self], x: &mut ArrayRef2<Self>);
    /// One step of the online softmax.
    #[doc(hidden)]
    fn absorb(tile: &mut [Self], width: usize, top: &mut [Self], total: &mut [Self], factor: &mut [Self]);
    /// From scores and log-sum-exp, in units of log 2, to the pattern.
    #[doc(hidden)]
    fn pattern(tile: &mut [Self], width: usize, log_sum_exp: &[Self]);
    /// From the gradient by the pattern to that by the scores.
    #[doc(hidden)]
    fn softmax_backward(p: &[Self], dp: &mut [Self], width: usize, mean: &[Self]);
    /// The same through a map of the scores with that slope at each place.
    #[doc(hidden)]
    fn softmax_backward_sloped(p: &[Self], slope: &[Self], dp: &mut [Self], width: usize, mean: &[Self]);
    /// `z ← cap · tanh(z / cap)`, and the slope of that map.
    #[doc(hidden)]
    fn softcap(tile: &mut [Self], slope: &mut [Self], cap: Self);
    /// `z ← cap · tanh(z / cap)`.
    #[doc(hidden)]
    fn softcap_only(tile: &mut [Self], cap: Self);
    /// Whether all numbers are finite.
    #[doc(hidden)]
    fn all_finite(x: &[Self]) -> bool;
    /// `x ← x · y`.
    #[doc(hidden)]
    fn times(x: &mut [Self], y: &[Self]);
    /// From the direction of the scores, in units of log 2, to pattern times direction and its sums.
    #[doc(hidden)]
    fn tangent(p: &[Self], z: &mut [Self], width: usize, mean: &mut [Self]);
}

macro_rules! tiles {
    ($f:ident, $into_columns:path, $out_of_columns:path) => {
        impl Tiles for $f {
            fn whole(columns: usize) -> usize {
                columns.next_multiple_of(lanes(CpuLevel::current(), size_of::<$f>()))
            }
            fn product_part(
                a: &ArrayRef2<$f>,
                b: (&[$f], usize),
                width: usize,
                join: Join<'_, $f>,
                c: (&mut [$f], usize),
            ) {
                micro::$f::product(CpuLevel::current(), a, b, width, join, c)
            }
            fn dots(a: &ArrayRef2<$f>, b: &[$f], columns: usize, width: usize, c: &mut [$f]) {
                dots::$f::dots(CpuLevel::current(), a, b, columns, width, c)
            }
            fn into_columns(x: &ArrayRef2<$f>, factor: $f, width: usize, to: &mut [$f]) {
                $into_columns(CpuLevel::current(), x, factor, width, to)
            }
            fn into_rows(x: &ArrayRef2<$f>, factor: $f, width: usize, to: &mut [$f]) {
                transpose::into_rows(x, factor, width, to)
            }
            fn out_of_columns(from: &[$f], width: usize, factors: &[$f], x: &mut ArrayRef2<$f>) {
                $out_of_columns(CpuLevel::current(), from, width, factors, x)
            }
            fn absorb(tile: &mut [$f], width: usize, top: &mut [$f], total: &mut [$f], factor: &mut [$f]) {
                columns::$f::absorb(CpuLevel::current(), tile, width, top, total, factor)
            }
            fn pattern(tile: &mut [$f], width: usize, log_sum_exp: &[$f]) {
                columns::$f::pattern(CpuLevel::current(), tile, width, log_sum_exp)
            }
            fn softmax_backward(p: &[$f], dp: &mut [$f], width: usize, mean: &[$f]) {
                columns::$f::softmax_backward(CpuLevel::current(), p, dp, width, mean)
            }
            fn softmax_backward_sloped(p: &[$f], slope: &[$f], dp: &mut [$f], width: usize, mean: &[$f]) {
                columns::$f::softmax_backward_sloped(CpuLevel::current(), p, slope, dp, width, mean)
            }
            fn softcap(tile: &mut [$f], slope: &mut [$f], cap: $f) {
                columns::$f::softcap(CpuLevel::current(), tile, slope, cap)
            }
            fn softcap_only(tile: &mut [$f], cap: $f) {
                columns::$f::softcap_only(CpuLevel::current(), tile, cap)
            }
            fn all_finite(x: &[$f]) -> bool {
                let mut finite = true;
                columns::$f::check_finite(CpuLevel::current(), x, &mut finite);
                finite
            }
            fn times(x: &mut [$f], y: &[$f]) {
                columns::$f::times(CpuLevel::current(), x, y)
            }
            fn tangent(p: &[$f], z: &mut [$f], width: usize, mean: &mut [$f]) {
                columns::$f::tangent(CpuLevel::current(), p, z, width, mean)
            }
        }
    };
}

tiles!(f32, transpose::squares::into_columns, transpose::squares::out_of_columns);
tiles!(f64, transpose::into_columns, transpose::out_of_columns);
