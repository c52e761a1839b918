//! The loops over one latent's rows, and the only place of this crate with `unsafe` code.
//!
//! Each is written once as a plain loop and compiled at every [`CpuLevel`]. No fused multiply-add is asked for and sums run
//! over a fixed number of lanes, so the level does not change a bit.
#![allow(unsafe_code)]

use collimate_tensor::{CpuLevel, Scalar};

/// Partial sums of an inner product.
const LANES: usize = 16;

/// Defines a function that runs its body compiled for the level of this processor.
macro_rules! leveled {
    ($(#[$doc:meta] fn $name:ident<F>($($arg:ident: $ty:ty),*) $(-> $ret:ty)? $body:block)*) => {$(
        #[$doc]
        pub(crate) fn $name<F: Scalar>($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn plain<F: Scalar>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                fn avx512<F: Scalar>($($arg: $ty),*) $(-> $ret)? { plain($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2<F: Scalar>($($arg: $ty),*) $(-> $ret)? { plain($($arg),*) }
                match CpuLevel::current() {
                    // SAFETY: the level was detected, so the processor has these instructions.
                    CpuLevel::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    CpuLevel::Avx2 => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            plain($($arg),*)
        }
    )*};
}

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
    /// One Adam update of a run of parameters.
    fn adam<F>(numbers: &AdamNumbers<F>, w: &mut [F], m: &mut [F], v: &mut [F], g: &[F]) {
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

    /// y ← y + a·x and z ← z + b·x: two decodes that load the atom once.
    fn axpy_twice<F>(a: F, b: F, x: &[F], y: &mut [F], z: &mut [F]) {
        let n = x.len();
        let (y, z) = (&mut y[..n], &mut z[..n]);
        for i in 0..n {
            y[i] += a * x[i];
            z[i] += b * x[i];
        }
    }

    /// y ← y + a·x and z ← z + b·u: the two gradient rows of a latent.
    fn axpy_pair<F>(a: F, x: &[F], y: &mut [F], b: F, u: &[F], z: &mut [F]) {
        let n = x.len();
        let (y, u, z) = (&mut y[..n], &u[..n], &mut z[..n]);
        for i in 0..n {
            y[i] += a * x[i];
            z[i] += b * u[i];
        }
    }

    /// (x·y, x·z): two inner products that load the atom once.
    fn dot_twice<F>(x: &[F], y: &[F], z: &[F]) -> (F, F) {
        let n = x.len();
        let (y, z) = (&y[..n], &z[..n]);
        let (mut first, mut second) = ([F::zero(); LANES], [F::zero(); LANES]);
        let whole = n - n % LANES;
        for start in (0..whole).step_by(LANES) {
            let (x, y, z) = (&x[start..start + LANES], &y[start..start + LANES], &z[start..start + LANES]);
            for i in 0..LANES {
                first[i] += x[i] * y[i];
                second[i] += x[i] * z[i];
            }
        }
        for i in whole..n {
            first[i - whole] += x[i] * y[i];
            second[i - whole] += x[i] * z[i];
        }
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                first[i] += first[i + width];
                second[i] += second[i + width];
            }
            width /= 2;
        }
        (first[0], second[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn kernels_agree_with_plain_loops(n in 0usize..70, seed in 0u64..500) {
            let mut stream = collimate_stream::Stream::new(seed, 0);
            let mut draw = || -> Vec<f64> { (0..n).map(|_| stream.normal()).collect() };
            let (x, u, y0, z0) = (draw(), draw(), draw(), draw());
            let plain = |a: f64, x: &[f64], y: &[f64]| -> Vec<f64> { x.iter().zip(y).map(|(x, y)| y + a * x).collect() };
            let (mut y, mut z) = (y0.clone(), z0.clone());
            axpy_twice(0.5, -2.0, &x, &mut y, &mut z);
            prop_assert_eq!((&y, &z), (&plain(0.5, &x, &y0), &plain(-2.0, &x, &z0)));
            let (mut y, mut z) = (y0.clone(), z0.clone());
            axpy_pair(0.5, &x, &mut y, 3.0, &u, &mut z);
            prop_assert_eq!((&y, &z), (&plain(0.5, &x, &y0), &plain(3.0, &u, &z0)));
            let (a, b) = dot_twice(&x, &y0, &z0);
            // Bit for bit the inner product that the members with one decode use.
            prop_assert_eq!((a, b), (collimate_tensor::dot(&x, &y0), collimate_tensor::dot(&x, &z0)));
            let numbers = AdamNumbers { beta1: 0.9, beta2: 0.99, rate: 0.1, correction: 1.5, epsilon: 1e-8 };
            let (mut w, mut m, mut v) = (x.clone(), u.clone(), vec![0.25; n]);
            adam(&numbers, &mut w, &mut m, &mut v, &y0);
            for i in 0..n {
                let (g, m1) = (y0[i], 0.9 * u[i] + 0.1 * y0[i]);
                let v1 = 0.99 * 0.25 + 0.01 * g * g;
                prop_assert!((m[i] - m1).abs() < 1e-12 && (v[i] - v1).abs() < 1e-12);
                prop_assert!((w[i] - (x[i] - 0.1 * m1 / (v1.sqrt() * 1.5 + 1e-8))).abs() < 1e-12);
            }
        }
    }
}
