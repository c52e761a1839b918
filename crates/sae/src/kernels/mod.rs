//! The innermost loops, which with `members::kernels` are the only places of this crate with `unsafe` code.
//!
//! The loops of this file are written once and compiled for every CPU level. They use no fused multiply-add,
//! and sums run over a fixed number of lanes, so the level does not change a bit.
#![allow(unsafe_code)]

use collimate_tensor::{Scalar, leveled};

pub(crate) mod combine;
pub(crate) mod dots;
pub(crate) mod lanes;
pub(crate) mod selection;

/// The numbers of an Adam update that do not change from parameter to parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdamNumbers<F> {
    pub(crate) beta1: F,
    pub(crate) beta2: F,
    /// η/(1 − β₁ᵗ)
    pub(crate) rate: F,
    /// 1/√(1 − β₂ᵗ)
    pub(crate) correction: F,
    pub(crate) epsilon: F,
}

leveled! {
    /// Makes one Adam update of a run of parameters.
    pub(crate) fn adam<F: Scalar>(numbers: &AdamNumbers<F>, w: &mut [F], m: &mut [F], v: &mut [F], g: &[F]) {
        let AdamNumbers { beta1, beta2, rate, correction, epsilon } = *numbers;
        let (rest1, rest2) = (F::one() - beta1, F::one() - beta2);
        let n = g.len();
        let (w, m, v) = (&mut w[..n], &mut m[..n], &mut v[..n]);
        for i in 0..n {
            m[i] = beta1 * m[i] + rest1 * g[i];
            v[i] = beta2 * v[i] + rest2 * g[i] * g[i];
            w[i] -= rate * m[i] / (v[i].sqrt() * correction + epsilon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_update_agrees_with_its_formula(n in 0usize..70, seed in 0u64..500) {
            let mut stream = collimate_stream::RngStream::new(seed, 0);
            let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| stream.normal()).collect() };
            let (x, u, y) = (draw(n), draw(n), draw(n));
            let numbers = AdamNumbers { beta1: 0.9, beta2: 0.99, rate: 0.1, correction: 1.5, epsilon: 1e-8 };
            let (mut w, mut m, mut v) = (x.clone(), u.clone(), vec![0.25; n]);
            adam(&numbers, &mut w, &mut m, &mut v, &y);
            for i in 0..n {
                let (g, m1) = (y[i], 0.9 * u[i] + 0.1 * y[i]);
                let v1 = 0.99 * 0.25 + 0.01 * g * g;
                prop_assert!((m[i] - m1).abs() < 1e-12 && (v[i] - v1).abs() < 1e-12);
                prop_assert!((w[i] - (x[i] - 0.1 * m1 / (v1.sqrt() * 1.5 + 1e-8))).abs() < 1e-12);
            }
        }
    }
}
