//! Sums of a few rows of a matrix, with the sums of a stretch of columns in registers.

use super::lanes::{Lanes, N, by_level};
use collimate_tensor::{Scalar, axpy};

macro_rules! combine {
    ($f:ident) => {
        pub(crate) mod $f {
            use super::{add_rows, by_level, check, rest};

            by_level! {
                $f: fn whole_blocks<const T: usize>(indices: &[u32], amounts: [&[$f]; T], rows: &[$f], out: [*mut $f; T], d: usize)
                    -> usize = add_rows;
            }

            /// Adds rows: out ← out + Σ_j amounts[j] · (row indices[j] of `rows`), the terms in the order of j.
            ///
            /// The sums of a stretch of columns stay in registers over all j, so the only traffic is the rows.
            pub(crate) fn combine(indices: &[u32], amounts: &[$f], rows: &[$f], out: &mut [$f]) {
                check(indices, [amounts], rows, [&mut *out]);
                // SAFETY: checked.
                let done = unsafe { whole_blocks(indices, [amounts], rows, [out.as_mut_ptr()], out.len()) };
                rest(indices, amounts, rows, out, done);
            }

            /// Computes two such sums over the same rows, each of which is loaded once.
            pub(crate) fn combine_twice(
                indices: &[u32],
                amounts: [&[$f]; 2],
                rows: &[$f],
                [first, second]: [&mut [$f]; 2],
            ) {
                check(indices, amounts, rows, [&mut *first, &mut *second]);
                let (to, d) = ([first.as_mut_ptr(), second.as_mut_ptr()], first.len());
                // SAFETY: checked.
                let done = unsafe { whole_blocks(indices, amounts, rows, to, d) };
                rest(indices, amounts[0], rows, first, done);
                rest(indices, amounts[1], rows, second, done);
            }
        }
    };
}

combine!(f32);
combine!(f64);

/// Panics unless every row exists and every length fits.
fn check<F: Scalar, const T: usize>(indices: &[u32], amounts: [&[F]; T], rows: &[F], out: [&mut [F]; T]) {
    let d = out[0].len();
    assert!(amounts.iter().all(|amounts| amounts.len() == indices.len()), "one amount a row");
    assert!(out.iter().all(|out| out.len() == d), "sums of one width");
    assert!(indices.iter().all(|&i| (i as usize + 1) * d <= rows.len()), "rows exist");
}

/// Computes the columns that no whole block holds.
fn rest<F: Scalar>(indices: &[u32], amounts: &[F], rows: &[F], out: &mut [F], done: usize) {
    let d = out.len();
    if done < d {
        for (&i, &amount) in indices.iter().zip(amounts) {
            axpy(amount, &rows[i as usize * d + done..(i as usize + 1) * d], &mut out[done..]);
        }
    }
}

/// Computes the columns that whole blocks hold, wide stretches first, and returns their number.
// Safety: every row lies in `rows`, each of `out` has d columns, and there is an amount for every index.
#[inline(always)]
unsafe fn add_rows<L: Lanes, const T: usize>(
    indices: &[u32],
    amounts: [&[L::F]; T],
    rows: &[L::F],
    out: [*mut L::F; T],
    d: usize,
) -> usize {
    let mut done = 0;
    // SAFETY: the caller's promises; a stretch ends at most at the last column.
    unsafe {
        done = stretches::<L, T, 24>(indices, amounts, rows, out, d, done);
        done = stretches::<L, T, 12>(indices, amounts, rows, out, d, done);
        done = stretches::<L, T, 6>(indices, amounts, rows, out, d, done);
        done = stretches::<L, T, 3>(indices, amounts, rows, out, d, done);
        stretches::<L, T, 1>(indices, amounts, rows, out, d, done)
    }
}

/// Computes stretches of V blocks from column `done` on, as long as one fits, if the registers hold their sums.
// Safety: as for `add_rows`.
#[inline(always)]
unsafe fn stretches<L: Lanes, const T: usize, const V: usize>(
    indices: &[u32],
    amounts: [&[L::F]; T],
    rows: &[L::F],
    out: [*mut L::F; T],
    d: usize,
    mut done: usize,
) -> usize {
    if V == 1 || T * V <= L::SUMS {
        while d - done >= V * N {
            // SAFETY: the caller's promises.
            unsafe {
                stretch::<L, T, V>(
                    indices,
                    amounts,
                    rows.as_ptr().add(done),
                    d,
                    out.map(|out| out.wrapping_add(done)),
                )
            };
            done += V * N;
        }
    }
    done
}

// Safety: `rows` holds V blocks at every stride `d` that is asked for, each of `out` as many, and there is an amount for
// every index.
#[inline(always)]
unsafe fn stretch<L: Lanes, const T: usize, const V: usize>(
    indices: &[u32],
    amounts: [&[L::F]; T],
    rows: *const L::F,
    d: usize,
    out: [*mut L::F; T],
) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = [[L::zeros(); V]; T];
        for t in 0..T {
            for v in 0..V {
                sums[t][v] = L::load(out[t].add(v * N));
            }
        }
        for (j, &i) in indices.iter().enumerate() {
            let row = rows.add(i as usize * d);
            let mut factors = [L::zeros(); T];
            for t in 0..T {
                factors[t] = L::splat(*amounts[t].get_unchecked(j));
            }
            for v in 0..V {
                let x = L::load(row.add(v * N));
                for t in 0..T {
                    sums[t][v] = sums[t][v].add_product(factors[t], x);
                }
            }
        }
        for t in 0..T {
            for v in 0..V {
                sums[t][v].store(out[t].add(v * N));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn combining_rows_is_adding_them_one_by_one(d in 0usize..500, count in 0usize..9, seed in 0u64..500) {
            let mut stream = collimate_stream::RngStream::new(seed, 1);
            let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| stream.normal()).collect() };
            let (rows, start) = (draw(5 * d), draw(d));
            let (amounts, others) = (draw(count), draw(count));
            let indices: Vec<u32> = (0..count).map(|_| stream.below(5) as u32).collect();
            let plain = |amounts: &[f64]| {
                let mut sum = start.clone();
                for (&i, &a) in indices.iter().zip(amounts) {
                    collimate_tensor::axpy(a, &rows[i as usize * d..(i as usize + 1) * d], &mut sum);
                }
                sum
            };
            let mut once = start.clone();
            super::f64::combine(&indices, &amounts, &rows, &mut once);
            prop_assert_eq!(&once, &plain(&amounts));
            let (mut first, mut second) = (start.clone(), start.clone());
            super::f64::combine_twice(&indices, [&amounts, &others], &rows, [&mut first, &mut second]);
            prop_assert_eq!((&first, &second), (&once, &plain(&others)));
            let narrow = |x: &[f64]| x.iter().map(|&v| v as f32).collect::<Vec<_>>();
            let (rows, amounts, others) = (narrow(&rows), narrow(&amounts), narrow(&others));
            let plain = |amounts: &[f32]| {
                let mut sum = vec![0.0_f32; d];
                for (&i, &a) in indices.iter().zip(amounts) {
                    collimate_tensor::axpy(a, &rows[i as usize * d..(i as usize + 1) * d], &mut sum);
                }
                sum
            };
            let mut once = vec![0.0_f32; d];
            super::f32::combine(&indices, &amounts, &rows, &mut once);
            prop_assert_eq!(&once, &plain(&amounts));
            let (mut first, mut second) = (vec![0.0_f32; d], vec![0.0_f32; d]);
            super::f32::combine_twice(&indices, [&amounts, &others], &rows, [&mut first, &mut second]);
            prop_assert_eq!((&first, &second), (&once, &plain(&others)));
        }
    }
}
