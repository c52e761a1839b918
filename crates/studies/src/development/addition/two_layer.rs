use super::cross_entropy::{Entropy, replace_by_gradient};
use super::network::{AdditionNetwork, product, resize};
use crate::development::numbers::Numbers;
use collimate_tensor::{Scalar, axpy};
use ndarray::Array2;
use rayon::prelude::*;

/// The nonlinearity of the hidden units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// The function x².
    Square,
    /// The function `max(x, 0)`.
    Relu,
}

/// The network `logits = f(A_a + B_b) Wᵀ` without biases.
///
/// # Shapes
/// A, B and W are `[p, width]`.
pub(super) struct TwoLayer<F> {
    unit: Unit,
    /// A, B and W.
    tensors: [Array2<F>; 3],
    /// The inputs of the units, `[n, width]`.
    inputs: Array2<F>,
    /// The outputs of the units, `[n, width]`.
    hidden: Array2<F>,
    /// The logits, then their gradient, `[n, p]`.
    logits: Array2<F>,
}

impl<F: Scalar> TwoLayer<F> {
    /// Draws the weights: normal numbers of variance 1/width.
    pub(super) fn new(unit: Unit, modulus: usize, width: usize, seed: u64, numbers: Numbers) -> Self {
        let deviation = 1.0 / (width as f64).sqrt();
        let first = seed.wrapping_mul(1_000_003);
        let tensors = [0, 1, 2].map(|i| numbers.normals(first.wrapping_add(i), (modulus, width), deviation));
        let empty = || Array2::zeros((0, 0));
        Self { unit, tensors, inputs: empty(), hidden: empty(), logits: empty() }
    }

    /// Computes the logits of pairs.
    fn forward(&mut self, pairs: &[[usize; 2]]) {
        let [left, right, out] = &self.tensors;
        let (n, width) = (pairs.len(), left.ncols());
        resize(&mut self.inputs, n, width);
        resize(&mut self.hidden, n, width);
        resize(&mut self.logits, n, out.nrows());
        let unit = self.unit;
        let inputs = self.inputs.as_slice_mut().expect("standard layout").par_chunks_mut(width);
        let hidden = self.hidden.as_slice_mut().expect("standard layout").par_chunks_mut(width);
        inputs.zip(hidden).zip(pairs).for_each(|((inputs, hidden), &[a, b])| {
            for (((input, hidden), &a), &b) in
                inputs.iter_mut().zip(hidden).zip(left.row(a)).zip(right.row(b))
            {
                *input = a + b;
                *hidden = match unit {
                    Unit::Square => *input * *input,
                    Unit::Relu => input.max(F::zero()),
                };
            }
        });
        product(&self.hidden, &out.t(), &mut self.logits);
    }
}

impl<F: Scalar> AdditionNetwork<F> for TwoLayer<F> {
    fn tensors(&self) -> &[Array2<F>] {
        &self.tensors
    }

    fn tensors_mut(&mut self) -> &mut [Array2<F>] {
        &mut self.tensors
    }

    fn gradient(&mut self, pairs: &[[usize; 2]], sums: &[usize], gradient: &mut [Array2<F>]) -> Entropy {
        self.forward(pairs);
        let entropy = replace_by_gradient(&mut self.logits, sums);
        let [left, right, out] = gradient else { panic!("one gradient for each tensor") };
        product(&self.logits.t(), &self.hidden, out);
        // The outputs of the units are not needed any more.
        product(&self.logits, &self.tensors[2], &mut self.hidden);
        let two = F::from_f64(2.0);
        for (slope, &input) in self.hidden.iter_mut().zip(&self.inputs) {
            *slope *= match self.unit {
                Unit::Square => two * input,
                Unit::Relu if input > F::zero() => F::one(),
                Unit::Relu => F::zero(),
            };
        }
        left.fill(F::zero());
        right.fill(F::zero());
        for (row, &[a, b]) in self.hidden.rows().into_iter().zip(pairs) {
            let row = row.to_slice().expect("standard layout");
            axpy(F::one(), row, left.row_mut(a).into_slice().expect("standard layout"));
            axpy(F::one(), row, right.row_mut(b).into_slice().expect("standard layout"));
        }
        entropy
    }

    fn entropy(&mut self, pairs: &[[usize; 2]], sums: &[usize]) -> Entropy {
        self.forward(pairs);
        replace_by_gradient(&mut self.logits, sums)
    }
}
