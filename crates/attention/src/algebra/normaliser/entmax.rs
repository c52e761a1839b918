//! 1.5-entmax: `p = max(z/2 − τ, 0)²` with the τ that makes the weights sum to 1.

use super::order::{largest, sorted_below_top};
use collimate_tensor::Scalar;

pub(super) fn forward<F: Scalar>(z: &mut [F]) {
    let (top, half, one) = (largest(z), F::from_f64(0.5), F::one());
    let (mut sum, mut squares, mut threshold) = (F::zero(), F::zero(), -one);
    for (index, x) in sorted_below_top(z).into_iter().map(|x| half * x).enumerate() {
        // No weight exceeds 1, so the threshold is at least −1 below the top.
        if x <= -one {
            break;
        }
        let count = F::from_f64((index + 1) as f64);
        let (sum_with, squares_with) = (sum + x, squares + x * x);
        let mean = sum_with / count;
        // Σ (x − τ)² = 1 over the support, solved for τ: the smaller root.
        let spread = (squares_with - sum_with * mean).max(F::zero());
        let candidate = mean - ((one - spread).max(F::zero()) / count).sqrt();
        if spread > one || candidate > x {
            break;
        }
        (sum, squares, threshold) = (sum_with, squares_with, candidate);
    }
    for z in z.iter_mut() {
        let root = (half * (*z - top) - threshold).max(F::zero());
        *z = root * root;
    }
}

/// Computes `dz = s (dp − ⟨s, dp⟩ / Σ s)` with `s = √p` on the support.
pub(super) fn vjp<F: Scalar>(p: &[F], d: &mut [F]) -> F {
    let (mut inner, mut total) = (F::zero(), F::zero());
    for (&p, &d) in p.iter().zip(&*d).filter(|(p, _)| **p > F::zero()) {
        inner += p.sqrt() * d;
        total += p.sqrt();
    }
    for (d, &p) in d.iter_mut().zip(p) {
        *d = if p > F::zero() { p.sqrt() * (*d - inner / total) } else { F::zero() };
    }
    F::zero()
}
