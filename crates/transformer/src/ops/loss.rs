//! The cross-entropy of rows of logits.

use crate::arrays::Number;
use crate::arrays::{Matrix, RowFunction, View, map_rows};
use crate::pass::Real;
use collimate_tensor::log_sum_exp;

/// The mean cross-entropy of the rows that have a target.
pub(crate) struct CrossEntropy<'a> {
    /// The target of each row, or none for a row that does not count.
    pub(crate) targets: &'a [Option<usize>],
}

/// The gradient of the mean by a row of logits: (softmax − one-hot)/n.
impl RowFunction<1, 1> for CrossEntropy<'_> {
    fn run<T: Number>(&self, index: usize, [x]: [&[T]; 1], [out]: [&mut [T]; 1]) {
        let Some(target) = self.targets[index] else {
            out.fill(T::constant(0.0));
            return;
        };
        let most = T::constant(x.iter().fold(f64::NEG_INFINITY, |most, x| most.max(x.plain())));
        let mut sum = T::constant(0.0);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = (x - most).exponential();
            sum = sum + *out;
        }
        let n = T::constant(self.count() as f64);
        for out in out.iter_mut() {
            *out = *out / (sum * n);
        }
        out[target] = out[target] - T::constant(1.0) / n;
    }
}

impl CrossEntropy<'_> {
    /// Returns the number of rows that count.
    pub(crate) fn count(&self) -> usize {
        self.targets.iter().flatten().count()
    }

    /// Returns the loss of each row that counts, in nats.
    pub(crate) fn losses<F: Real>(&self, logits: View<'_, F>) -> Vec<f64> {
        let rows = logits.value.rows();
        let of = |(row, target): (ndarray::ArrayView1<'_, F>, &Option<usize>)| {
            let target = (*target)?;
            let row = row.to_vec();
            Some((log_sum_exp(&row) - row[target]).to_f64())
        };
        rows.into_iter().zip(self.targets).filter_map(of).collect()
    }

    /// Returns the gradient of the mean by the logits, with its derivative along the direction of the logits.
    pub(crate) fn gradient<F: Real>(&self, logits: View<'_, F>) -> Matrix<F> {
        let [out] = map_rows(self, [logits], [logits.value.ncols()]);
        out
    }
}
