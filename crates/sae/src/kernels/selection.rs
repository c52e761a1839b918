//! Which positions of a row exceed a bound, and which are the largest.
//!
//! On AVX-512 positions are compressed in registers and stored whole, so that a row costs the same whether they are many
//! or few; nothing is guessed. Elsewhere, and in double precision, plain loops do the same.

use collimate_tensor::CpuLevel;
use collimate_tensor::Scalar;

/// Buffers of a search for the largest.
#[derive(Clone, Debug, Default)]
pub struct Ranks<F> {
    maxima: Vec<F>,
    positions: Vec<u32>,
    values: Vec<F>,
}

/// Appends the positions where a + b exceeds a bound, ascending.
fn above_plain<F: Scalar>(a: &[F], b: &[F], bound: F, out: &mut Vec<u32>) {
    let sums = a.iter().zip(b).map(|(&a, &b)| a + b);
    out.extend(sums.enumerate().filter(|&(_, sum)| sum > bound).map(|(i, _)| i as u32));
}

/// Appends the positions where a + b exceeds t − half, ascending.
fn above_each_plain<F: Scalar>(a: &[F], b: &[F], t: &[F], half: F, out: &mut Vec<u32>) {
    let sums = a.iter().zip(b).zip(t).map(|((&a, &b), &t)| a + b > t - half);
    out.extend(sums.enumerate().filter(|&(_, above)| above).map(|(i, _)| i as u32));
}

/// Finds the `k` largest positive of a + b, as (position, value) in ascending order of the position; of equal values the
/// earlier. Candidates above a running bound are collected, and when they are many the best `k` stay.
fn largest_plain<F: Scalar>(a: &[F], b: &[F], k: usize, kept: &mut Vec<(u32, F)>) {
    kept.clear();
    let full = (4 * k).max(64);
    let mut bound = F::zero();
    for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
        if a + b > bound {
            kept.push((i as u32, a + b));
            if kept.len() >= full {
                bound = best(kept, k);
            }
        }
    }
    if kept.len() > k {
        best(kept, k);
    }
    kept.sort_unstable_by_key(|entry| entry.0);
}

/// Keeps the `k` best of more; returns the smallest of them.
fn best<F: Scalar>(kept: &mut Vec<(u32, F)>, k: usize) -> F {
    let order = |a: &(u32, F), b: &(u32, F)| {
        b.1.partial_cmp(&a.1).unwrap_or(std::cmp::Ordering::Equal).then(a.0.cmp(&b.0))
    };
    let last = kept.select_nth_unstable_by(k - 1, order).1.1;
    kept.truncate(k);
    last
}

pub(crate) mod f64 {
    use super::*;

    pub(crate) fn above(a: &[f64], b: &[f64], bound: f64, out: &mut Vec<u32>) {
        above_plain(a, b, bound, out);
    }

    pub(crate) fn above_each(a: &[f64], b: &[f64], t: &[f64], half: f64, out: &mut Vec<u32>) {
        above_each_plain(a, b, t, half, out);
    }

    pub(crate) fn largest(a: &[f64], b: &[f64], k: usize, _: &mut Ranks<f64>, kept: &mut Vec<(u32, f64)>) {
        largest_plain(a, b, k, kept);
    }
}

pub(crate) mod f32 {
    use super::*;

    /// Appends the positions where a + b exceeds a bound, ascending.
    pub(crate) fn above(a: &[f32], b: &[f32], bound: f32, out: &mut Vec<u32>) {
        #[cfg(target_arch = "x86_64")]
        if CpuLevel::current() == CpuLevel::Avx512 && a.len() == b.len() {
            // SAFETY: the level was detected, and the slices are equally long.
            return unsafe { avx512::above::<false>(a, b, &[], bound, out) };
        }
        above_plain(a, b, bound, out);
    }

    /// Appends the positions where a + b exceeds t − half, ascending.
    pub(crate) fn above_each(a: &[f32], b: &[f32], t: &[f32], half: f32, out: &mut Vec<u32>) {
        #[cfg(target_arch = "x86_64")]
        if CpuLevel::current() == CpuLevel::Avx512 && a.len() == b.len() && a.len() == t.len() {
            // SAFETY: the level was detected, and the slices are equally long.
            return unsafe { avx512::above::<true>(a, b, t, half, out) };
        }
        above_each_plain(a, b, t, half, out);
    }

    /// Finds the `k` largest positive of a + b, as (position, value) in ascending order of the position; of equal values the
    /// earlier.
    ///
    /// The row is cut into groups of which there are more than k. The k-th largest of their maxima is a bound that at
    /// least k values reach, and not many more do.
    pub(crate) fn largest(
        a: &[f32],
        b: &[f32],
        k: usize,
        ranks: &mut Ranks<f32>,
        kept: &mut Vec<(u32, f32)>,
    ) {
        #[cfg(target_arch = "x86_64")]
        if CpuLevel::current() == CpuLevel::Avx512 && a.len() == b.len() && k > 0 {
            let Ranks { maxima, positions, values } = ranks;
            // Of short rows every value is a group.
            let size = if a.len() <= 16 * k { 1 } else { 2 * a.len() / (5 * k) };
            // SAFETY: the level was detected, and the slices are equally long.
            unsafe { avx512::maxima(a, b, size, maxima) };
            // The smallest number above zero, so that reaching it is exceeding zero.
            let mut bound = f32::from_bits(1);
            if maxima.len() >= k {
                // SAFETY: the level was detected; maxima are neither negative nor NaN.
                bound = bound.max(unsafe { avx512::bound(maxima, k) }.0);
            }
            // SAFETY: as for the maxima.
            unsafe { avx512::reaching(a, b, bound, positions, values) };
            kept.clear();
            let found = positions.iter().copied().zip(values.iter().copied());
            if positions.len() <= k {
                return kept.extend(found);
            }
            // SAFETY: the level was detected; what reached the bound is positive, and there are more than k.
            let (bound, count) = unsafe { avx512::bound(values, k) };
            // Of those that equal the bound, the last are too many.
            let mut equal = values.iter().filter(|&&value| value == bound).count() + k - count;
            kept.extend(found.filter(|&(_, value)| {
                let stays = value > bound || (value == bound && equal > 0);
                equal -= usize::from(stays && value == bound);
                stays
            }));
            return;
        }
        let _ = ranks;
        largest_plain(a, b, k, kept);
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    const LANES: usize = 16;

    /// The vector that begins at `start`, with `fill` where the slice has ended.
    // Safety: `start` lies within the slice.
    #[target_feature(enable = "avx512f")]
    unsafe fn load(x: &[f32], start: usize, fill: f32) -> __m512 {
        // SAFETY: the lanes that are loaded lie in the slice.
        unsafe {
            let from = x.as_ptr().add(start);
            let left = x.len() - start;
            if left >= LANES {
                _mm512_loadu_ps(from)
            } else {
                _mm512_mask_loadu_ps(_mm512_set1_ps(fill), (1 << left) - 1, from)
            }
        }
    }

    /// The positions where a + b exceeds `bound`, or t − `bound` for `EACH`.
    // Safety: the slices are equally long (`t` only for `EACH`).
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn above<const EACH: bool>(
        a: &[f32],
        b: &[f32],
        t: &[f32],
        bound: f32,
        out: &mut Vec<u32>,
    ) {
        let n = a.len();
        // Whole vectors are stored, whatever of them counts.
        out.reserve(n + LANES);
        let all = _mm512_set1_ps(bound);
        let ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let mut count = out.len();
        // SAFETY: at most n positions are found and every store ends within the reserved n + LANES; what is counted
        // has been written.
        unsafe {
            let to = out.as_mut_ptr();
            let test = |start: usize| {
                let sum = _mm512_add_ps(load(a, start, f32::NAN), load(b, start, f32::NAN));
                let bound = if EACH { _mm512_sub_ps(load(t, start, f32::NAN), all) } else { all };
                _mm512_cmp_ps_mask::<_CMP_GT_OQ>(sum, bound)
            };
            let mut put = |start: usize, mask: u16| {
                let positions = _mm512_add_epi32(ramp, _mm512_set1_epi32(start as i32));
                let positions = _mm512_maskz_compress_epi32(mask, positions);
                _mm512_storeu_si512(to.add(count).cast(), positions);
                count += mask.count_ones() as usize;
            };
            let mut start = 0;
            while start + 4 * LANES <= n {
                let mut masks = [0; 4];
                for i in 0..4 {
                    masks[i] = test(start + i * LANES);
                }
                if masks != [0; 4] {
                    for (i, mask) in masks.into_iter().enumerate() {
                        put(start + i * LANES, mask);
                    }
                }
                start += 4 * LANES;
            }
            while start < n {
                put(start, test(start));
                start += LANES;
            }
            out.set_len(count);
        }
    }

    /// A bound that at least k of some numbers reach, and how many do: exactly k, or the bound is the k-th largest.
    // Safety: none of the numbers is negative or NaN, and there are at least k.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn bound(numbers: &[f32], k: usize) -> (f32, usize) {
        // Such numbers are ordered as their bits are. At least k reach `low`, fewer reach `high`.
        let (mut low, mut high) = (0, f32::INFINITY.to_bits() + 1);
        let mut reached = numbers.len();
        while reached > k && high - low > 1 {
            let middle = low + (high - low) / 2;
            let bound = _mm512_set1_ps(f32::from_bits(middle));
            let mut count = 0;
            for start in (0..numbers.len()).step_by(LANES) {
                // SAFETY: `start` lies within the slice; what is not a number reaches nothing.
                let some = unsafe { load(numbers, start, f32::NAN) };
                count += _mm512_cmp_ps_mask::<_CMP_GE_OQ>(some, bound).count_ones() as usize;
            }
            if count >= k {
                (low, reached) = (middle, count);
            } else {
                high = middle;
            }
        }
        (f32::from_bits(low), reached)
    }

    /// The maxima of groups of about `size` of a + b, none below zero.
    // Safety: the slices are equally long.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn maxima(a: &[f32], b: &[f32], size: usize, out: &mut Vec<f32>) {
        out.clear();
        let n = a.len();
        let mut start = 0;
        while start < n {
            let stop = n.min(start + size * LANES);
            let mut most = _mm512_setzero_ps();
            // SAFETY: every start lies within the slices, which are equally long; the sixteen maxima have room.
            unsafe {
                while start < stop {
                    let sum = _mm512_add_ps(load(a, start, f32::NAN), load(b, start, f32::NAN));
                    // Of NaN and a number this takes the second.
                    most = _mm512_max_ps(sum, most);
                    start += LANES;
                }
                out.reserve(LANES);
                _mm512_storeu_ps(out.as_mut_ptr().add(out.len()), most);
                out.set_len(out.len() + LANES);
            }
        }
    }

    /// The positions and values of a + b that reach a bound.
    // Safety: the slices are equally long.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn reaching(
        a: &[f32],
        b: &[f32],
        bound: f32,
        positions: &mut Vec<u32>,
        values: &mut Vec<f32>,
    ) {
        let n = a.len();
        positions.clear();
        values.clear();
        positions.reserve(n + LANES);
        values.reserve(n + LANES);
        let bound = _mm512_set1_ps(bound);
        let ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let mut count = 0;
        // SAFETY: at most n are found and every store ends within the reserved n + LANES; what is counted has been
        // written.
        unsafe {
            let (to, to_values) = (positions.as_mut_ptr(), values.as_mut_ptr());
            let sum = |start: usize| _mm512_add_ps(load(a, start, f32::NAN), load(b, start, f32::NAN));
            let mut put = |start: usize, sum: __m512, mask: u16| {
                let at = _mm512_add_epi32(ramp, _mm512_set1_epi32(start as i32));
                _mm512_storeu_si512(to.add(count).cast(), _mm512_maskz_compress_epi32(mask, at));
                _mm512_storeu_ps(to_values.add(count), _mm512_maskz_compress_ps(mask, sum));
                count += mask.count_ones() as usize;
            };
            let mut start = 0;
            while start + 4 * LANES <= n {
                let (mut sums, mut masks) = ([bound; 4], [0; 4]);
                for i in 0..4 {
                    sums[i] = sum(start + i * LANES);
                    masks[i] = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(sums[i], bound);
                }
                if masks != [0; 4] {
                    for i in 0..4 {
                        if masks[i] != 0 {
                            put(start + i * LANES, sums[i], masks[i]);
                        }
                    }
                }
                start += 4 * LANES;
            }
            while start < n {
                let sum = sum(start);
                put(start, sum, _mm512_cmp_ps_mask::<_CMP_GE_OQ>(sum, bound));
                start += LANES;
            }
            positions.set_len(count);
            values.set_len(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_largest_are_those_of_the_plain_selection(n in 0usize..700, k in 1usize..60, seed in 0u64..1000) {
            let mut stream = collimate_stream::RngStream::new(seed, 2);
            // Few distinct values: ties are the rule here; what is not a number is never selected.
            let few = stream.bernoulli(0.5);
            let mut draw = || match stream.below(40) {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => f64::NEG_INFINITY,
                _ if few => stream.below(9) as f64 - 3.0,
                _ => stream.normal(),
            };
            let a: Vec<f64> = (0..n).map(|_| draw()).collect();
            let b: Vec<f64> = (0..n).map(|_| if stream.bernoulli(0.1) { 0.5 } else { 0.0 }).collect();
            let t: Vec<f64> = (0..n).map(|_| stream.below(4) as f64).collect();
            let [a32, b32, t32] = [&a, &b, &t].map(|x| x.iter().map(|&v| v as f32).collect::<Vec<_>>());
            let (mut plain, mut ours, mut wide) = (Vec::new(), vec![(7, 7.0)], Vec::new());
            let sums: Vec<f32> = a32.iter().zip(&b32).map(|(a, b)| a + b).collect();
            let numbers: Vec<f32> = sums.iter().map(|&v| if v.is_nan() { -1.0 } else { v }).collect();
            collimate_tensor::top_k(&numbers, k, &mut plain);
            plain.retain(|entry| entry.1 > 0.0);
            super::f32::largest(&a32, &b32, k, &mut Ranks::default(), &mut ours);
            prop_assert_eq!(&ours, &plain);
            super::f64::largest(&a, &b, k, &mut Ranks::default(), &mut wide);
            prop_assert_eq!(wide.len(), plain.len());
            let mut found = vec![9];
            super::f32::above(&a32, &b32, 1.0, &mut found);
            let expected = (0..n).filter(|&i| sums[i] > 1.0).map(|i| i as u32);
            prop_assert_eq!(found, std::iter::once(9).chain(expected).collect::<Vec<_>>());
            let mut found = Vec::new();
            super::f32::above_each(&a32, &b32, &t32, 0.25, &mut found);
            let expected: Vec<u32> = (0..n).filter(|&i| sums[i] > t32[i] - 0.25).map(|i| i as u32).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
