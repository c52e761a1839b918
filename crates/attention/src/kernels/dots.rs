//! Inner products of many rows with a few rows. The kernels run along the rows and read each row once.

use super::lanes::lanes;
use collimate_tensor::CpuLevel;
use collimate_tensor::kernel_parts::lanes::fold;
use ndarray::ArrayRef2;

macro_rules! dots {
    ($f:ident, $avx512:ident, $avx2:ident, $portable:ident) => {
        pub(crate) mod $f {
            use super::*;

            /// Computes `c[i][j] = ⟨a[i], b[j]⟩` for a few rows of `b`. Rows of `a` are contiguous, rows of `c` are `width` apart.
            pub(crate) fn dots(a: &ArrayRef2<$f>, b: &[$f], columns: usize, width: usize, c: &mut [$f]) {
                dots_at(CpuLevel::current(), a, b, columns, width, c);
            }

            /// Computes the inner products at a level: `a` is `[m, d]`, and the `columns` rows of `b` are d apart. The numbers of `c`
            /// past the columns keep their values.
            ///
            /// # Panics
            /// If a slice is too short or a row is not contiguous, which would be a fault of this crate.
            pub(crate) fn dots_at(
                level: CpuLevel,
                a: &ArrayRef2<$f>,
                b: &[$f],
                columns: usize,
                width: usize,
                c: &mut [$f],
            ) {
                let (m, d) = a.dim();
                assert!(a.strides()[1] == 1 || d == 1 || a.is_empty(), "contiguous rows");
                for (argument, axes, rows, row, slice) in
                    [("b", "[columns, d]", columns, d, b.len()), ("c", "[m, width]", m, width, c.len())]
                {
                    assert!(
                        slice >= rows * row,
                        "{argument} {axes} must have the shape [{rows}, {row}], but has {slice} numbers"
                    );
                }
                assert!(columns <= width, "columns must be at most the width {width}, but is {columns}");
                let (row, whole) = (a.strides()[0], d / lanes(level, size_of::<$f>()));
                let mut first = 0;
                while first < columns {
                    let (mut at, left) = (0, columns - first);
                    let mut taken = 0;
                    while at < m {
                        // SAFETY: the level was detected; the rows `at..` of `a`, the rows `first..` of `b` and their places in `c`
                        // are there by the asserts, and `c` is borrowed mutably.
                        let done = unsafe {
                            let (a, b) = (a.as_ptr().offset(at as isize * row), b.as_ptr().add(first * d));
                            let c = c.as_mut_ptr().add(at * width + first);
                            match level {
                                #[cfg(target_arch = "x86_64")]
                                CpuLevel::Avx512 => {
                                    block!($avx512, left, m - at, (whole, d, a, row, b, width, c);
                                        8: 2 1; 4: 4 1; 2: 8 1; 1: 8 1)
                                }
                                #[cfg(target_arch = "x86_64")]
                                CpuLevel::Avx2 => {
                                    block!($avx2, left, m - at, (whole, d, a, row, b, width, c);
                                        4: 2 1; 2: 4 1; 1: 8 1)
                                }
                                _ => block!($portable, left, m - at, (whole, d, a, row, b, width, c); 1: 4 1),
                            }
                        };
                        at += done.0;
                        taken = done.1;
                    }
                    first += taken.max(1);
                }
            }
        }
    };
}

/// Calls the kernel for the largest numbers of columns and rows that are left, and returns those two numbers.
macro_rules! block {
    ($kernel:ident, $columns:expr, $rows:expr, $args:tt; $($n:literal: $($m:literal)+);+) => {
        $(if $columns >= $n { block!(@rows $kernel, $n, $rows, $args; $($m)+) } else)+ { unreachable!("no column is left") }
    };
    (@rows $kernel:ident, $n:literal, $rows:expr, $args:tt; $($m:literal)+) => {
        $(if $rows >= $m { $kernel::<$m, $n> $args; ($m, $n) } else)+ { unreachable!("no row is left") }
    };
}

dots!(f32, avx512_f32, avx2_f32, portable_f32);
dots!(f64, avx512_f64, avx2_f64, portable_f64);

/// The distance of the prefetches ahead of the loads, in bytes.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 4096;

/// Defines the kernel for `M` rows against `N` rows, with all sums in registers.
macro_rules! kernel {
    ($name:ident, $f:ident, $features:literal, $lanes:literal, $zero:ident, $load:ident, $fma:ident, $store:ident) => {
        // Safety: `a` holds M rows `row` apart and `b` N rows one after another, of d numbers each, of which `whole` vectors are whole;
        // `c` has room for N numbers in M rows `width` apart, and is ours alone.
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = $features)]
        unsafe fn $name<const M: usize, const N: usize>(
            whole: usize,
            d: usize,
            a: *const $f,
            row: isize,
            b: *const $f,
            width: usize,
            c: *mut $f,
        ) {
            use std::arch::x86_64::*;
            let mut sums = [[$zero(); N]; M];
            // SAFETY: the caller's promises; a prefetch may name any address.
            unsafe {
                for p in (0..whole * $lanes).step_by($lanes) {
                    let mut right = [$zero(); N];
                    for j in 0..N {
                        right[j] = $load(b.add(j * d + p));
                    }
                    for i in 0..M {
                        let from = a.offset(i as isize * row).add(p);
                        _mm_prefetch::<_MM_HINT_T0>(from.cast::<i8>().wrapping_add(AHEAD));
                        let left = $load(from);
                        for j in 0..N {
                            sums[i][j] = $fma(left, right[j], sums[i][j]);
                        }
                    }
                }
                for i in 0..M {
                    for j in 0..N {
                        let mut lanes = [0.0; $lanes];
                        $store(lanes.as_mut_ptr(), sums[i][j]);
                        let mut sum = fold(lanes);
                        for p in whole * $lanes..d {
                            sum += *a.offset(i as isize * row).add(p) * *b.add(j * d + p);
                        }
                        *c.add(i * width + j) = sum;
                    }
                }
            }
        }
    };
}

kernel!(
    avx512_f32,
    f32,
    "avx512f",
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_fmadd_ps,
    _mm512_storeu_ps
);
kernel!(avx512_f64, f64, "avx512f", 8, _mm512_setzero_pd, _mm512_loadu_pd, _mm512_fmadd_pd, _mm512_storeu_pd);
kernel!(avx2_f32, f32, "avx2,fma", 8, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_fmadd_ps, _mm256_storeu_ps);
kernel!(avx2_f64, f64, "avx2,fma", 4, _mm256_setzero_pd, _mm256_loadu_pd, _mm256_fmadd_pd, _mm256_storeu_pd);

macro_rules! portable {
    ($name:ident, $f:ident, $lanes:literal) => {
        // Safety: as of the kernels above.
        unsafe fn $name<const M: usize, const N: usize>(
            whole: usize,
            d: usize,
            a: *const $f,
            row: isize,
            b: *const $f,
            width: usize,
            c: *mut $f,
        ) {
            for i in 0..M {
                for j in 0..N {
                    // SAFETY: the caller's promises.
                    unsafe {
                        let a = std::slice::from_raw_parts(a.offset(i as isize * row), d);
                        let b = std::slice::from_raw_parts(b.add(j * d), d);
                        let mut lanes = [0.0; $lanes];
                        for (a, b) in a.chunks_exact($lanes).zip(b.chunks_exact($lanes)) {
                            for l in 0..$lanes {
                                lanes[l] += a[l] * b[l];
                            }
                        }
                        let tail = a[whole * $lanes..].iter().zip(&b[whole * $lanes..]);
                        let sum: $f = lanes.iter().sum();
                        *c.add(i * width + j) = tail.fold(sum, |sum, (a, b)| sum + a * b);
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

    macro_rules! against_the_plain_loop {
        ($f:ident, $m:expr, $d:expr, $columns:expr, $tolerance:expr) => {
            for level in [CpuLevel::Portable, CpuLevel::Avx2, CpuLevel::Avx512] {
                if level > CpuLevel::detected() {
                    continue;
                }
                let number = |i: usize, j: usize| ((i * 31 + j * 17) % 23) as $f * 0.1 - 1.0;
                // Rows backwards, and further apart than they are long.
                let big = Array2::from_shape_fn((2 * $m, $d + 3), |(i, j)| number(i, j));
                let a = big.slice(s![..;-2, 1..$d + 1]);
                let b: Vec<$f> = (0..$columns * $d).map(|i| number(i, 5)).collect();
                let (width, untouched) = ($columns + 2, 7.0);
                let mut c = vec![untouched; $m * width];
                $f::dots_at(level, &a, &b, $columns, width, &mut c);
                for (at, &c) in c.iter().enumerate() {
                    let (i, j) = (at / width, at % width);
                    let expected = if j < $columns {
                        (0..$d).map(|p| a[[i, p]] * b[j * $d + p]).sum()
                    } else {
                        untouched
                    };
                    prop_assert!((c - expected).abs() < $tolerance, "{level:?} ({i}, {j}): {c} for {expected}");
                }
            }
        };
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn inner_products_are_those_of_the_plain_loop(m in 0..20usize, d in 0..70usize, columns in 0..16usize) {
            against_the_plain_loop!(f32, m, d, columns, 2e-4);
            against_the_plain_loop!(f64, m, d, columns, 1e-12);
        }
    }

    fn dots(b: usize, columns: usize, c: usize) {
        let a = Array2::<f64>::ones((4, 5));
        f64::dots(&a, &vec![1.0; b], columns, 3, &mut vec![0.0; c]);
    }

    #[test]
    fn operands_with_room_are_taken() {
        dots(10, 2, 12);
    }

    #[test]
    #[should_panic(expected = "b [columns, d] must have the shape [2, 5], but has 9 numbers")]
    fn short_columns_are_caught() {
        dots(9, 2, 12);
    }

    #[test]
    #[should_panic(expected = "c [m, width] must have the shape [4, 3], but has 11 numbers")]
    fn a_short_output_is_caught() {
        dots(10, 2, 11);
    }

    #[test]
    #[should_panic(expected = "columns must be at most the width 3, but is 4")]
    fn more_columns_than_the_width_are_caught() {
        dots(20, 4, 12);
    }
}
