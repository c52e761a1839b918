//! The loops over the coordinates. They are generic and private. `SamplerScalar` compiles them in this crate.

use collimate_tensor::Scalar;

/// Standard normal numbers, by precision.
pub(super) mod normals {
    pub(in crate::sampler) mod f32 {
        pub(in crate::sampler) use crate::kernels::normals::fill;
    }
    pub(in crate::sampler) mod f64 {
        use collimate_stream::RngStream;

        /// Fills a slice with standard normal numbers.
        pub(in crate::sampler) fn fill(stream: &mut RngStream, out: &mut [f64]) {
            stream.fill_normal(out);
        }
    }
}

/// Computes `w ← w + spread·z − drift·g − pull·(w − w*)`.
#[inline(always)]
pub(super) fn langevin<F: Scalar>(w: &mut [F], g: &[F], z: &[F], centre: &[F], scales: [F; 3]) {
    let [drift, pull, spread] = scales;
    for (((w, &g), &z), &centre) in w.iter_mut().zip(g).zip(z).zip(centre) {
        *w = *w + spread * z - drift * g - pull * (*w - centre);
    }
}

/// Updates the running mean of squares v, and computes `G = 1/(floor + √v)` from it.
#[inline(always)]
pub(super) fn precondition<F: Scalar>(v: &mut [F], g: &[F], scale: &mut [F], decay: F, floor: F) {
    for ((v, &g), scale) in v.iter_mut().zip(g).zip(scale) {
        *v = decay * *v + (F::one() - decay) * g * g;
        *scale = F::one() / (floor + v.sqrt());
    }
}

/// Computes `w ← w + √(εG)·z − (ε/2) G [nβ g + γ (w − w*)]`.
#[inline(always)]
pub(super) fn preconditioned<F: Scalar>(
    w: &mut [F],
    g: &[F],
    z: &[F],
    centre: &[F],
    scale: &[F],
    scales: [F; 3],
) {
    let [drift, pull, spread] = scales;
    for ((((w, &g), &z), &centre), &scale) in w.iter_mut().zip(g).zip(z).zip(centre).zip(scale) {
        *w = *w + spread * scale.sqrt() * z - scale * (drift * g + pull * (*w - centre));
    }
}

/// Computes `p ← p − h (nβ g + γ (w − w*))`.
#[inline(always)]
pub(super) fn kick<F: Scalar>(p: &mut [F], g: &[F], w: &[F], centre: &[F], scales: [F; 2]) {
    let [drift, pull] = scales;
    for (((p, &g), &w), &centre) in p.iter_mut().zip(g).zip(w).zip(centre) {
        *p = *p - drift * g - pull * (w - centre);
    }
}

/// Computes `w ← w + δ p`.
#[inline(always)]
pub(super) fn glide<F: Scalar>(w: &mut [F], p: &[F], delta: F) {
    w.iter_mut().zip(p).for_each(|(w, &p)| *w += delta * p);
}

/// Reflects every coordinate into its interval, and reverses its momentum after an odd number of reflections.
#[inline(always)]
pub(super) fn reflect<F: Scalar>(w: &mut [F], mut p: Option<&mut [F]>, low: &[F], high: &[F]) {
    for i in 0..w.len() {
        let (a, b) = (low[i], high[i]);
        if w[i] >= a && w[i] <= b {
            continue;
        }
        let width = b - a;
        let crossings = ((w[i] - a) / width).floor();
        let within = w[i] - a - crossings * width;
        let odd = (crossings * F::from_f64(0.5)).fract() != F::zero();
        w[i] = if odd { b - within } else { a + within };
        // Rounding may leave the interval by one unit in the last place. A NaN stays one.
        if w[i] < a {
            w[i] = a;
        } else if w[i] > b {
            w[i] = b;
        }
        if odd && let Some(p) = p.as_deref_mut() {
            p[i] = -p[i];
        }
    }
}

/// Returns true if every coordinate lies in its interval.
#[inline(always)]
pub(super) fn inside<F: Scalar>(w: &[F], low: &[F], high: &[F]) -> bool {
    w.iter().zip(low).zip(high).all(|((w, low), high)| low <= w && w <= high)
}

/// Computes `x ← x·m`.
#[inline(always)]
pub(super) fn times<F: Scalar>(x: &mut [F], m: &[F]) {
    x.iter_mut().zip(m).for_each(|(x, &m)| *x *= m);
}

/// Returns `|a − b|²`, summed in f64.
#[inline(always)]
pub(super) fn distance_squared<F: Scalar>(a: &[F], b: &[F]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a, b) = (a.chunks(8), b.chunks(8));
    for (a, b) in a.zip(b) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            let d = (a - b).to_f64();
            *lane += d * d;
        }
    }
    lanes.iter().sum()
}
