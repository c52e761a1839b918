//! The cross-entropy of rows of logits.

use crate::arrays::{Matrix, Number, RowFunction, View, map_rows, sum};
use crate::pass::Real;
use collimate_tensor::log_sum_exp;
use rayon::prelude::*;

/// The mean cross-entropy of the rows that have a target.
pub(crate) struct CrossEntropy<'a> {
    /// The target of each row, or none for a row that does not count.
    targets: &'a [Option<usize>],
    /// The number of rows that count.
    count: usize,
}

/// The gradient of the mean by a row of logits: (softmax − one-hot)/n.
impl RowFunction<1, 1> for CrossEntropy<'_> {
    fn run<T: Number>(&self, index: usize, [x]: [&[T]; 1], [out]: [&mut [T]; 1]) {
        let Some(target) = self.targets[index] else {
            out.fill(T::constant(0.0));
            return;
        };
        let most = T::constant(x.iter().fold(f64::NEG_INFINITY, |most, x| most.max(x.plain())));
        out.iter_mut().zip(x).for_each(|(out, &x)| *out = x - most);
        T::exponentials(out);
        let n = T::constant(self.count as f64);
        let factor = T::constant(1.0) / (T::narrow(sum(out, |x| x.widen())) * n);
        out.iter_mut().for_each(|out| *out = *out * factor);
        out[target] = out[target] - T::constant(1.0) / n;
    }
}

impl<'a> CrossEntropy<'a> {
    /// Returns the loss with the target of each row.
    pub(crate) fn new(targets: &'a [Option<usize>]) -> Self {
        Self::among(targets, targets.iter().flatten().count())
    }

    /// Returns the part of a mean over `count` rows that these rows contribute.
    pub(crate) fn among(targets: &'a [Option<usize>], count: usize) -> Self {
        Self { targets, count }
    }

    /// Returns the loss of each row that counts, in nats.
    pub(crate) fn losses<F: Real>(&self, logits: View<'_, F>) -> Vec<f64> {
        let rows: Vec<_> = logits.value.rows().into_iter().zip(self.targets).collect();
        let of = |(row, target): (ndarray::ArrayView1<'_, F>, &Option<usize>)| {
            let target = (*target)?;
            let row = row.as_standard_layout();
            let row = row.as_slice().expect("standard layout");
            Some((log_sum_exp(row) - row[target]).to_f64())
        };
        rows.into_par_iter().map(of).collect::<Vec<_>>().into_iter().flatten().collect()
    }

    /// Returns the gradient of the mean by the logits, with its derivative along the direction of the logits.
    pub(crate) fn gradient<F: Real>(&self, logits: View<'_, F>) -> Matrix<F> {
        let [out] = map_rows(self, [logits], [logits.value.ncols()]);
        out
    }
}
