//! Runs between the corrupt and the clean one, with the gradients of the metric.

use super::points::Linearisation;
use crate::error::CircuitError;
use crate::metric::Metric;
use crate::pair::Pair;
use crate::runs::{copies, wide};
use collimate_measure::ensure;
use collimate_tensor::Scalar;
use collimate_transformer::{Capture, HookPoint, Hooks, Model, Precision, PullBack, RunError, Site};
use ndarray::{Array2, Array3, ArrayViewMutD, Axis};

/// Hooks that put a given embedding into each row.
struct Embeddings<F>(Vec<Array2<F>>);

impl<F: Scalar> Hooks<F> for Embeddings<F> {
    fn wants(&self, point: HookPoint) -> bool {
        point == Site::Embedding.of_layer(0)
    }

    fn points(&self) -> Vec<HookPoint> {
        vec![Site::Embedding.of_layer(0)]
    }

    fn at(&mut self, _: HookPoint, mut activation: ArrayViewMutD<'_, F>) {
        for (mut row, embedding) in activation.outer_iter_mut().zip(&self.0) {
            row.assign(embedding);
        }
    }
}

/// The settings of the runs of a pair.
pub(super) struct Slopes<'a> {
    pub(super) pair: &'a Pair,
    pub(super) metric: &'a dyn Metric,
    pub(super) at: Linearisation,
    /// The number of runs that are computed together.
    pub(super) batch: usize,
}

impl Slopes<'_> {
    /// Calls `each` with the gradients, the captured activations and the number of rows of each batch of runs, and returns the number of
    /// all runs. `ends` holds the embeddings `[t, d]` of the corrupt and of the clean run.
    pub(super) fn each<F: Precision>(
        &self,
        model: &Model<F>,
        ends: [&Array2<F>; 2],
        by: &[HookPoint],
        read: &[HookPoint],
        mut each: impl FnMut(&PullBack<F>, &Capture<F>, usize) -> Result<(), CircuitError>,
    ) -> Result<usize, CircuitError> {
        ensure(self.batch > 0, "batch", "at least 1", 0.0)?;
        self.metric.check(model.description().vocabulary)?;
        let points = self.at.points()?;
        let [corrupt, clean] = ends;
        for some in points.chunks(self.batch) {
            let between = |&s: &f64| {
                let (s, rest) = (<F as Scalar>::from_f64(s), <F as Scalar>::from_f64(1.0 - s));
                clean * s + corrupt * rest
            };
            let mut hooks =
                (Embeddings(some.iter().map(between).collect()), Capture::at(read.iter().copied()));
            let input = copies(self.pair.corrupt(), some.len());
            let back = model.pull_back(&input, by, &mut hooks, |logits| self.cotangent(logits))?;
            each(&back, &hooks.1, some.len())?;
        }
        Ok(points.len())
    }

    fn cotangent<F: Precision>(&self, logits: &Array3<F>) -> Array3<F> {
        let mut out = Array3::zeros(logits.dim());
        for (row, mut out) in logits.outer_iter().zip(out.axis_iter_mut(Axis(0))) {
            let gradient = self.metric.gradient(&wide(row));
            out.zip_mut_with(&gradient, |out, &x| *out = <F as Scalar>::from_f64(x));
        }
        out
    }
}

/// Returns the gradient by a point.
pub(super) fn gradient<F: Precision>(
    back: &PullBack<F>,
    point: HookPoint,
) -> Result<&ndarray::ArrayD<F>, CircuitError> {
    back.by_point.get(&point).ok_or(CircuitError::Run(RunError::NotCaptured { point }))
}
