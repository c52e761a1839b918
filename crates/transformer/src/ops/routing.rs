//! The choice of experts, and their weights.

use crate::arrays::{Number, RowFunction};
use collimate_tensor::Scalar;
use ndarray::ArrayView2;

/// The weights of the experts from the logits of a router.
pub(crate) struct Routing {
    /// The number of experts that are chosen.
    pub(crate) chosen: usize,
    /// True if the softmax is that over all experts, not that over the chosen ones.
    pub(crate) over_all: bool,
}

impl Routing {
    /// Returns the experts with the largest logits, the largest first; of equal logits the earlier expert.
    fn choose<T: Number>(&self, logits: &[T]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&a, &b| logits[b].plain().total_cmp(&logits[a].plain()).then(a.cmp(&b)));
        order.truncate(self.chosen);
        order
    }

    /// Returns the experts that each row of logits chooses.
    pub(super) fn chosen_rows<F: Scalar + Number>(&self, logits: ArrayView2<'_, F>) -> Vec<Vec<usize>> {
        logits.rows().into_iter().map(|row| self.choose(&row.to_vec())).collect()
    }

    /// Returns the softmax over the experts that it is taken over, with zeros elsewhere, and the chosen experts.
    fn softmax<T: Number>(&self, logits: &[T]) -> (Vec<T>, Vec<usize>) {
        let chosen = self.choose(logits);
        let mut p = vec![T::constant(0.0); logits.len()];
        let top = logits[chosen[0]];
        let over: Vec<usize> = if self.over_all { (0..logits.len()).collect() } else { chosen.clone() };
        let mut sum = T::constant(0.0);
        for &expert in &over {
            p[expert] = (logits[expert] - top).exponential();
            sum = sum + p[expert];
        }
        over.iter().for_each(|&expert| p[expert] = p[expert] / sum);
        (p, chosen)
    }
}

/// The weights of all experts; those that are not chosen have 0.
impl RowFunction<1, 1> for Routing {
    fn run<T: Number>(&self, _: usize, [logits]: [&[T]; 1], [out]: [&mut [T]; 1]) {
        let (p, chosen) = self.softmax(logits);
        out.fill(T::constant(0.0));
        chosen.into_iter().for_each(|expert| out[expert] = p[expert]);
    }
}

/// The gradient by the logits from the logits and the gradient by the weights. The choice itself does not move.
impl RowFunction<2, 1> for Routing {
    fn run<T: Number>(&self, _: usize, [logits, d]: [&[T]; 2], [out]: [&mut [T]; 1]) {
        let (p, chosen) = self.softmax(logits);
        let mean = chosen.iter().fold(T::constant(0.0), |sum, &expert| sum + p[expert] * d[expert]);
        out.iter_mut().zip(&p).for_each(|(out, &p)| *out = -(p * mean));
        chosen.into_iter().for_each(|expert| out[expert] = out[expert] + p[expert] * d[expert]);
    }
}

/// The product of a number and a row.
pub(super) struct RowProducts;

impl RowFunction<2, 1> for RowProducts {
    fn run<T: Number>(&self, _: usize, [factor, x]: [&[T]; 2], [out]: [&mut [T]; 1]) {
        out.iter_mut().zip(x).for_each(|(out, &x)| *out = factor[0] * x);
    }
}

/// The inner product of two rows.
pub(super) struct RowSums;

impl RowFunction<2, 1> for RowSums {
    fn run<T: Number>(&self, _: usize, [a, b]: [&[T]; 2], [out]: [&mut [T]; 1]) {
        out[0] = a.iter().zip(b).fold(T::constant(0.0), |sum, (&a, &b)| sum + a * b);
    }
}
