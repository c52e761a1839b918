//! The two runs of a pair, between which gradients are taken.

use crate::error::CircuitError;
use crate::metric::Metric;
use crate::pair::Pair;
use crate::parts::Writer;
use crate::runs::{copies, metrics};
use collimate_transformer::{Capture, Model, Precision};

/// The corrupt and the clean run of a pair, with what every writer writes in them.
pub(super) struct Ends<F> {
    /// The activations of the corrupt run.
    pub(super) before: Capture<F>,
    /// The activations of the clean run.
    pub(super) after: Capture<F>,
    /// The metric of the clean run.
    pub(super) clean: f64,
    /// The metric of the corrupt run.
    pub(super) corrupt: f64,
}

impl<F: Precision> Ends<F> {
    /// Runs the model on both prompts.
    pub(super) fn of(model: &Model<F>, pair: &Pair, metric: &dyn Metric) -> Result<Self, CircuitError> {
        let points = Writer::points(model.description().layers.len());
        let run = |ids: &[u32]| -> Result<(Capture<F>, f64), CircuitError> {
            let mut capture = Capture::at(points.clone());
            let value = metrics(model, &copies(ids, 1), &mut capture, metric)?[0];
            Ok((capture, value))
        };
        let ((after, clean), (before, corrupt)) = (run(pair.clean())?, run(pair.corrupt())?);
        Ok(Self { before, after, clean, corrupt })
    }
}
