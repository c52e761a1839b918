//! Which positions of a row exceed a bound, and which are the largest.
//!
//! In single precision, positions are compressed in registers and stored whole, so that a row costs the same whether they are
//! many or few. In double precision, plain loops do the same.

use super::lanes::{Compare, N, by_level};
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

    by_level! {
        f32: fn positions<const EACH: bool>(a: &[f32], b: &[f32], t: &[f32], bound: f32, out: &mut Vec<u32>) = find_above;
        f32: fn group_maxima(a: &[f32], b: &[f32], size: usize, out: &mut Vec<f32>) = find_maxima;
        f32: fn reached_by(numbers: &[f32], k: usize) -> (f32, usize) = find_bound;
        f32: fn reaching(a: &[f32], b: &[f32], bound: f32, positions: &mut Vec<u32>, values: &mut Vec<f32>) = find_reaching;
    }

    /// Appends the positions where a + b exceeds a bound, ascending.
    pub(crate) fn above(a: &[f32], b: &[f32], bound: f32, out: &mut Vec<u32>) {
        assert_eq!(a.len(), b.len(), "slices of one length");
        // SAFETY: the slices are equally long.
        unsafe { positions::<false>(a, b, &[], bound, out) };
    }

    /// Appends the positions where a + b exceeds t − half, ascending.
    pub(crate) fn above_each(a: &[f32], b: &[f32], t: &[f32], half: f32, out: &mut Vec<u32>) {
        assert!(a.len() == b.len() && a.len() == t.len(), "slices of one length");
        // SAFETY: the slices are equally long.
        unsafe { positions::<true>(a, b, t, half, out) };
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
        assert_eq!(a.len(), b.len(), "slices of one length");
        kept.clear();
        if k == 0 {
            return;
        }
        let Ranks { maxima, positions, values } = ranks;
        // In a short row every value is a group.
        let size = if a.len() <= N * k { 1 } else { 2 * a.len() / (5 * k) };
        // SAFETY: the slices are equally long.
        unsafe { group_maxima(a, b, size, maxima) };
        // The smallest number above zero, so that reaching it is exceeding zero.
        let mut bound = f32::from_bits(1);
        if maxima.len() >= k {
            // SAFETY: maxima are neither negative nor NaN, and there are at least k.
            bound = bound.max(unsafe { reached_by(maxima, k) }.0);
        }
        // SAFETY: as for the maxima.
        unsafe { reaching(a, b, bound, positions, values) };
        let found = positions.iter().copied().zip(values.iter().copied());
        if positions.len() <= k {
            return kept.extend(found);
        }
        // SAFETY: the values that reached the bound are positive, and there are more than k.
        let (bound, count) = unsafe { reached_by(values, k) };
        // The last of the values that equal the bound are too many.
        let mut equal = values.iter().filter(|&&value| value == bound).count() + k - count;
        kept.extend(found.filter(|&(_, value)| {
            let stays = value > bound || (value == bound && equal > 0);
            equal -= usize::from(stays && value == bound);
            stays
        }));
    }
}

/// Returns a + b for the block that begins at `start`; after the end of the slices the numbers are NaN.
// Safety: the slices are equally long, and `start` lies in them.
#[inline(always)]
unsafe fn sum_at<L: Compare>(a: &[f32], b: &[f32], start: usize) -> L {
    // SAFETY: the caller's promises.
    unsafe { L::load_at(a, start, f32::NAN).add(L::load_at(b, start, f32::NAN)) }
}

/// Appends the positions where a + b exceeds `bound`, or t − `bound` for `EACH`.
// Safety: the slices are equally long (`t` only for `EACH`).
#[inline(always)]
unsafe fn find_above<L: Compare, const EACH: bool>(
    a: &[f32],
    b: &[f32],
    t: &[f32],
    bound: f32,
    out: &mut Vec<u32>,
) {
    let n = a.len();
    // Whole blocks are stored, and only the found positions are counted.
    out.reserve(n + N);
    let mut count = out.len();
    // SAFETY: at most n positions are found and every store ends within the reserved n + N; the counted positions have been
    // written.
    unsafe {
        let to = out.as_mut_ptr();
        let mut start = 0;
        // Four blocks are tested at once, since most of them hold nothing.
        while start + 4 * N <= n {
            count += above_blocks::<L, EACH, 4>(a, b, t, bound, start, to.add(count));
            start += 4 * N;
        }
        while start < n {
            count += above_blocks::<L, EACH, 1>(a, b, t, bound, start, to.add(count));
            start += N;
        }
        out.set_len(count);
    }
}

/// Writes the positions that [`find_above`] finds in B blocks, and returns their number.
// Safety: as for `find_above`; `to` has room for all positions and a block.
#[inline(always)]
unsafe fn above_blocks<L: Compare, const EACH: bool, const B: usize>(
    a: &[f32],
    b: &[f32],
    t: &[f32],
    bound: f32,
    start: usize,
    to: *mut u32,
) -> usize {
    let (mut masks, mut count) = ([0; B], 0);
    // SAFETY: the caller's promises.
    unsafe {
        let all = L::splat(bound);
        for i in 0..B {
            let at = start + i * N;
            let bound = if EACH { L::load_at(t, at, f32::NAN).sub(all) } else { all };
            masks[i] = sum_at::<L>(a, b, at).exceeds(bound);
        }
        if masks != [0; B] {
            for i in 0..B {
                L::compress_positions((start + i * N) as u32, masks[i], to.add(count));
                count += masks[i].count_ones() as usize;
            }
        }
    }
    count
}

/// Returns a bound that at least k of some numbers reach, and how many do: exactly k, or the bound is the k-th largest.
// Safety: none of the numbers is negative or NaN, and there are at least k.
#[inline(always)]
unsafe fn find_bound<L: Compare>(numbers: &[f32], k: usize) -> (f32, usize) {
    // Such numbers are ordered as their bits are. At least k reach `low`, fewer reach `high`.
    let (mut low, mut high) = (0, f32::INFINITY.to_bits() + 1);
    let mut reached = numbers.len();
    while reached > k && high - low > 1 {
        let middle = low + (high - low) / 2;
        let mut count = 0;
        let mut start = 0;
        while start < numbers.len() {
            // SAFETY: `start` lies within the slice; NaN reaches nothing.
            let mask =
                unsafe { L::load_at(numbers, start, f32::NAN).reaches(L::splat(f32::from_bits(middle))) };
            count += mask.count_ones() as usize;
            start += N;
        }
        if count >= k {
            (low, reached) = (middle, count);
        } else {
            high = middle;
        }
    }
    (f32::from_bits(low), reached)
}

/// Computes the maxima of groups of about `size` of a + b, none below zero.
// Safety: the slices are equally long.
#[inline(always)]
unsafe fn find_maxima<L: Compare>(a: &[f32], b: &[f32], size: usize, out: &mut Vec<f32>) {
    out.clear();
    let n = a.len();
    let mut start = 0;
    while start < n {
        let stop = n.min(start + size * N);
        // SAFETY: every start lies within the slices, which are equally long; the maxima of a block have room.
        unsafe {
            let mut most = L::splat(0.0);
            while start < stop {
                // A NaN leaves the maximum as it is.
                most = sum_at::<L>(a, b, start).max(most);
                start += N;
            }
            out.reserve(N);
            most.store(out.as_mut_ptr().add(out.len()));
            out.set_len(out.len() + N);
        }
    }
}

/// Replaces `positions` and `values` by those of a + b that reach a bound.
// Safety: the slices are equally long.
#[inline(always)]
unsafe fn find_reaching<L: Compare>(
    a: &[f32],
    b: &[f32],
    bound: f32,
    positions: &mut Vec<u32>,
    values: &mut Vec<f32>,
) {
    let n = a.len();
    positions.clear();
    values.clear();
    positions.reserve(n + N);
    values.reserve(n + N);
    let mut count = 0;
    // SAFETY: at most n are found and every store ends within the reserved n + N; the counted entries have been written.
    unsafe {
        let (to, to_values) = (positions.as_mut_ptr(), values.as_mut_ptr());
        let mut start = 0;
        while start + 4 * N <= n {
            count += reaching_blocks::<L, 4>(a, b, bound, start, to.add(count), to_values.add(count));
            start += 4 * N;
        }
        while start < n {
            count += reaching_blocks::<L, 1>(a, b, bound, start, to.add(count), to_values.add(count));
            start += N;
        }
        positions.set_len(count);
        values.set_len(count);
    }
}

/// Writes the positions and values that [`find_reaching`] finds in B blocks, and returns their number.
// Safety: as for `find_reaching`; both places have room for all entries and a block.
#[inline(always)]
unsafe fn reaching_blocks<L: Compare, const B: usize>(
    a: &[f32],
    b: &[f32],
    bound: f32,
    start: usize,
    to: *mut u32,
    to_values: *mut f32,
) -> usize {
    let mut count = 0;
    // SAFETY: the caller's promises.
    unsafe {
        let bound = L::splat(bound);
        let (mut sums, mut masks) = ([bound; B], [0; B]);
        for i in 0..B {
            sums[i] = sum_at::<L>(a, b, start + i * N);
            masks[i] = sums[i].reaches(bound);
        }
        if masks != [0; B] {
            for i in 0..B {
                if masks[i] != 0 {
                    L::compress_positions((start + i * N) as u32, masks[i], to.add(count));
                    sums[i].compress(masks[i], to_values.add(count));
                    count += masks[i].count_ones() as usize;
                }
            }
        }
    }
    count
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
