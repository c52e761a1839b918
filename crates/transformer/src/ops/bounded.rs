//! The gate with bounds of gpt-oss.

use crate::arrays::{Matrix, Number, RowFunction, View, map_rows};
use crate::pass::Real;

/// Computes (u + 1) ∘ g σ(α g), with the gate cut off above the limit and the up projection at both sides of it.
pub(crate) struct Bounded {
    pub(crate) limit: f64,
    /// The factor α.
    pub(crate) slope: f64,
}

impl Bounded {
    pub(super) fn forward<'a, F: Real>(&self, gate: View<'a, F>, up: View<'a, F>) -> Matrix<F> {
        let [out] = map_rows::<F, 2, 1>(self, [gate, up], [gate.value.ncols()]);
        out
    }

    pub(super) fn backward<'a, F: Real>(
        &self,
        gate: View<'a, F>,
        up: View<'a, F>,
        d: View<'a, F>,
    ) -> (Matrix<F>, Option<Matrix<F>>) {
        let columns = gate.value.ncols();
        let [d_gate, d_up] = map_rows::<F, 3, 2>(self, [gate, up, d], [columns, columns]);
        (d_gate, Some(d_up))
    }

    /// Returns the gate and the up projection inside their bounds, and σ(α g).
    fn cut<T: Number>(&self, gate: T, up: T) -> (T, T, T) {
        let (limit, half) = (self.limit, T::constant(0.5));
        let g = if gate.plain() > limit { T::constant(limit) } else { gate };
        let u = if up.plain().abs() > limit { T::constant(limit.copysign(up.plain())) } else { up };
        // The logistic function by the hyperbolic tangent, which no number overflows.
        let sigma = half + half * (half * T::constant(self.slope) * g).hyperbolic_tangent();
        (g, u, sigma)
    }
}

impl RowFunction<2, 1> for Bounded {
    fn run<T: Number>(&self, _: usize, [gate, up]: [&[T]; 2], [out]: [&mut [T]; 1]) {
        for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
            let (g, u, sigma) = self.cut(gate, up);
            *out = (u + T::constant(1.0)) * g * sigma;
        }
    }
}

/// The gradients by gate and up projection. Beyond a bound they are 0.
impl RowFunction<3, 2> for Bounded {
    fn run<T: Number>(&self, _: usize, [gate, up, d]: [&[T]; 3], [d_gate, d_up]: [&mut [T]; 2]) {
        let (zero, one) = (T::constant(0.0), T::constant(1.0));
        for (index, ((&gate, &up), &d)) in gate.iter().zip(up).zip(d).enumerate() {
            let (g, u, sigma) = self.cut(gate, up);
            let bend = sigma + T::constant(self.slope) * g * sigma * (one - sigma);
            d_gate[index] = if gate.plain() > self.limit { zero } else { d * (u + one) * bend };
            d_up[index] = if up.plain().abs() > self.limit { zero } else { d * g * sigma };
        }
    }
}
