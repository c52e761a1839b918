//! The nonlinearity of an MLP, with or without a gate.

use crate::arrays::{Matrix, View};
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};
use crate::pass::{Operation, Slot};
use collimate_grad::primitive::activation::{self, Activation};
use ndarray::{Array2, Zip};

/// Computes out = act(gate) ∘ up, or out = act(gate) without an up projection.
pub(crate) struct Gate {
    pub(crate) activation: Activation,
    pub(crate) gate: Slot,
    pub(crate) up: Option<Slot>,
    pub(crate) output: Slot,
}

impl Gate {
    /// Returns act(x), with its derivative along the direction of x.
    fn activate<F: Real>(&self, x: View<'_, F>) -> Matrix<F> {
        let value = activation::forward(self.activation, &x.value);
        let tangent = x.tangent.map(|dx| {
            let mut slope = self.slope(&x, &value);
            slope *= &dx;
            slope
        });
        Matrix { value, tangent }
    }

    /// Returns act′(x) from x and y = act(x).
    fn slope<F: Real>(&self, x: &View<'_, F>, y: &Array2<F>) -> Array2<F> {
        activation::derivative(self.activation, &x.value, y).expect("equal shapes")
    }

    /// Returns act′(x), with its derivative along the direction of x.
    fn slopes<F: Real>(&self, x: View<'_, F>, y: &Array2<F>) -> Matrix<F> {
        let tangent = x.tangent.map(|dx| {
            let mut bend = activation::second_derivative(self.activation, &x.value, y).expect("equal shapes");
            bend *= &dx;
            bend
        });
        Matrix { value: self.slope(&x, y), tangent }
    }
}

/// Returns a ∘ b, by the product rule.
pub(super) fn product<F: Real>(a: View<'_, F>, b: View<'_, F>) -> Matrix<F> {
    let tangent = match (a.tangent, b.tangent) {
        (None, None) => None,
        (Some(da), None) => Some(&da * &b.value),
        (None, Some(db)) => Some(&a.value * &db),
        (Some(da), Some(db)) => {
            let mut out = &da * &b.value;
            Zip::from(&mut out).and(&a.value).and(&db).for_each(|out, &a, &db| *out += a * db);
            Some(out)
        }
    };
    Matrix { value: &a.value * &b.value, tangent }
}

impl<F: Real> Operation<F> for Gate {
    fn inputs(&self) -> Vec<Slot> {
        std::iter::once(self.gate).chain(self.up).collect()
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let active = self.activate(pass.get(self.gate));
        let out = match self.up {
            Some(up) => product(active.view(), pass.get(up)),
            None => active,
        };
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        let x = pass.get(self.gate);
        let active = self.activate(x);
        let slopes = self.slopes(x, &active.value);
        let (d_active, d_up) = match self.up {
            Some(up) => {
                (product(d_out.view(), pass.get(up)), Some((up, product(d_out.view(), active.view()))))
            }
            None => (d_out, None),
        };
        let d_gate = product(d_active.view(), slopes.view());
        if let Some((up, d_up)) = d_up {
            pass.add_gradient(up, d_up);
        }
        pass.add_gradient(self.gate, d_gate);
        Ok(())
    }
}
