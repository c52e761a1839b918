//! The dense product, by the `gemm` crate.

use crate::{CpuLevel, Scalar};
use ndarray::ArrayRef2;

/// c ← α·a·b + β·c for shapes that the caller has checked.
pub(crate) fn product<F: Scalar>(
    alpha: F,
    a: &ArrayRef2<F>,
    b: &ArrayRef2<F>,
    beta: F,
    c: &mut ArrayRef2<F>,
    threads: bool,
) {
    let (m, k) = a.dim();
    let n = b.ncols();
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 || CpuLevel::current() < CpuLevel::detected() {
        return forced_down(alpha, a, b, beta, c);
    }
    let parallelism = if threads { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    let (a_stride, b_stride, c_stride) = (strides(a), strides(b), (c.strides()[0], c.strides()[1]));
    // SAFETY: pointers, shapes and strides come from live arrays whose shapes agree; `c` is borrowed mutably, so
    // it overlaps neither operand. `beta` is read only together with initialised elements of `c`.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_stride.1,
            c_stride.0,
            beta != F::zero(),
            a.as_ptr(),
            a_stride.1,
            a_stride.0,
            b.as_ptr(),
            b_stride.1,
            b_stride.0,
            beta,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

fn strides<F>(x: &ArrayRef2<F>) -> (isize, isize) {
    (x.strides()[0], x.strides()[1])
}

/// The `gemm` crate detects the processor by itself; a level that was forced down goes through our own kernel.
fn forced_down<F: Scalar>(alpha: F, a: &ArrayRef2<F>, b: &ArrayRef2<F>, beta: F, c: &mut ArrayRef2<F>) {
    if beta == F::zero() {
        c.fill(F::zero());
    } else if beta != F::one() {
        c.mapv_inplace(|x| x * beta);
    }
    if a.ncols() == 0 {
        return;
    }
    let panels = F::pack_kernel(b);
    if alpha == F::one() {
        F::packed_kernel(a, &panels, true, c);
    } else {
        F::packed_kernel(&a.mapv(|x| x * alpha), &panels, true, c);
    }
}
