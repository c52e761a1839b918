//! Runs of one sequence, or of copies of it in a batch.

use crate::error::CircuitError;
use crate::metric::Metric;
use collimate_tensor::Scalar;
use collimate_transformer::{Hooks, Input, Model, Precision, Run};
use ndarray::{Array2, ArrayView2};

/// Returns a batch of `rows` copies of a sequence.
pub(crate) fn copies(ids: &[u32], rows: usize) -> Input {
    Input::new(Array2::from_shape_fn((rows, ids.len()), |(_, t)| ids[t]))
}

/// Returns an array in f64.
pub(crate) fn wide<F: Scalar>(x: ArrayView2<'_, F>) -> Array2<f64> {
    x.map(|&x| Scalar::to_f64(x))
}

/// Computes the metric of each row of a batch.
pub(crate) fn metrics<'a, F: Precision>(
    model: &Model<F>,
    run: impl Into<Run<'a, F>>,
    hooks: &mut dyn Hooks<F>,
    metric: &dyn Metric,
) -> Result<Vec<f64>, CircuitError> {
    metric.check(model.description().vocabulary)?;
    let logits = model.logits(run, hooks)?;
    Ok(logits.outer_iter().map(|row| metric.value(&wide(row))).collect())
}
