use super::attention_table::{AttentionGradient, AttentionTable, HEADS};
use super::cross_entropy::{Entropy, replace_by_gradient};
use super::network::{AdditionNetwork, add_product, place, product, resize};
use crate::development::numbers::Numbers;
use collimate_tensor::Scalar;
use ndarray::Array2;
use rayon::prelude::*;

/// A transformer of one layer on the tokens a, b and "=", without norms and biases, whose answer is read at the last token.
///
/// Only the last token asks a question, so there is one query, and a key and a value for each number at each of two places and for "=".
/// The products of attention are computed for these 2p + 1 rows and not for each pair.
///
/// # Shapes
/// Embedding `[p + 1, d]`, positions `[3, d]`, query, key, value and output `[d, d]`, up `[4 d, d]`, down `[d, 4 d]`, unembedding `[p, d]`.
pub(super) struct OneLayer<F> {
    tensors: Vec<Array2<F>>,
    /// The stream before the MLP, `[n, d]`.
    middle: Array2<F>,
    /// The neurons, `[n, 4 d]`.
    neurons: Array2<F>,
    /// The stream after the MLP, `[n, d]`, then its gradient.
    last: Array2<F>,
    /// The logits, then their gradient, `[n, p]`.
    logits: Array2<F>,
    /// The gradient by the neurons, `[n, 4 d]`.
    d_neurons: Array2<F>,
    /// The weights of attention, `[n, 3 heads]`.
    shares: Array2<F>,
}

impl<F: Scalar> OneLayer<F> {
    /// Draws the weights: normal numbers of variance 1/inputs, and 1/d in the tables.
    pub(super) fn new(modulus: usize, width: usize, seed: u64, numbers: Numbers) -> Self {
        let (p, d) = (modulus, width);
        let square = (d, d);
        let shapes = [(p + 1, d), (3, d), square, square, square, square, (4 * d, d), (d, 4 * d), (p, d)];
        let first = seed.wrapping_mul(1_000_003);
        let tensors = shapes.iter().enumerate().map(|(i, &shape)| {
            numbers.normals(first.wrapping_add(i as u64), shape, 1.0 / (shape.1 as f64).sqrt())
        });
        let tensors = tensors.collect();
        let [middle, neurons, last, logits, d_neurons, shares] = [(); 6].map(|()| Array2::zeros((0, 0)));
        Self { tensors, middle, neurons, last, logits, d_neurons, shares }
    }

    /// Computes the logits of pairs.
    fn forward(&mut self, pairs: &[[usize; 2]]) -> AttentionTable<F> {
        let (n, d) = (pairs.len(), self.tensors[place::QUERY].nrows());
        let p = self.tensors[place::UNEMBEDDING].nrows();
        resize(&mut self.middle, n, d);
        resize(&mut self.last, n, d);
        resize(&mut self.neurons, n, 4 * d);
        resize(&mut self.logits, n, p);
        resize(&mut self.shares, n, 3 * HEADS);
        let table = AttentionTable::new(&self.tensors);
        table.stream_into(pairs, &mut self.shares, &mut self.middle);
        product(&self.middle, &self.tensors[place::UP].t(), &mut self.neurons);
        let neurons = self.neurons.as_slice_mut().expect("standard layout").par_chunks_mut(4 * d);
        neurons.for_each(|row| row.iter_mut().for_each(|x| *x = x.max(F::zero())));
        self.last.assign(&self.middle);
        add_product(&self.neurons, &self.tensors[place::DOWN].t(), &mut self.last);
        product(&self.last, &self.tensors[place::UNEMBEDDING].t(), &mut self.logits);
        table
    }
}

impl<F: Scalar> AdditionNetwork<F> for OneLayer<F> {
    fn tensors(&self) -> &[Array2<F>] {
        &self.tensors
    }

    fn tensors_mut(&mut self) -> &mut [Array2<F>] {
        &mut self.tensors
    }

    fn gradient(&mut self, pairs: &[[usize; 2]], sums: &[usize], gradient: &mut [Array2<F>]) -> Entropy {
        let table = self.forward(pairs);
        let entropy = replace_by_gradient(&mut self.logits, sums);
        product(&self.logits.t(), &self.last, &mut gradient[place::UNEMBEDDING]);
        // From here on `last` is the gradient by the stream.
        product(&self.logits, &self.tensors[place::UNEMBEDDING], &mut self.last);
        product(&self.last.t(), &self.neurons, &mut gradient[place::DOWN]);
        resize(&mut self.d_neurons, pairs.len(), self.neurons.ncols());
        product(&self.last, &self.tensors[place::DOWN], &mut self.d_neurons);
        let columns = self.neurons.ncols();
        let slopes = self.d_neurons.as_slice_mut().expect("standard layout").par_chunks_mut(columns);
        let neurons = self.neurons.as_slice().expect("standard layout").par_chunks(columns);
        slopes.zip(neurons).for_each(|(slopes, neurons)| {
            for (slope, &x) in slopes.iter_mut().zip(neurons) {
                *slope = if x > F::zero() { *slope } else { F::zero() };
            }
        });
        product(&self.d_neurons.t(), &self.middle, &mut gradient[place::UP]);
        add_product(&self.d_neurons, &self.tensors[place::UP], &mut self.last);
        AttentionGradient::of(&table, pairs, &self.shares, &self.last).write(&table, &self.tensors, gradient);
        entropy
    }

    fn entropy(&mut self, pairs: &[[usize; 2]], sums: &[usize]) -> Entropy {
        self.forward(pairs);
        replace_by_gradient(&mut self.logits, sums)
    }
}
