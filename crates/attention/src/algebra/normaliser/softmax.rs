//! `pⱼ = e^{zⱼ} / (e^{s} + Σ e^{z})`, with s = −∞ for the plain softmax, 0 for plus one, learned for a sink.

use super::order::largest;
use collimate_tensor::Scalar;

pub(super) fn forward<F: Scalar>(z: &mut [F], sink: F) {
    let top = largest(z).max(sink);
    let mut total = (sink - top).exp();
    if top == F::neg_infinity() {
        return z.fill(F::zero());
    }
    for z in z.iter_mut() {
        *z = (*z - top).exp();
        total += *z;
    }
    z.iter_mut().for_each(|p| *p /= total);
}

/// Computes `dzⱼ = pⱼ (dpⱼ − ⟨p, dp⟩)`, and returns `ds = −p_s ⟨p, dp⟩` with the share p_s of the sink.
pub(super) fn vjp<F: Scalar>(z: &[F], p: &[F], d: &mut [F], sink: F) -> F {
    let mean = p.iter().zip(&*d).fold(F::zero(), |sum, (&p, &d)| sum + p * d);
    for (d, &p) in d.iter_mut().zip(p) {
        *d = p * (*d - mean);
    }
    if sink == F::neg_infinity() { F::zero() } else { -sink_share(z, sink) * mean }
}

/// Returns the share of the sink in a row: `e^{s} / (e^{s} + Σ e^{z})`. It is not computed as 1 − Σ p, which would lose digits.
pub(super) fn sink_share<F: Scalar>(z: &[F], sink: F) -> F {
    let top = largest(z).max(sink);
    if top == F::neg_infinity() {
        return F::zero();
    }
    let own = (sink - top).exp();
    own / z.iter().fold(own, |sum, &z| sum + (z - top).exp())
}
