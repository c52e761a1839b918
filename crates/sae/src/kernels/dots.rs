//! Inner products of some rows of a matrix with one or two vectors.
//!
//! Each is bit for bit `collimate_tensor::dot`: the partial sums of a block, then halves onto halves.

use super::lanes::{Lanes, N, by_level};
use collimate_tensor::Scalar;

macro_rules! dots {
    ($f:ident) => {
        pub(crate) mod $f {
            use super::{by_level, check, products};

            by_level! {
                $f: fn all<const T: usize>(indices: &[u32], rows: &[$f], vectors: [&[$f]; T], out: &mut [&mut Vec<$f>; T])
                    = products;
            }

            /// Replaces each of `out` by the products of the rows `indices` of `rows` with a vector.
            pub(crate) fn dots<const T: usize>(
                indices: &[u32],
                rows: &[$f],
                vectors: [&[$f]; T],
                mut out: [&mut Vec<$f>; T],
            ) {
                check(indices, rows, vectors);
                out.iter_mut().for_each(|out| out.clear());
                // SAFETY: checked.
                unsafe { all(indices, rows, vectors, &mut out) }
            }
        }
    };
}

dots!(f32);
dots!(f64);

/// Panics unless every row exists and the vectors are equally long.
fn check<F, const T: usize>(indices: &[u32], rows: &[F], vectors: [&[F]; T]) {
    let d = vectors[0].len();
    assert!(vectors.iter().all(|vector| vector.len() == d), "vectors of one length");
    assert!(indices.iter().all(|&i| (i as usize + 1) * d <= rows.len()), "rows exist");
}

/// Appends the products of all rows, a few rows at a time.
// Safety: the vectors are equally long, and `rows` holds the rows of that length that `indices` names.
#[inline(always)]
unsafe fn products<L: Lanes, const T: usize>(
    mut indices: &[u32],
    rows: &[L::F],
    vectors: [&[L::F]; T],
    out: &mut [&mut Vec<L::F>; T],
) {
    // SAFETY: the caller's promises.
    unsafe {
        if 4 * T <= L::SUMS {
            indices = groups::<L, T, 4>(indices, rows, vectors, out);
        }
        if 2 * T <= L::SUMS {
            indices = groups::<L, T, 2>(indices, rows, vectors, out);
        }
        groups::<L, T, 1>(indices, rows, vectors, out);
    }
}

/// Appends the products of the rows, R at a time, and returns the remaining rows.
// Safety: as for `products`.
#[inline(always)]
unsafe fn groups<'a, L: Lanes, const T: usize, const R: usize>(
    indices: &'a [u32],
    rows: &[L::F],
    vectors: [&[L::F]; T],
    out: &mut [&mut Vec<L::F>; T],
) -> &'a [u32] {
    let (groups, rest) = indices.as_chunks::<R>();
    for group in groups {
        // SAFETY: the caller's promises.
        unsafe { group_products::<L, T, R>(group, rows, vectors, out) };
    }
    rest
}

// Safety: as for `products`.
#[inline(always)]
unsafe fn group_products<L: Lanes, const T: usize, const R: usize>(
    indices: &[u32; R],
    rows: &[L::F],
    vectors: [&[L::F]; T],
    out: &mut [&mut Vec<L::F>; T],
) {
    let d = vectors[0].len();
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = [[L::zeros(); R]; T];
        let mut atoms = [rows.as_ptr(); R];
        for j in 0..R {
            atoms[j] = rows.as_ptr().add(indices[j] as usize * d);
        }
        let whole = d - d % N;
        let mut start = 0;
        while start < whole {
            let mut x = [L::zeros(); T];
            for t in 0..T {
                x[t] = L::load(vectors[t].as_ptr().add(start));
            }
            for j in 0..R {
                let atom = L::load(atoms[j].add(start));
                for t in 0..T {
                    sums[t][j] = sums[t][j].add_product(atom, x[t]);
                }
            }
            start += N;
        }
        if whole < d {
            for t in 0..T {
                for j in 0..R {
                    let atom = std::slice::from_raw_parts(atoms[j].add(whole), d - whole);
                    sums[t][j] = add_rest(sums[t][j], atom, &vectors[t][whole..]);
                }
            }
        }
        for t in 0..T {
            for j in 0..R {
                out[t].push(sums[t][j].fold());
            }
        }
    }
}

/// Adds the products of the columns that no whole block holds, each to the number of its place.
// Safety: the slices are shorter than a block.
#[inline(always)]
unsafe fn add_rest<F: Scalar, L: Lanes<F = F>>(sums: L, atom: &[F], x: &[F]) -> L {
    let mut numbers = [F::zero(); N];
    // SAFETY: the buffer holds a block.
    unsafe { sums.store(numbers.as_mut_ptr()) };
    for ((sum, &a), &x) in numbers.iter_mut().zip(atom).zip(x) {
        *sum = if L::FUSED { a.mul_add(x, *sum) } else { *sum + a * x };
    }
    // SAFETY: as above.
    unsafe { L::load(numbers.as_ptr()) }
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
