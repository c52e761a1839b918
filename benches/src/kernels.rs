//! The bare product of the kernel crate, as the probe.

use ndarray::ArrayRef2;

/// c ← a·b by the kernel crate itself, on all threads, with nothing of ours in between.
///
/// # Panics
/// When the shapes do not fit: a benchmark is our own code.
pub fn bare_product(a: &ArrayRef2<f32>, b: &ArrayRef2<f32>, c: &mut ArrayRef2<f32>) {
    let (m, k) = a.dim();
    let n = b.ncols();
    assert_eq!((b.nrows(), c.dim()), (k, (m, n)), "shapes of the probe");
    let (a_stride, b_stride) = ((a.strides()[0], a.strides()[1]), (b.strides()[0], b.strides()[1]));
    let c_stride = (c.strides()[0], c.strides()[1]);
    // SAFETY: pointers, shapes and strides come from live arrays whose shapes agree, and `c` is borrowed mutably.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            c_stride.1,
            c_stride.0,
            false,
            a.as_ptr(),
            a_stride.1,
            a_stride.0,
            b.as_ptr(),
            b_stride.1,
            b_stride.0,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}
