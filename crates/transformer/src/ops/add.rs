//! Sums of the residual stream, and elementwise changes of the logits.

use crate::arrays::Number;
use crate::arrays::{RowFunction, map_rows};
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};
use crate::pass::{Operation, Slot};

/// Computes out = a + factor·b.
pub(crate) struct Add {
    pub(crate) a: Slot,
    pub(crate) b: Slot,
    pub(crate) factor: f64,
    pub(crate) output: Slot,
}

impl<F: Real> Operation<F> for Add {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.a, self.b]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let mut out = pass.take_or_copy(self.a);
        out.add_scaled(pass.get(self.b), F::from_f64(self.factor));
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        let mut by_b = d_out.clone();
        if self.factor != 1.0 {
            by_b.scale(F::from_f64(self.factor));
        }
        pass.add_gradient(self.b, by_b);
        pass.add_gradient(self.a, d_out);
        Ok(())
    }
}

/// Computes out = factor·x.
pub(crate) struct Scale {
    pub(crate) factor: f64,
    pub(crate) input: Slot,
    pub(crate) output: Slot,
}

impl<F: Real> Operation<F> for Scale {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let mut out = pass.take_or_copy(self.input);
        out.scale(F::from_f64(self.factor));
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(mut d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        d_out.scale(F::from_f64(self.factor));
        pass.add_gradient(self.input, d_out);
        Ok(())
    }
}

/// Computes out = c·tanh(x/c).
pub(crate) struct Softcap {
    pub(crate) cap: f64,
    pub(crate) input: Slot,
    pub(crate) output: Slot,
}

/// The function c·tanh(x/c) of each number of a row.
pub(super) struct Cap(pub(super) f64);

impl RowFunction<1, 1> for Cap {
    fn run<T: Number>(&self, _: usize, [x]: [&[T]; 1], [out]: [&mut [T]; 1]) {
        let cap = T::constant(self.0);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = cap * (x / cap).hyperbolic_tangent();
        }
    }
}

/// The adjoint from x and the gradient by the output: (1 − tanh²(x/c))·ȳ.
impl RowFunction<2, 1> for Cap {
    fn run<T: Number>(&self, _: usize, [x, d]: [&[T]; 2], [out]: [&mut [T]; 1]) {
        let (cap, one) = (T::constant(self.0), T::constant(1.0));
        for ((out, &x), &d) in out.iter_mut().zip(x).zip(d) {
            let y = (x / cap).hyperbolic_tangent();
            *out = (one - y * y) * d;
        }
    }
}

impl<F: Real> Operation<F> for Softcap {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.input]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let x = pass.get(self.input);
        let [out] = map_rows(&Cap(self.cap), [x], [x.value.ncols()]);
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        let x = pass.get(self.input);
        let [d_x] = map_rows(&Cap(self.cap), [x, d_out.view()], [x.value.ncols()]);
        pass.add_gradient(self.input, d_x);
        Ok(())
    }
}
