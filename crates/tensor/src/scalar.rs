use crate::kernels::{gemm, packed, rows};
use collimate_stream::RngStream;
use ndarray::{ArrayRef2, NdFloat};
use rand_distr::{Distribution, StandardNormal};
use std::iter::Sum;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// A floating-point type that the toolkit computes in: `f32` or `f64`, and no other (the trait is sealed).
///
/// Its hidden methods are the hot loops. Being instantiated here, they run at this crate's optimisation level
/// whatever the level of the calling crate.
///
/// # Examples
/// ```
/// use collimate_tensor::Scalar;
/// fn half<F: Scalar>() -> F { F::from_f64(0.5) }
/// assert_eq!(half::<f32>().to_f64(), 0.5);
/// ```
pub trait Scalar: sealed::Sealed + NdFloat + Default + Sum {
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest value to an `f64`.
    fn from_f64(x: f64) -> Self;

    /// The same value as an `f64`.
    fn to_f64(self) -> f64;

    /// A standard normal number.
    fn standard_normal(stream: &mut RngStream) -> Self;

    /// A uniform number in [0, 1).
    fn uniform(stream: &mut RngStream) -> Self;

    #[doc(hidden)]
    fn matmul_kernel(
        alpha: Self,
        a: &ArrayRef2<Self>,
        b: &ArrayRef2<Self>,
        beta: Self,
        c: &mut ArrayRef2<Self>,
        threads: bool,
    );
    #[doc(hidden)]
    fn pack_kernel(b: &ArrayRef2<Self>) -> packed::Panels<Self>;
    #[doc(hidden)]
    fn packed_kernel(
        a: &ArrayRef2<Self>,
        b: &packed::Panels<Self>,
        accumulate: bool,
        c: &mut ArrayRef2<Self>,
    );
    #[doc(hidden)]
    fn repack_kernel(b: &ArrayRef2<Self>, panels: &mut packed::Panels<Self>);
    #[doc(hidden)]
    fn serial_kernel(a: &ArrayRef2<Self>, b: &packed::Panels<Self>, c: &mut ArrayRef2<Self>);
    #[doc(hidden)]
    fn softmax_kernel(row: &mut [Self]);
    #[doc(hidden)]
    fn softmax_rows_kernel(rows: &mut [Self], columns: usize);
    #[doc(hidden)]
    fn log_sum_exp_kernel(row: &[Self]) -> Self;
    #[doc(hidden)]
    fn exp_kernel(x: &mut [Self]);
    #[doc(hidden)]
    fn silu_kernel(x: &mut [Self]);
    #[doc(hidden)]
    fn silu_times_kernel(gate: &[Self], up: &[Self], out: &mut [Self]);
    #[doc(hidden)]
    fn gelu_tanh_kernel(x: &mut [Self]);
    #[doc(hidden)]
    fn gelu_erf_kernel(x: &mut [Self]);
    #[doc(hidden)]
    fn rms_norm_kernel(x: &[Self], gain: &[Self], epsilon: Self, out: &mut [Self]);
    #[doc(hidden)]
    fn layer_norm_kernel(x: &[Self], gain: &[Self], bias: &[Self], epsilon: Self, out: &mut [Self]);
    #[doc(hidden)]
    fn dot_kernel(a: &[Self], b: &[Self]) -> Self;
    #[doc(hidden)]
    fn axpy_kernel(alpha: Self, x: &[Self], y: &mut [Self]);
    #[doc(hidden)]
    fn top_k_kernel(row: &[Self], k: usize, out: &mut Vec<(u32, Self)>);
}

macro_rules! scalar {
    ($f:ident, $name:literal) => {
        impl Scalar for $f {
            const NAME: &'static str = $name;

            fn from_f64(x: f64) -> Self {
                x as $f
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn standard_normal(stream: &mut RngStream) -> Self {
                StandardNormal.sample(stream)
            }
            fn uniform(stream: &mut RngStream) -> Self {
                // Rounding to f32 could reach 1: keep as many bits as the mantissa has.
                let bits = $f::MANTISSA_DIGITS;
                (stream.bits() >> (64 - bits)) as $f / (1u64 << bits) as $f
            }
            fn matmul_kernel(
                alpha: Self,
                a: &ArrayRef2<Self>,
                b: &ArrayRef2<Self>,
                beta: Self,
                c: &mut ArrayRef2<Self>,
                threads: bool,
            ) {
                gemm::product(alpha, a, b, beta, c, threads);
            }
            fn pack_kernel(b: &ArrayRef2<Self>) -> packed::Panels<Self> {
                packed::$f::pack(b)
            }
            fn packed_kernel(
                a: &ArrayRef2<Self>,
                b: &packed::Panels<Self>,
                accumulate: bool,
                c: &mut ArrayRef2<Self>,
            ) {
                packed::$f::product(a, b, accumulate, c);
            }
            fn repack_kernel(b: &ArrayRef2<Self>, panels: &mut packed::Panels<Self>) {
                packed::$f::repack(b, panels);
            }
            fn serial_kernel(a: &ArrayRef2<Self>, b: &packed::Panels<Self>, c: &mut ArrayRef2<Self>) {
                packed::$f::serial(a, b, c);
            }
            fn softmax_kernel(row: &mut [Self]) {
                rows::$f::softmax(row);
            }
            fn softmax_rows_kernel(rows: &mut [Self], columns: usize) {
                rows.chunks_exact_mut(columns).for_each(rows::$f::softmax);
            }
            fn log_sum_exp_kernel(row: &[Self]) -> Self {
                rows::$f::log_sum_exp(row)
            }
            fn exp_kernel(x: &mut [Self]) {
                rows::$f::exp(x);
            }
            fn silu_kernel(x: &mut [Self]) {
                rows::$f::silu(x);
            }
            fn silu_times_kernel(gate: &[Self], up: &[Self], out: &mut [Self]) {
                rows::$f::silu_times(gate, up, out);
            }
            fn gelu_tanh_kernel(x: &mut [Self]) {
                rows::$f::gelu_tanh(x);
            }
            fn gelu_erf_kernel(x: &mut [Self]) {
                for v in x {
                    let wide = f64::from(*v);
                    *v = (0.5 * wide * (1.0 + libm::erf(wide * std::f64::consts::FRAC_1_SQRT_2))) as $f;
                }
            }
            fn rms_norm_kernel(x: &[Self], gain: &[Self], epsilon: Self, out: &mut [Self]) {
                rows::$f::rms_norm(x, gain, epsilon, out);
            }
            fn layer_norm_kernel(x: &[Self], gain: &[Self], bias: &[Self], epsilon: Self, out: &mut [Self]) {
                rows::$f::layer_norm(x, gain, bias, epsilon, out);
            }
            fn dot_kernel(a: &[Self], b: &[Self]) -> Self {
                rows::$f::dot(a, b)
            }
            fn axpy_kernel(alpha: Self, x: &[Self], y: &mut [Self]) {
                rows::$f::axpy(alpha, x, y);
            }
            fn top_k_kernel(row: &[Self], k: usize, out: &mut Vec<(u32, Self)>) {
                crate::selection::$f(row, k, out);
            }
        }
    };
}

scalar!(f32, "f32");
scalar!(f64, "f64");
