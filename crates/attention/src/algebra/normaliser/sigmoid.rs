//! `pⱼ = σ(zⱼ + b)`: the weight of a key does not depend on other keys.

use collimate_tensor::Scalar;

/// Returns 1/(1 + e^{−x}) without overflow on either side.
pub(crate) fn sigmoid<F: Scalar>(x: F) -> F {
    let e = (-x.abs()).exp();
    if x < F::zero() { e / (F::one() + e) } else { F::one() / (F::one() + e) }
}

pub(super) fn forward<F: Scalar>(z: &mut [F], bias: F) {
    z.iter_mut().for_each(|z| *z = sigmoid(*z + bias));
}

/// Computes `dz = p (1 − p) dp`, and returns the sum, which is the gradient by the bias.
pub(super) fn vjp<F: Scalar>(p: &[F], d: &mut [F]) -> F {
    let mut sum = F::zero();
    for (d, &p) in d.iter_mut().zip(p) {
        *d = p * (F::one() - p) * *d;
        sum += *d;
    }
    sum
}
