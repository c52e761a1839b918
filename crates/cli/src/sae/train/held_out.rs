//! The measurement of a dictionary on held-out rows while it is trained.

use crate::sae::rows::{Rows, open};
use crate::session::say;
use anyhow::ensure;
use collimate_sae::{Evaluation, Model, SaeError, Training, quantity};
use ndarray::{Array2, s};
use std::path::{Path, PathBuf};

/// The largest number of held-out rows that are measured.
const ROWS: usize = 8192;

/// The options of the measurement.
#[derive(clap::Args)]
pub(super) struct HeldOutOptions {
    /// Also measure on these held-out rows while the run goes on: a folder of shards or a file, of which the first 8192 rows are
    /// taken. The numbers are shown, and written to --metrics.
    #[arg(long, value_name = "PLACE", conflicts_with = "target")]
    held_out: Option<PathBuf>,
    /// The number of updates between two measurements on the held-out rows.
    #[arg(long, value_name = "N", default_value_t = 500, requires = "held_out", value_parser = clap::value_parser!(u64).range(1..))]
    held_out_every: u64,
}

/// Held-out rows.
pub(super) struct HeldOut {
    rows: Array2<f32>,
    every: u64,
}

/// A measurement on held-out rows.
pub(super) struct Measured {
    /// The step.
    pub(super) step: u64,
    /// The share of the variance that is explained, about the mean of the held-out rows; NaN if they are all equal.
    pub(super) explained_variance: f64,
    /// The mean number of active latents.
    pub(super) l0: f64,
}

impl HeldOutOptions {
    /// Returns the place of the held-out rows.
    pub(super) fn place(&self) -> Option<&Path> {
        self.held_out.as_deref()
    }

    /// Reads the held-out rows, which must have the width of the rows that are trained on.
    pub(super) fn open(&self, trained: &Rows) -> anyhow::Result<Option<HeldOut>> {
        let Some(place) = self.place() else { return Ok(None) };
        ensure!(
            trained.widths().len() == 1,
            "--held-out measures dictionaries of one place; a crosscoder has {}",
            trained.widths().len()
        );
        let found = open(place)?;
        ensure!(
            found.width() == trained.width(),
            "{} has rows of width {}, but the training rows have width {}",
            place.display(),
            found.width(),
            trained.width()
        );
        let differences = found.provenance().differences(&trained.provenance());
        if !differences.is_empty() {
            say(&format!(
                "note: {} holds other rows than those trained on: {}",
                place.display(),
                differences.join("; ")
            ));
        }
        let mut rows = Array2::zeros((0, found.width()));
        for block in found.blocks(ROWS) {
            let (block, _) = block?;
            let left = ROWS - rows.nrows();
            rows.append(ndarray::Axis(0), block.slice(s![..block.nrows().min(left), ..]))?;
            if rows.nrows() == ROWS {
                break;
            }
        }
        ensure!(rows.nrows() > 0, "{} has no rows to measure on", place.display());
        Ok(Some(HeldOut { rows, every: self.held_out_every }))
    }
}

impl HeldOut {
    /// Measures the model of a run, if a measurement is due after its last step.
    pub(super) fn measure<M: Model<Precision = f32>>(
        &self,
        run: &Training<M>,
    ) -> Result<Option<Measured>, SaeError> {
        let (step, last) = (run.step(), run.step() == run.config().steps);
        if !step.is_multiple_of(self.every) && !last {
            return Ok(None);
        }
        // Both numbers are the same for scaled rows and a scaled dictionary.
        let scale = run.input_scale().unwrap_or(1.0) as f32;
        let dictionary = run.model().dictionary();
        let mut evaluation = Evaluation::of(dictionary);
        for block in self.rows.axis_chunks_iter(ndarray::Axis(0), 1024) {
            evaluation.push(dictionary, &block.mapv(|v| scale * v))?;
        }
        let value = |of| evaluation.measurement(of).map_or(f64::NAN, |found| found.value);
        Ok(Some(Measured {
            step,
            explained_variance: value(&quantity::EXPLAINED_VARIANCE),
            l0: value(&quantity::L0),
        }))
    }
}

impl Measured {
    /// Returns the measurement in a few words.
    pub(super) fn line(&self) -> String {
        format!("held out at step {}: explained {:.4}, L0 {:.1}", self.step, self.explained_variance, self.l0)
    }

    /// Returns the measurement as a line of JSON.
    pub(super) fn json_line(&self) -> String {
        serde_json::json!({
            "step": self.step,
            "held_out": { "explained_variance": self.explained_variance, "l0": self.l0 },
        })
        .to_string()
    }
}
