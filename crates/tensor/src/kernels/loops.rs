use super::{gemm, packed, rows, selection};
use crate::hot_loops;
use ndarray::ArrayRef2;

hot_loops! {
    /// The hot loops of [`Scalar`](crate::Scalar), compiled here for both precisions.
    ///
    /// No other type can have them, because the trait cannot be named outside of this crate.
    pub trait HotLoops: Copy {
        fn matmul_kernel(alpha: Self, a: &ArrayRef2<Self>, b: &ArrayRef2<Self>, beta: Self, c: &mut ArrayRef2<Self>, threads: bool)
            = gemm::_::product;
        fn pack_kernel(b: &ArrayRef2<Self>) -> packed::Panels<Self> = packed::_::pack;
        fn repack_kernel(b: &ArrayRef2<Self>, panels: &mut packed::Panels<Self>) = packed::_::repack;
        fn packed_kernel(a: &ArrayRef2<Self>, b: &packed::Panels<Self>, accumulate: bool, c: &mut ArrayRef2<Self>)
            = packed::_::product;
        fn serial_kernel(a: &ArrayRef2<Self>, b: &packed::Panels<Self>, c: &mut ArrayRef2<Self>) = packed::_::serial;
        fn softmax_kernel(row: &mut [Self]) = rows::_::softmax;
        fn softmax_rows_kernel(rows: &mut [Self], columns: usize) = rows::_::softmax_rows;
        fn log_sum_exp_kernel(row: &[Self]) -> Self = rows::_::log_sum_exp;
        fn exp_kernel(x: &mut [Self]) = rows::_::exp;
        fn silu_kernel(x: &mut [Self]) = rows::_::silu;
        fn silu_times_kernel(gate: &[Self], up: &[Self], out: &mut [Self]) = rows::_::silu_times;
        fn gelu_tanh_kernel(x: &mut [Self]) = rows::_::gelu_tanh;
        fn gelu_erf_kernel(x: &mut [Self]) = rows::_::gelu_erf;
        fn rms_norm_kernel(x: &[Self], gain: &[Self], epsilon: Self, out: &mut [Self]) = rows::_::rms_norm;
        fn layer_norm_kernel(x: &[Self], gain: &[Self], bias: &[Self], epsilon: Self, out: &mut [Self])
            = rows::_::layer_norm;
        fn dot_kernel(a: &[Self], b: &[Self]) -> Self = rows::_::dot;
        fn axpy_kernel(alpha: Self, x: &[Self], y: &mut [Self]) = rows::_::axpy;
        fn top_k_kernel(row: &[Self], k: usize, out: &mut Vec<(u32, Self)>) = selection::_;
    }
}
