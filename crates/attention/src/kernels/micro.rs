//! Products of a broadcast left operand with a panel.

use super::lanes::{lanes, vectors};
use collimate_tensor::CpuLevel;
use collimate_tensor::kernel_parts::assert_shape;
#[cfg(target_arch = "x86_64")]
use collimate_tensor::kernel_parts::register_tile;
pub(crate) use collimate_tensor::kernel_parts::register_tile::Join;
use ndarray::ArrayRef2;

macro_rules! product {
    ($f:ident, $avx512:ident, $avx2:ident, $portable:ident) => {
        pub(crate) mod $f {
            use super::*;

            /// Computes `a·b` and combines it with `c`, for `b` and `c` with rows of `width` numbers.
            pub(crate) fn product(a: &ArrayRef2<$f>, b: &[$f], width: usize, join: Join<'_, $f>, c: &mut [$f]) {
                product_part(a, (b, width), width, join, (c, width));
            }

            /// Computes `product` for `width` columns of wider rows. The second numbers are the distances between rows.
            pub(crate) fn product_part(
                a: &ArrayRef2<$f>,
                b: (&[$f], usize),
                width: usize,
                join: Join<'_, $f>,
                c: (&mut [$f], usize),
            ) {
                product_at(CpuLevel::current(), a, b, width, join, c);
            }

            /// Computes the product at a level: `a` `[m, k]` has any strides, `b` `[k, width]` and `c` `[m, width]` have rows at the
            /// distance given beside them, and the width is a number of whole vectors.
            ///
            /// # Panics
            /// If a slice is too short, which would be a fault of this crate.
            pub(crate) fn product_at(
                level: CpuLevel,
                a: &ArrayRef2<$f>,
                (b, b_row): (&[$f], usize),
                width: usize,
                join: Join<'_, $f>,
                (c, c_row): (&mut [$f], usize),
            ) {
                let ((m, k), lanes) = (a.dim(), lanes(level, size_of::<$f>()));
                let fits = |length: usize, rows: usize, row: usize| {
                    rows == 0 || row >= width && length >= (rows - 1) * row + width
                };
                for (argument, axes, rows, row, slice) in
                    [("b", "[k, width]", k, b_row, b.len()), ("c", "[m, width]", m, c_row, c.len())]
                {
                    assert!(
                        fits(slice, rows, row),
                        "{argument} {axes} must have the shape [{rows}, {width}] in rows of {row}, but has {slice} numbers"
                    );
                }
                assert_eq!(width % lanes, 0, "a row of a tile is whole vectors");
                if let Join::Scale(factors) = join {
                    assert_shape("factors", "[width]", &[width], &[factors.len().min(width)]);
                }
                let (row, step) = (a.strides()[0], a.strides()[1]);
                let all = width / lanes;
                // Five vectors go as three and two: a last one alone would leave most registers idle.
                let panels = all.div_ceil(vectors(level));
                for panel in 0..panels {
                    let first = all * panel / panels;
                    let count = all * (panel + 1) / panels - first;
                    let join = join.columns_from(first * lanes);
                    let mut at = 0;
                    while at < m {
                        // SAFETY: the level was detected; the rows `at..` of `a`, the columns of this panel in `b`, `c` and the
                        // factors are there by the asserts, and `c` is borrowed mutably.
                        at += unsafe {
                            let a = a.as_ptr().offset(at as isize * row);
                            let c = c.as_mut_ptr().add(at * c_row + first * lanes);
                            let b = b.as_ptr().add(first * lanes);
                            let left = m - at;
                            match level {
                                #[cfg(target_arch = "x86_64")]
                                CpuLevel::Avx512 => {
                                    rows!((register_tile::$avx512), count, left, (k, a, row, step, b, b_row, join, c, c_row as isize);
                                        4: 6 4 2 1; 3: 8 4 2 1; 2: 12 8 4 2 1; 1: 12 6 3 2 1)
                                }
                                #[cfg(target_arch = "x86_64")]
                                CpuLevel::Avx2 => {
                                    rows!((register_tile::$avx2), count, left, (k, a, row, step, b, b_row, join, c, c_row as isize);
                                        2: 6 4 2 1; 1: 8 4 2 1)
                                }
                                _ => {
                                    rows!(($portable), count, left, (k, a, row, step, b, b_row, join, c, c_row as isize);
                                        1: 4 2 1)
                                }
                            }
                        };
                    }
                }
            }
        }
    };
}

/// Calls the kernel for the given number of vectors and the largest number of rows that is left, and returns that number of rows.
macro_rules! rows {
    ($kernel:tt, $vectors:expr, $left:expr, $args:tt; $($v:literal: $($m:literal)+);+) => {
        match $vectors {
            $($v => rows!(@one $kernel, $v, $left, $args; $($m)+),)+
            other => unreachable!("a panel of {other} vectors"),
        }
    };
    (@one $kernel:tt, $v:literal, $left:expr, $args:tt; $($m:literal)+) => {
        $(if $left >= $m { rows!(@call $kernel, $m, $v, $args); $m } else)+ { unreachable!("no row is left") }
    };
    (@call ($($kernel:ident)::+), $m:literal, $v:literal, $args:tt) => {
        $($kernel)::+::<$m, $v, false> $args
    };
}

product!(f32, avx512_f32, avx2_f32, portable_f32);
product!(f64, avx512_f64, avx2_f64, portable_f64);

macro_rules! portable {
    ($name:ident, $f:ident, $lanes:literal) => {
        // Safety: the promises of the register tiles.
        unsafe fn $name<const M: usize, const V: usize, const UNIT: bool>(
            k: usize,
            a: *const $f,
            row: isize,
            step: isize,
            b: *const $f,
            b_row: usize,
            join: Join<'_, $f>,
            c: *mut $f,
            c_row: isize,
        ) {
            const { assert!(V == 1 && !UNIT) };
            let mut sums = [[0.0; $lanes]; M];
            // SAFETY: the caller's promises.
            unsafe {
                for p in 0..k {
                    let right = *b.add(p * b_row).cast::<[$f; $lanes]>();
                    for i in 0..M {
                        let x = *a.offset(i as isize * row + p as isize * step);
                        for j in 0..$lanes {
                            sums[i][j] += x * right[j];
                        }
                    }
                }
                for i in 0..M {
                    for j in 0..$lanes {
                        let to = c.offset(i as isize * c_row).add(j);
                        *to = match join {
                            Join::Replace => sums[i][j],
                            Join::Add => *to + sums[i][j],
                            Join::Scale(factors) => *to * *factors.as_ptr().add(j) + sums[i][j],
                        };
                    }
                }
            }
        }
    };
}

portable!(portable_f32, f32, 8);
portable!(portable_f64, f64, 4);

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, s};
    use proptest::prelude::*;

    /// Returns every level that this processor has.
    fn levels() -> impl Iterator<Item = CpuLevel> {
        [CpuLevel::Portable, CpuLevel::Avx2, CpuLevel::Avx512]
            .into_iter()
            .filter(|&level| level <= CpuLevel::detected())
    }

    macro_rules! against_the_plain_loop {
        ($f:ident, $m:expr, $k:expr, $columns:expr, $tolerance:expr) => {
            for level in levels() {
                let width = ($columns as usize).next_multiple_of(lanes(level, size_of::<$f>()));
                let number = |i: usize, j: usize| ((i * 31 + j * 17) % 23) as $f * 0.1 - 1.0;
                // A matrix with columns that lie far apart, and rows backwards.
                let big = Array2::from_shape_fn((2 * $m, 3 * $k + 1), |(i, j)| number(i, j));
                let a = big.slice(s![..;-2, ..3 * $k;3]);
                // The panel and the result are parts of wider rows.
                let (b_row, c_row) = (width + 3, width + 5);
                let b: Vec<$f> = (0..$k * b_row).map(|i| number(i, 5)).collect();
                let factors: Vec<$f> = (0..width).map(|i| number(7, i)).collect();
                for join in [Join::Replace, Join::Add, Join::Scale(&factors)] {
                    let before: Vec<$f> = (0..$m * c_row).map(|i| number(3, i)).collect();
                    let mut c = before.clone();
                    $f::product_at(level, &a, (&b, b_row), width, join, (&mut c, c_row));
                    for (at, (&c, &before)) in c.iter().zip(&before).enumerate() {
                        let (i, j) = (at / c_row, at % c_row);
                        if j >= width {
                            prop_assert_eq!(c, before, "past the columns");
                            continue;
                        }
                        let sum: $f = (0..$k).map(|p| a[[i, p]] * b[p * b_row + j]).sum();
                        let expected = match join {
                            Join::Replace => sum,
                            Join::Add => before + sum,
                            Join::Scale(factors) => before * factors[j] + sum,
                        };
                        prop_assert!((c - expected).abs() < $tolerance, "{level:?} ({i}, {j}): {c} for {expected}");
                    }
                }
            }
        };
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn products_are_those_of_the_plain_loop(m in 0..40usize, k in 0..40usize, columns in 1..100usize) {
            against_the_plain_loop!(f32, m, k, columns, 2e-4);
            against_the_plain_loop!(f64, m, k, columns, 1e-12);
        }
    }

    fn product(k: usize, b: usize, c: usize, factors: usize) {
        let a = Array2::<f32>::ones((2, k));
        let (b, mut c, factors) = (vec![1.0; b], vec![0.0; c], vec![1.0; factors]);
        f32::product(&a, &b, 64, Join::Scale(&factors), &mut c);
    }

    #[test]
    fn operands_with_room_are_taken() {
        product(3, 3 * 64, 2 * 64, 64);
    }

    #[test]
    #[should_panic(expected = "b [k, width] must have the shape [3, 64] in rows of 64, but has 191 numbers")]
    fn a_short_right_operand_is_caught() {
        product(3, 3 * 64 - 1, 2 * 64, 64);
    }

    #[test]
    #[should_panic(expected = "c [m, width] must have the shape [2, 64] in rows of 64, but has 100 numbers")]
    fn a_short_output_is_caught() {
        product(3, 3 * 64, 100, 64);
    }

    #[test]
    #[should_panic(expected = "factors [width] must have the shape [64], but has [63]")]
    fn short_factors_are_caught() {
        product(3, 3 * 64, 2 * 64, 63);
    }
}
