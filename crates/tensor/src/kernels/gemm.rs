//! The dense product, by the `gemm` crate.

use super::{assert_shape, packed};
use crate::CpuLevel;
use ndarray::{ArrayRef2, NdFloat};

macro_rules! product {
    ($f:ident) => {
        pub(crate) mod $f {
            use super::*;

            /// Computes c ← α·a·b + β·c for shapes that the caller has checked.
            pub(crate) fn product(
                alpha: $f,
                a: &ArrayRef2<$f>,
                b: &ArrayRef2<$f>,
                beta: $f,
                c: &mut ArrayRef2<$f>,
                threads: bool,
            ) {
                assert_shape("b", "[k, n]", &[a.ncols(), c.ncols()], b.shape());
                assert_shape("c", "[m, n]", &[a.nrows(), b.ncols()], c.shape());
                if c.is_empty() {
                    return;
                }
                if a.ncols() == 0 || CpuLevel::current() < CpuLevel::detected() {
                    return forced_down(alpha, a, b, beta, c);
                }
                dense(alpha, a, b, beta, c, threads);
            }

            /// Computes the product with our own kernel: the `gemm` crate detects the processor by itself and knows no
            /// lower level.
            fn forced_down(alpha: $f, a: &ArrayRef2<$f>, b: &ArrayRef2<$f>, beta: $f, c: &mut ArrayRef2<$f>) {
                if a.ncols() == 0 && beta == 0.0 {
                    return c.fill(0.0);
                }
                // The old content is not read if β is zero.
                let accumulate = beta != 0.0;
                if accumulate && beta != 1.0 {
                    c.mapv_inplace(|x| x * beta);
                }
                if a.ncols() == 0 {
                    return;
                }
                let panels = packed::$f::pack(b);
                if alpha == 1.0 {
                    packed::$f::product(a, &panels, accumulate, c);
                } else {
                    packed::$f::product(&a.mapv(|x| x * alpha), &panels, accumulate, c);
                }
            }
        }
    };
}

product!(f32);
product!(f64);

/// Computes c ← α·a·b + β·c for shapes that agree and are not empty.
pub(super) fn dense<F: NdFloat>(
    alpha: F,
    a: &ArrayRef2<F>,
    b: &ArrayRef2<F>,
    beta: F,
    c: &mut ArrayRef2<F>,
    threads: bool,
) {
    let (m, k) = a.dim();
    let n = b.ncols();
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

/// Returns the strides of the rows and of the columns.
fn strides<F>(x: &ArrayRef2<F>) -> (isize, isize) {
    (x.strides()[0], x.strides()[1])
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    fn product(b: (usize, usize), c: (usize, usize)) {
        let (a, b) = (Array2::<f32>::ones((2, 3)), Array2::ones(b));
        super::f32::product(1.0, &a, &b, 0.0, &mut Array2::zeros(c), false);
    }

    #[test]
    #[should_panic(expected = "b [k, n] must have the shape [3, 4], but has [2, 4]")]
    fn a_right_operand_of_another_shape_is_caught() {
        product((2, 4), (2, 4));
    }

    #[test]
    #[should_panic(expected = "c [m, n] must have the shape [2, 4], but has [3, 4]")]
    fn an_output_of_another_shape_is_caught() {
        product((3, 4), (3, 4));
    }
}
