use collimate_tensor::{Scalar, exp_in_place, log_softmax_in_place};
use ndarray::Array2;
use rayon::prelude::*;

/// The mean cross-entropy of rows of logits, and the share of right answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Entropy {
    /// The mean loss in nats.
    pub(super) loss: f64,
    /// The share of rows whose target has the largest logit. Of equal logits the first one is the answer.
    pub(super) accuracy: f64,
}

/// Replaces logits by the gradient of the mean cross-entropy.
///
/// # Shapes
/// `logits` `[n, classes]`, `targets` `[n]`.
pub(super) fn replace_by_gradient<F: Scalar>(logits: &mut Array2<F>, targets: &[usize]) -> Entropy {
    let (n, classes) = logits.dim();
    let scale = F::from_f64(1.0 / n as f64);
    let rows = logits.as_slice_mut().expect("standard layout").par_chunks_mut(classes).zip(targets);
    let each: Vec<(f64, bool)> = rows
        .map(|(row, &target)| {
            let top = row.iter().fold(F::neg_infinity(), |top, &x| top.max(x));
            let right = row.iter().position(|&x| x == top) == Some(target);
            log_softmax_in_place(row);
            let loss = -row[target].to_f64();
            exp_in_place(row);
            row[target] -= F::one();
            row.iter_mut().for_each(|x| *x *= scale);
            (loss, right)
        })
        .collect();
    let right = each.iter().filter(|(_, right)| *right).count();
    Entropy {
        loss: each.iter().map(|(loss, _)| loss).sum::<f64>() / n as f64,
        accuracy: right as f64 / n as f64,
    }
}
