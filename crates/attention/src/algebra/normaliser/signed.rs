//! `p = sign(z) · softmax(|z|)`.

use super::softmax;
use collimate_tensor::Scalar;

/// Returns 1, −1, or 0 at 0.
pub(crate) fn sign<F: Scalar>(x: F) -> F {
    if x == F::zero() { x } else { x.signum() }
}

pub(super) fn forward<F: Scalar>(z: &mut [F]) {
    let signs: Vec<F> = z.iter().map(|&z| sign(z)).collect();
    z.iter_mut().for_each(|z| *z = z.abs());
    softmax::forward(z, F::neg_infinity());
    z.iter_mut().zip(signs).for_each(|(p, sign)| *p *= sign);
}

/// Computes `dz = σ s (σ dp − ⟨s, σ dp⟩)` with σ = sign(z) and s = softmax(|z|).
pub(super) fn vjp<F: Scalar>(z: &[F], p: &[F], d: &mut [F]) -> F {
    let mean = p.iter().zip(&*d).fold(F::zero(), |sum, (&p, &d)| sum + p * d);
    for ((d, &p), &z) in d.iter_mut().zip(p).zip(z) {
        *d = p * (sign(z) * *d - mean);
    }
    F::zero()
}
