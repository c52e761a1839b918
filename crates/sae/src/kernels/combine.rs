//! Sums of a few rows of a matrix, with the sums of a stretch of columns in registers.

use collimate_tensor::CpuLevel;

macro_rules! combine {
    ($f:ident, $lanes:literal, $load:ident, $store:ident, $set1:ident, $mul:ident, $add:ident) => {
        pub(crate) mod $f {
            use super::CpuLevel;

            /// Adds rows: out ← out + Σ_j amounts[j] · (row indices[j] of `rows`), the terms in the order of j.
            ///
            /// The sums of a stretch of columns stay in registers over all j, so the only traffic is the rows.
            pub(crate) fn combine(indices: &[u32], amounts: &[$f], rows: &[$f], out: &mut [$f]) {
                check(indices, [amounts], rows, [&mut *out]);
                let done = vectors(indices, [amounts], rows, [&mut *out], &[24, 12, 8, 4, 1]);
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
                let done = vectors(indices, amounts, rows, [&mut *first, &mut *second], &[12, 4, 1]);
                rest(indices, amounts[0], rows, first, done);
                rest(indices, amounts[1], rows, second, done);
            }

            /// Panics unless every row exists and every length fits.
            fn check<const T: usize>(indices: &[u32], amounts: [&[$f]; T], rows: &[$f], out: [&mut [$f]; T]) {
                let d = out[0].len();
                assert!(amounts.iter().all(|amounts| amounts.len() == indices.len()), "one amount a row");
                assert!(out.iter().all(|out| out.len() == d), "sums of one width");
                assert!(indices.iter().all(|&i| (i as usize + 1) * d <= rows.len()), "rows exist");
            }

            /// Computes the columns that whole vectors hold, wide stretches first, and returns their number.
            #[allow(unused_variables)]
            fn vectors<const T: usize>(
                indices: &[u32],
                amounts: [&[$f]; T],
                rows: &[$f],
                out: [&mut [$f]; T],
                widths: &[usize],
            ) -> usize {
                #[allow(unused_mut)]
                let mut done = 0;
                #[cfg(target_arch = "x86_64")]
                if CpuLevel::current() == CpuLevel::Avx512 {
                    let d = out[0].len();
                    let to = out.map(|out| out.as_mut_ptr());
                    for &width in widths {
                        while d - done >= width * $lanes {
                            // SAFETY: the level was detected; `check` has seen that every row lies in `rows` and that
                            // the sums have d columns, of which the stretch ends at most at the last.
                            unsafe {
                                let (rows, to) = (rows.as_ptr().add(done), to.map(|to| to.add(done)));
                                match width {
                                    24 => stretch::<24, T>(indices, amounts, rows, d, to),
                                    12 => stretch::<12, T>(indices, amounts, rows, d, to),
                                    8 => stretch::<8, T>(indices, amounts, rows, d, to),
                                    4 => stretch::<4, T>(indices, amounts, rows, d, to),
                                    _ => stretch::<1, T>(indices, amounts, rows, d, to),
                                }
                            }
                            done += width * $lanes;
                        }
                    }
                }
                done
            }

            /// Computes the columns that no vector holds.
            fn rest(indices: &[u32], amounts: &[$f], rows: &[$f], out: &mut [$f], done: usize) {
                let d = out.len();
                if done < d {
                    for (&i, &amount) in indices.iter().zip(amounts) {
                        let row = &rows[i as usize * d + done..(i as usize + 1) * d];
                        collimate_tensor::axpy(amount, row, &mut out[done..]);
                    }
                }
            }

            // Safety: `rows` holds `$lanes · V` numbers at every stride `d` that is asked for, each of `out` as many,
            // and there is an amount for every index.
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f")]
            unsafe fn stretch<const V: usize, const T: usize>(
                indices: &[u32],
                amounts: [&[$f]; T],
                rows: *const $f,
                d: usize,
                out: [*mut $f; T],
            ) {
                use std::arch::x86_64::*;
                // SAFETY: the caller's promises.
                unsafe {
                    let mut sums = [[$set1(0.0); V]; T];
                    for t in 0..T {
                        for v in 0..V {
                            sums[t][v] = $load(out[t].add(v * $lanes));
                        }
                    }
                    for (j, &i) in indices.iter().enumerate() {
                        let row = rows.add(i as usize * d);
                        let mut factors = [$set1(0.0); T];
                        for t in 0..T {
                            factors[t] = $set1(*amounts[t].get_unchecked(j));
                        }
                        for v in 0..V {
                            let x = $load(row.add(v * $lanes));
                            for t in 0..T {
                                sums[t][v] = $add(sums[t][v], $mul(factors[t], x));
                            }
                        }
                    }
                    for t in 0..T {
                        for v in 0..V {
                            $store(out[t].add(v * $lanes), sums[t][v]);
                        }
                    }
                }
            }
        }
    };
}

combine!(f32, 16, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_mul_ps, _mm512_add_ps);
combine!(f64, 8, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_set1_pd, _mm512_mul_pd, _mm512_add_pd);

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
