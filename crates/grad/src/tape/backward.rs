use super::record::{Op, Tape, Var};
use crate::error::GradError;
use crate::primitive::{
    activation, bias, cross_entropy, embedding, layer_norm, matmul, reduce, rms_norm, softmax,
};
use collimate_tensor::{Scalar, ShapeError};
use ndarray::{Array1, Array2, Axis};

/// The gradient of one scalar with respect to every value on its tape.
#[derive(Clone, Debug)]
pub struct Gradients<F> {
    tape: u64,
    of: Vec<Option<Array2<F>>>,
}

impl<F: Scalar> Gradients<F> {
    /// Returns the gradient with respect to `x`, in the shape of `x`, or `None` if the scalar does not depend on `x`.
    pub fn of(&self, x: Var) -> Option<&Array2<F>> {
        if x.tape != self.tape {
            return None;
        }
        self.of.get(x.index)?.as_ref()
    }

    fn add(&mut self, index: usize, contribution: Array2<F>) {
        match &mut self.of[index] {
            Some(sum) => *sum += &contribution,
            empty => *empty = Some(contribution),
        }
    }
}

impl<F: Scalar> Tape<F> {
    /// Returns the gradient of a value `[1, 1]` with respect to every earlier value.
    ///
    /// # Errors
    /// [`GradError::Shape`] unless the value is `[1, 1]`; [`GradError::UnknownVariable`] if it is not on this tape.
    pub fn backward(&self, scalar: Var) -> Result<Gradients<F>, GradError> {
        let last = self.index(scalar)?;
        ShapeError::check("scalar", &[1, 1], self.at(last).shape())?;
        let mut gradients = Gradients { tape: self.id, of: vec![None; self.nodes.len()] };
        gradients.of[last] = Some(Array2::ones((1, 1)));
        for index in (0..=last).rev() {
            // Taken out while the gradients of its inputs are written, then put back, because it is a result too.
            if let Some(d) = gradients.of[index].take() {
                self.propagate(index, &d, &mut gradients)?;
                gradients.of[index] = Some(d);
            }
        }
        Ok(gradients)
    }

    /// Adds the contributions of node `index`, whose gradient is `d`, to the gradients of its inputs.
    fn propagate(&self, index: usize, d: &Array2<F>, to: &mut Gradients<F>) -> Result<(), GradError> {
        let y = self.at(index);
        match &self.nodes[index].op {
            Op::Leaf => {}
            &Op::MatMul(a, b) => {
                let (d_a, d_b) = matmul::vjp(self.at(a), self.at(b), d)?;
                to.add(a, d_a);
                to.add(b, d_b);
            }
            &Op::AddBias(x, b) => {
                let (d_x, d_bias) = bias::vjp(d);
                to.add(x, d_x);
                to.add(b, as_row(d_bias));
            }
            &Op::Add(a, b) => {
                to.add(a, d.clone());
                to.add(b, d.clone());
            }
            &Op::Mul(a, b) => {
                to.add(a, d * self.at(b));
                to.add(b, d * self.at(a));
            }
            &Op::Scale(x, factor) => to.add(x, d * factor),
            &Op::Activation(x, kind) => to.add(x, activation::vjp(kind, self.at(x), y, d)?),
            &Op::Softmax(x) => to.add(x, softmax::vjp(y, d)?),
            Op::CrossEntropy(x, targets) => to.add(*x, cross_entropy::vjp(self.at(*x), targets, d[[0, 0]])?),
            &Op::RmsNorm { x, gain, epsilon } => {
                let (d_x, d_gain) = rms_norm::vjp(self.at(x), &self.row("gain", gain)?, epsilon, d)?;
                to.add(x, d_x);
                to.add(gain, as_row(d_gain));
            }
            &Op::LayerNorm { x, gain, bias, epsilon } => {
                let (d_x, d_gain, d_bias) =
                    layer_norm::vjp(self.at(x), &self.row("gain", gain)?, epsilon, d)?;
                to.add(x, d_x);
                to.add(gain, as_row(d_gain));
                to.add(bias, as_row(d_bias));
            }
            Op::Gather(table, indices) => {
                to.add(*table, embedding::vjp(self.at(*table).nrows(), indices, d)?)
            }
            &Op::Transpose(x) => to.add(x, d.t().as_standard_layout().into_owned()),
            &Op::Reshape(x) => {
                let d =
                    d.to_shape(self.at(x).dim()).expect("a reshape keeps the number of entries").into_owned();
                to.add(x, d);
            }
            &Op::Sum(x) => to.add(x, reduce::sum_vjp(self.at(x).dim(), d[[0, 0]])),
            &Op::Mean(x) => to.add(x, reduce::mean_vjp(self.at(x).dim(), d[[0, 0]])),
        }
        Ok(())
    }
}

fn as_row<F: Scalar>(x: Array1<F>) -> Array2<F> {
    x.insert_axis(Axis(0))
}
