//! Selective attention: the positive logits of earlier queries in one head are subtracted for later queries of all heads.

use crate::algebra::setting::Setting;
use collimate_tensor::Scalar;
use ndarray::{Array2, Array3};

/// Returns true if a query may deselect a key. The first key and the key at its own position are never deselected.
fn may(at: &Setting<'_>, i: usize, j: usize) -> bool {
    j != 0 && j as isize != i as isize + at.offset
}

/// Computes for each query and key the sum over earlier queries of a function of the selecting head's pairs.
fn before<F: Scalar>(at: &Setting<'_>, head: usize, of: impl Fn(usize, usize) -> F) -> Array2<F> {
    let mut sums = Array2::zeros((at.queries, at.keys));
    let mut so_far = vec![F::zero(); at.keys];
    for i in 0..at.queries {
        sums.row_mut(i).iter_mut().zip(&so_far).for_each(|(sum, &so_far)| *sum = so_far);
        for &j in at.seen.keys(head, i) {
            if may(at, i, j) {
                so_far[j] += of(i, j);
            }
        }
    }
    sums
}

pub(super) fn forward<F: Scalar>(at: &Setting<'_>, head: usize, z: &Array3<F>) -> Array3<F> {
    let taken = before(at, head, |i, j| z[[head, i, j]].max(F::zero()));
    at.logits(|h, i, j| z[[h, i, j]] - taken[[i, j]])
}

/// Computes the gradient. A selecting logit above 0 affects every later query of every head that sees its key.
pub(super) fn vjp<F: Scalar>(at: &Setting<'_>, head: usize, z: &Array3<F>, mut d: Array3<F>) -> Array3<F> {
    let mut later = vec![F::zero(); at.keys];
    for i in (0..at.queries).rev() {
        let mut here = vec![F::zero(); at.keys];
        for h in 0..at.heads {
            for &j in at.seen.keys(h, i) {
                here[j] += d[[h, i, j]];
            }
        }
        for &j in at.seen.keys(head, i) {
            if may(at, i, j) && z[[head, i, j]] > F::zero() {
                d[[head, i, j]] -= later[j];
            }
        }
        later.iter_mut().zip(here).for_each(|(later, here)| *later += here);
    }
    d
}

pub(super) fn jvp<F: Scalar>(at: &Setting<'_>, head: usize, z: &Array3<F>, dot: &Array3<F>) -> Array3<F> {
    let slope = |i, j| if z[[head, i, j]] > F::zero() { dot[[head, i, j]] } else { F::zero() };
    let taken = before(at, head, slope);
    at.slopes(|h, i, j| dot[[h, i, j]] - taken[[i, j]])
}
