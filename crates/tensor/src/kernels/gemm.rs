//! The dense product, by the `gemm` crate.

use super::{assert_shape, packed, rows};
use crate::CpuLevel;
use ndarray::{ArrayRef2, ArrayView2, ArrayViewMut2, Axis, NdFloat, s};
use rayon::prelude::*;

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
                if alpha == 1.0 && beta == 0.0 && few_rows(a, b, c, threads) {
                    return;
                }
                if a.ncols() == 0 || CpuLevel::current() < CpuLevel::detected() {
                    return forced_down(alpha, a, b, beta, c);
                }
                dense(alpha, a, b, beta, c, threads);
            }

            /// Computes c ← a·b as inner products, if `a` has few rows and the columns of `b` are contiguous. The time is that of one
            /// pass over `b`. Returns false for other operands.
            fn few_rows(a: &ArrayRef2<$f>, b: &ArrayRef2<$f>, c: &mut ArrayRef2<$f>, threads: bool) -> bool {
                let contiguous = b.strides()[0] == 1 && b.nrows() > 1;
                if a.nrows() > FEW || !contiguous {
                    return false;
                }
                let a = a.as_standard_layout();
                let left: Vec<&[$f]> =
                    a.rows().into_iter().map(|row| row.to_slice().expect("standard layout")).collect();
                let dots = |(b, mut c): (ArrayView2<'_, $f>, ArrayViewMut2<'_, $f>)| {
                    let column = |j: usize| b.index_axis(Axis(1), j).to_slice().expect("contiguous columns");
                    for (row, mut c) in left.iter().zip(c.rows_mut()) {
                        for first in (0..b.ncols()).step_by(4) {
                            match b.ncols() - first {
                                4.. => {
                                    let four =
                                        rows::$f::four_dots(row, [0, 1, 2, 3].map(|j| column(first + j)));
                                    four.into_iter().enumerate().for_each(|(j, sum)| c[first + j] = sum);
                                }
                                rest => {
                                    (first..first + rest).for_each(|j| c[j] = rows::$f::dot(row, column(j)))
                                }
                            }
                        }
                    }
                };
                let blocks =
                    b.axis_chunks_iter(Axis(1), LEAST[1]).zip(c.axis_chunks_iter_mut(Axis(1), LEAST[1]));
                if threads {
                    blocks.collect::<Vec<_>>().into_par_iter().for_each(dots);
                } else {
                    blocks.for_each(dots);
                }
                true
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

/// The largest number of rows for which a product is a set of inner products.
const FEW: usize = 4;
/// The fewest multiply-adds of a task.
const TASK: usize = 1 << 18;
/// The fewest rows and columns of a block.
const LEAST: [usize; 2] = [24, 64];
/// The rows and columns of a tile of the crate's kernels; blocks begin at whole tiles.
const TILE: [usize; 2] = [6, 64];
/// The number of terms up to which the crate adds up a sum in one part, whatever the size of the product.
const ONE_PART: usize = 512;
/// The number of rows and of columns up to which the crate divides longer sums in another way.
const SMALL: usize = 64;
/// The fewest rows or columns of a product that is divided: a block of fewer could be so small that the crate computes inner products.
const NARROW: usize = 11;

/// Computes c ← α·a·b + β·c for shapes that agree and are not empty.
///
/// On several threads, each task computes some rows or some columns of `c` by itself. The crate's own threads wait for each other at
/// every block of the sum, which costs more than the second copy of an operand. No division changes the order of a sum.
pub(super) fn dense<F: NdFloat>(
    alpha: F,
    a: &ArrayRef2<F>,
    b: &ArrayRef2<F>,
    beta: F,
    c: &mut ArrayRef2<F>,
    threads: bool,
) {
    let (sizes, terms) = ([c.nrows(), c.ncols()], a.ncols());
    let work = sizes[0] * sizes[1] * terms;
    let count = if threads { rayon::current_num_threads().min(work / TASK) } else { 1 };
    let (axis, parts) = division(sizes, terms, b.strides()[1] != 1, count);
    if parts < 2 {
        return one_block(alpha, a, b, beta, c);
    }
    let (mut tasks, mut rest, mut start) = (Vec::with_capacity(parts), c.view_mut(), 0);
    for part in 1..=parts {
        let bound = part * sizes[axis] / parts / TILE[axis] * TILE[axis];
        let end = if part == parts { sizes[axis] } else { bound };
        let (block, others) = rest.split_at(Axis(axis), end - start);
        tasks.push((start..end, block));
        (rest, start) = (others, end);
    }
    tasks.into_par_iter().for_each(|(range, mut c)| match axis {
        0 => one_block(alpha, &a.slice(s![range, ..]), b, beta, &mut c),
        _ => one_block(alpha, a, &b.slice(s![.., range]), beta, &mut c),
    });
}

/// Returns the axis along which a product is divided for `count` tasks, and the number of parts.
///
/// Each block of columns copies the left operand, and each block of rows the right one if its columns are contiguous. So a product with
/// such an operand is divided by columns if the blocks are whole tiles, others by rows, unless the other axis has more parts.
fn division(sizes: [usize; 2], terms: usize, contiguous_columns: bool, count: usize) -> (usize, usize) {
    let parts = |axis: usize| {
        let other = sizes[1 - axis];
        // A part must add up its sums like the whole product.
        let alike = other >= NARROW && (terms <= ONE_PART || other > SMALL);
        if alike { count.min(sizes[axis] / LEAST[axis]).max(1) } else { 1 }
    };
    let first = usize::from(contiguous_columns && sizes[1].is_multiple_of(LEAST[1] * count.max(1)));
    let axis = if parts(1 - first) > parts(first) { 1 - first } else { first };
    (axis, parts(axis))
}

/// Computes a block of the product on the calling thread.
fn one_block<F: NdFloat>(alpha: F, a: &ArrayRef2<F>, b: &ArrayRef2<F>, beta: F, c: &mut ArrayRef2<F>) {
    let (m, k) = a.dim();
    let n = b.ncols();
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
            gemm::Parallelism::None,
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
    fn blocks_of_several_threads_change_no_bit() {
        let mut stream = collimate_stream::RngStream::new(4, 0);
        let shapes =
            [(200, 70, 130), (64, 1100, 256), (7, 300, 512), (512, 64, 64), (50, 129, 1000), (60, 2000, 64)];
        for (m, k, n) in
            shapes.into_iter().chain([(3000, 700, 10), (3000, 700, 40), (25, 600, 640), (97, 1030, 129)])
        {
            let mut draw = |shape| Array2::<f32>::from_shape_simple_fn(shape, || stream.normal() as f32);
            let (a, b, bt, at, c) = (draw((m, k)), draw((k, n)), draw((n, k)), draw((k, m)), draw((m, n)));
            for (a, b) in [(a.view(), b.view()), (a.view(), bt.t()), (at.t(), b.view()), (at.t(), bt.t())] {
                let on = |threads| {
                    let mut c = c.clone();
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
                    pool.install(|| super::f32::product(1.0, &a, &b, 1.0, &mut c, true));
                    c
                };
                let one = on(1);
                [2, 3, 16]
                    .into_iter()
                    .for_each(|threads| assert_eq!(on(threads), one, "{m} × {k} × {n}, {threads}"));
            }
        }
    }

    #[test]
    fn few_rows_are_inner_products() {
        let mut stream = collimate_stream::RngStream::new(5, 0);
        for (m, k, n) in [(1, 64, 300), (4, 33, 65), (3, 1, 2), (2, 500, 1)] {
            let mut draw = |shape| Array2::<f64>::from_shape_simple_fn(shape, || stream.normal());
            let (a, b, mut c) = (draw((m, k)), draw((n, k)), draw((m, n)));
            super::f64::product(1.0, &a, &b.t(), 0.0, &mut c, true);
            for ((i, j), &c) in c.indexed_iter() {
                let sum: f64 = (0..k).map(|p| a[[i, p]] * b[[j, p]]).sum();
                assert!((c - sum).abs() < 1e-12, "{m} × {k} × {n}");
            }
        }
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
