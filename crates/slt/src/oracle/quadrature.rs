//! Gauss–Legendre quadrature on panels.

use std::f64::consts::PI;
use std::sync::LazyLock;

/// The number of nodes per panel.
const ORDER: usize = 16;

/// Returns the nodes and weights on [−1, 1] of the rule that is exact up to degree 2·order − 1.
pub(crate) fn gauss_legendre(order: usize) -> Vec<(f64, f64)> {
    let node = |i: usize| {
        if order == 1 {
            return (0.0, 2.0);
        }
        // Newton's method from Chebyshev's node, with P and P′ by the three-term recurrence.
        let mut x = (PI * (i as f64 + 0.75) / (order as f64 + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..100 {
            let (mut before, mut p) = (1.0, x);
            for k in 2..=order {
                let k = k as f64;
                (before, p) = (p, ((2.0 * k - 1.0) * x * p - (k - 1.0) * before) / k);
            }
            slope = order as f64 * (x * p - before) / (x * x - 1.0);
            let step = p / slope;
            x -= step;
            if step.abs() < 1e-16 {
                break;
            }
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    };
    (0..order).map(node).collect()
}

/// The nodes and weights of each panel.
static RULE: LazyLock<Vec<(f64, f64)>> = LazyLock::new(|| gauss_legendre(ORDER));

/// Returns the nodes and weights over `[from, to]`, cut into panels that are at most `width` wide.
pub(crate) fn nodes(from: f64, to: f64, width: f64) -> impl Iterator<Item = (f64, f64)> {
    let panels = if to > from { ((to - from) / width).ceil().max(1.0) } else { 0.0 };
    let half = 0.5 * (to - from) / panels.max(1.0);
    (0..panels as usize).flat_map(move |panel| {
        let middle = from + (2.0 * panel as f64 + 1.0) * half;
        RULE.iter().map(move |(x, weight)| (middle + half * x, half * weight))
    })
}

/// Integrates `K` functions at once over `[from, to]`, cut into panels that are at most `width` wide.
pub(crate) fn integrate<const K: usize>(
    from: f64,
    to: f64,
    width: f64,
    f: impl Fn(f64) -> [f64; K],
) -> [f64; K] {
    let mut total = [0.0; K];
    for (x, weight) in nodes(from, to, width) {
        for (total, value) in total.iter_mut().zip(f(x)) {
            *total += weight * value;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_up_to_degree_thirty_one_are_exact() {
        let [even, odd, top] = integrate(-1.0, 1.0, 2.0, |x| [x.powi(30), x.powi(31), x * x]);
        assert!((even - 2.0 / 31.0).abs() < 1e-15 && odd.abs() < 1e-15 && (top - 2.0 / 3.0).abs() < 1e-15);
        let [e] = integrate(0.0, 5.0, 1.0, |x| [(-x).exp()]);
        assert!((e - (1.0 - (-5.0f64).exp())).abs() < 1e-15);
    }
}
