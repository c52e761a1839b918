//! Inner products of some rows of a matrix with one or two vectors.
//!
//! Each is bit for bit `collimate_tensor::dot`: sixteen partial sums, then halves onto halves.

use collimate_tensor::CpuLevel;
use collimate_tensor::dot;

pub(crate) mod f64 {
    use super::*;

    pub(crate) fn dots<const T: usize>(
        indices: &[u32],
        rows: &[f64],
        vectors: [&[f64]; T],
        out: [&mut Vec<f64>; T],
    ) {
        let d = vectors[0].len();
        for (vector, out) in vectors.into_iter().zip(out) {
            out.clear();
            out.extend(indices.iter().map(|&i| dot(&rows[i as usize * d..(i as usize + 1) * d], vector)));
        }
    }
}

pub(crate) mod f32 {
    use super::*;

    pub(crate) fn dots<const T: usize>(
        indices: &[u32],
        rows: &[f32],
        vectors: [&[f32]; T],
        out: [&mut Vec<f32>; T],
    ) {
        let d = vectors[0].len();
        assert!(vectors.iter().all(|vector| vector.len() == d), "vectors of one length");
        assert!(indices.iter().all(|&i| (i as usize + 1) * d <= rows.len()), "rows exist");
        let mut out = out;
        out.iter_mut().for_each(|out| out.clear());
        #[cfg(target_arch = "x86_64")]
        if CpuLevel::current() == CpuLevel::Avx512 {
            let mut chunks = indices.chunks_exact(4);
            // SAFETY: the level was detected; every row that is asked for lies in `rows`, and the vectors are as long.
            unsafe {
                for four in &mut chunks {
                    avx512::products::<4, T>(four, rows.as_ptr(), vectors, &mut out);
                }
                for one in chunks.remainder().chunks(1) {
                    avx512::products::<1, T>(one, rows.as_ptr(), vectors, &mut out);
                }
            }
            return;
        }
        for (vector, out) in vectors.into_iter().zip(out) {
            out.extend(indices.iter().map(|&i| dot(&rows[i as usize * d..(i as usize + 1) * d], vector)));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    const LANES: usize = 16;

    /// Appends the products of N rows with each of T vectors.
    // Safety: the vectors are equally long, and `rows` holds the rows of that length that `indices` names, N of them.
    #[target_feature(enable = "avx512f,avx512dq")]
    pub(super) unsafe fn products<const N: usize, const T: usize>(
        indices: &[u32],
        rows: *const f32,
        vectors: [&[f32]; T],
        out: &mut [&mut Vec<f32>; T],
    ) {
        let d = vectors[0].len();
        let mut sums = [[_mm512_setzero_ps(); N]; T];
        // SAFETY: the caller's promises.
        unsafe {
            let mut atoms = [rows; N];
            for j in 0..N {
                atoms[j] = rows.add(indices[j] as usize * d);
            }
            let mut others = [rows; T];
            for t in 0..T {
                others[t] = vectors[t].as_ptr();
            }
            let mut start = 0;
            while start + LANES <= d {
                let mut x = [_mm512_setzero_ps(); T];
                for t in 0..T {
                    x[t] = _mm512_loadu_ps(others[t].add(start));
                }
                for j in 0..N {
                    let atom = _mm512_loadu_ps(atoms[j].add(start));
                    for t in 0..T {
                        sums[t][j] = _mm512_add_ps(sums[t][j], _mm512_mul_ps(atom, x[t]));
                    }
                }
                start += LANES;
            }
            if start < d {
                // Lanes beyond the end keep their sums: adding a zero could turn −0 into 0.
                let mask = (1_u16 << (d - start)) - 1;
                for j in 0..N {
                    let atom = _mm512_maskz_loadu_ps(mask, atoms[j].add(start));
                    for t in 0..T {
                        let x = _mm512_maskz_loadu_ps(mask, others[t].add(start));
                        let product = _mm512_mul_ps(atom, x);
                        sums[t][j] = _mm512_mask_add_ps(sums[t][j], mask, sums[t][j], product);
                    }
                }
            }
            for t in 0..T {
                for j in 0..N {
                    out[t].push(folded(sums[t][j]));
                }
            }
        }
    }

    /// Returns the sum of the lanes, halves onto halves.
    #[target_feature(enable = "avx512f,avx512dq")]
    fn folded(sums: __m512) -> f32 {
        let eight = _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps::<1>(sums));
        let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn products_are_those_of_single_rows(d in 0usize..70, count in 0usize..11, seed in 0u64..500) {
            let mut stream = collimate_stream::RngStream::new(seed, 3);
            let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| stream.normal()).collect() };
            let (rows, y, z) = (draw(5 * d), draw(d), draw(d));
            let indices: Vec<u32> = (0..count).map(|_| stream.below(5) as u32).collect();
            let narrow = |x: &[f64]| x.iter().map(|&v| v as f32).collect::<Vec<_>>();
            let (rows32, y32, z32) = (narrow(&rows), narrow(&y), narrow(&z));
            let plain = |v: &[f64]| -> Vec<f64> {
                let row = |i: u32| &rows[i as usize * d..(i as usize + 1) * d];
                indices.iter().map(|&i| collimate_tensor::dot(row(i), v)).collect()
            };
            let plain32 = |v: &[f32]| -> Vec<f32> {
                let row = |i: u32| &rows32[i as usize * d..(i as usize + 1) * d];
                indices.iter().map(|&i| collimate_tensor::dot(row(i), v)).collect()
            };
            let (mut first, mut second) = (vec![7.0], Vec::new());
            super::f64::dots(&indices, &rows, [&y, &z], [&mut first, &mut second]);
            prop_assert_eq!((first, second), (plain(&y), plain(&z)));
            let (mut once, mut first, mut second) = (vec![7.0], Vec::new(), Vec::new());
            super::f32::dots(&indices, &rows32, [&y32], [&mut once]);
            super::f32::dots(&indices, &rows32, [&y32, &z32], [&mut first, &mut second]);
            prop_assert_eq!((&once, &first, &second), (&plain32(&y32), &plain32(&y32), &plain32(&z32)));
        }
    }
}
