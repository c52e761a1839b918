//! The nonlinearity of an MLP, with or without a gate.

use crate::arrays::{Matrix, View};
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real};
use crate::pass::{Operation, Slot};
use collimate_grad::primitive::activation::{self, Activation};
use collimate_tensor::zeros;
use ndarray::{Array2, ArrayView2, Zip};
use rayon::prelude::*;

/// The number of numbers of one task.
const BLOCK: usize = 1 << 13;

/// Computes out = act(gate) ∘ up, or out = act(gate) without an up projection.
pub(crate) struct Gate {
    pub(crate) activation: Activation,
    pub(crate) gate: Slot,
    pub(crate) up: Option<Slot>,
    pub(crate) output: Slot,
}

impl Gate {
    /// Computes act(gate) ∘ up without a direction, in parallel over blocks of numbers.
    fn plain<F: Real>(&self, gate: ArrayView2<'_, F>, up: Option<ArrayView2<'_, F>>) -> Array2<F> {
        let mut out = zeros(gate.dim());
        let (gate, up) = (gate.as_standard_layout(), up.as_ref().map(|up| up.as_standard_layout()));
        let gate = gate.as_slice().expect("standard layout");
        let up = up.as_ref().map(|up| up.as_slice().expect("standard layout"));
        let blocks = out.as_slice_mut().expect("standard layout").par_chunks_mut(BLOCK).enumerate();
        blocks.for_each(|(block, out)| {
            let range = block * BLOCK..block * BLOCK + out.len();
            out.copy_from_slice(&gate[range.clone()]);
            activation::apply(self.activation, out);
            if let Some(up) = up {
                out.iter_mut().zip(&up[range]).for_each(|(out, &up)| *out *= up);
            }
        });
        out
    }

    /// Computes the gradients by gate and up from the gradient by the product, without a direction.
    fn plain_backward<F: Real>(
        &self,
        gate: ArrayView2<'_, F>,
        up: Option<ArrayView2<'_, F>>,
        d_out: Array2<F>,
    ) -> (Array2<F>, Option<Array2<F>>) {
        let (mut d_gate, mut d_up) = (d_out, up.map(|up| zeros(up.dim())));
        let (gate, up) = (gate.as_standard_layout(), up.as_ref().map(|up| up.as_standard_layout()));
        let gate = gate.as_slice().expect("standard layout");
        let up = up.as_ref().map(|up| up.as_slice().expect("standard layout"));
        let blocks = d_gate.as_slice_mut().expect("standard layout").par_chunks_mut(BLOCK);
        let none: &mut [F] = &mut [];
        let to_up =
            d_up.as_mut().map_or(none, |x: &mut Array2<F>| x.as_slice_mut().expect("standard layout"));
        let mut to_up: Vec<&mut [F]> = to_up.chunks_mut(BLOCK).collect();
        to_up.resize_with(gate.len().div_ceil(BLOCK), Default::default);
        blocks.zip(to_up).enumerate().for_each(|(block, (d_gate, d_up))| {
            let range = block * BLOCK..block * BLOCK + d_gate.len();
            let x = &gate[range.clone()];
            let mut active = x.to_vec();
            activation::apply(self.activation, &mut active);
            if let Some(up) = up {
                for ((d, to), (&up, &active)) in
                    d_gate.iter_mut().zip(d_up).zip(up[range].iter().zip(&active))
                {
                    *to = *d * active;
                    *d *= up;
                }
            }
            for ((d, &x), &active) in d_gate.iter_mut().zip(x).zip(&active) {
                *d *= activation::slope(self.activation, x, active);
            }
        });
        (d_gate, d_up)
    }
}

/// Returns act(x), with its derivative along the direction of x.
fn activate<F: Real>(activation: Activation, x: View<'_, F>) -> Matrix<F> {
    let value = activation::forward(activation, &x.value);
    let tangent = x.tangent.map(|dx| {
        let mut slope = slope(activation, &x, &value);
        slope *= &dx;
        slope
    });
    Matrix { value, tangent }
}

/// Returns act′(x) from x and y = act(x).
fn slope<F: Real>(activation: Activation, x: &View<'_, F>, y: &Array2<F>) -> Array2<F> {
    activation::derivative(activation, &x.value, y).expect("equal shapes")
}

/// Returns act′(x), with its derivative along the direction of x.
fn slopes<F: Real>(activation: Activation, x: View<'_, F>, y: &Array2<F>) -> Matrix<F> {
    let tangent = x.tangent.map(|dx| {
        let mut bend = activation::second_derivative(activation, &x.value, y).expect("equal shapes");
        bend *= &dx;
        bend
    });
    Matrix { value: slope(activation, &x, y), tangent }
}

/// Computes act(gate) ∘ up, with its derivative along a direction.
pub(super) fn gated<F: Real>(
    activation: Activation,
    gate: View<'_, F>,
    up: Option<View<'_, F>>,
) -> Matrix<F> {
    let active = activate(activation, gate);
    match up {
        Some(up) => product(active.view(), up),
        None => active,
    }
}

/// Computes the gradients by gate and up projection, with their derivatives along a direction.
pub(super) fn gated_backward<F: Real>(
    activation: Activation,
    gate: View<'_, F>,
    up: Option<View<'_, F>>,
    d_out: &Matrix<F>,
) -> (Matrix<F>, Option<Matrix<F>>) {
    let active = activate(activation, gate);
    let slopes = slopes(activation, gate, &active.value);
    match up {
        Some(up) => {
            let d_active = product(d_out.view(), up);
            (product(d_active.view(), slopes.view()), Some(product(d_out.view(), active.view())))
        }
        None => (product(d_out.view(), slopes.view()), None),
    }
}

/// Returns a ∘ b, by the product rule.
fn product<F: Real>(a: View<'_, F>, b: View<'_, F>) -> Matrix<F> {
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
        if !pass.is_along() {
            let up = self.up.map(|up| pass.get(up).value);
            let out = self.plain(pass.get(self.gate).value, up);
            return pass.set(self.output, Matrix::plain(out));
        }
        let out = gated(self.activation, pass.get(self.gate), self.up.map(|up| pass.get(up)));
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        if !pass.is_along() {
            let up = self.up.map(|up| pass.get(up).value);
            let (d_gate, d_up) = self.plain_backward(pass.get(self.gate).value, up, d_out.value);
            if let (Some(up), Some(d_up)) = (self.up, d_up) {
                pass.add_gradient(up, Matrix::plain(d_up));
            }
            pass.add_gradient(self.gate, Matrix::plain(d_gate));
            return Ok(());
        }
        let up = self.up.map(|up| pass.get(up));
        let (d_gate, d_up) = gated_backward(self.activation, pass.get(self.gate), up, &d_out);
        if let (Some(up), Some(d_up)) = (self.up, d_up) {
            pass.add_gradient(up, d_up);
        }
        pass.add_gradient(self.gate, d_gate);
        Ok(())
    }
}
