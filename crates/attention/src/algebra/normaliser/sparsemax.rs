//! `p = max(z − τ, 0)` with the τ that makes the weights sum to 1: the projection onto the simplex.

use super::order::{largest, sorted_below_top};
use collimate_tensor::Scalar;

pub(super) fn forward<F: Scalar>(z: &mut [F]) {
    let top = largest(z);
    let (mut sum, mut threshold) = (F::zero(), F::zero());
    for (index, &x) in sorted_below_top(z).iter().enumerate() {
        let count = F::from_f64((index + 1) as f64);
        // The support is the longest start of the sorted row whose last member exceeds the resulting threshold.
        if F::one() + count * x <= sum + x {
            break;
        }
        sum += x;
        threshold = (sum - F::one()) / count;
    }
    z.iter_mut().for_each(|z| *z = (*z - top - threshold).max(F::zero()));
}

/// Computes `dz = dp − mean of dp` on the support, and 0 elsewhere.
pub(super) fn vjp<F: Scalar>(p: &[F], d: &mut [F]) -> F {
    let (mut sum, mut count) = (F::zero(), F::zero());
    for (_, &d) in p.iter().zip(&*d).filter(|(p, _)| **p > F::zero()) {
        sum += d;
        count += F::one();
    }
    for (d, &p) in d.iter_mut().zip(p) {
        *d = if p > F::zero() { *d - sum / count } else { F::zero() };
    }
    F::zero()
}
