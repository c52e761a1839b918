//! The rows and the settings that every measurement of `collimate sae eval` shares.

use crate::sae::rows::Rows;
use crate::session::{Interrupted, Session, Steps};
use collimate_sae::{Evaluation, Usage, WithNull};
use ndarray::{Array1, Array2};
use std::sync::atomic::{AtomicBool, Ordering};

/// The rows of a measurement, and its settings.
pub(super) struct Plan<'a> {
    pub(super) rows: &'a Rows,
    /// The mean of every column, target columns included.
    pub(super) mean: &'a Array1<f32>,
    /// The largest number of rows to measure.
    pub(super) most: u64,
    /// The seed of the null model.
    pub(super) seed: u64,
    pub(super) session: &'a Session,
    /// True as soon as the user wants the measurement to end.
    pub(super) stop: &'a AtomicBool,
}

impl Plan<'_> {
    /// Calls `measure` with blocks of at most `size` rows and the documents of these rows.
    pub(super) fn each_block(
        &self,
        size: usize,
        mut measure: impl FnMut(&Array2<f32>, Option<&[u32]>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let total = self.most.min(self.rows.count());
        let mut steps = Steps::new(self.session, "rows", total);
        let mut done = 0;
        for block in self.rows.blocks(size) {
            let (block, documents) = block?;
            if done >= total {
                break;
            }
            if self.stop.load(Ordering::SeqCst) {
                return Err(Interrupted("interrupted".to_owned()).into());
            }
            measure(&block, documents.as_deref())?;
            done += block.nrows() as u64;
            steps.at(done, "");
        }
        steps.finish();
        Ok(())
    }

    /// Returns the metrics of an evaluation beside those of its null model, and the use of the latents.
    pub(super) fn metrics(
        &self,
        evaluation: &Evaluation,
        null: &Evaluation,
    ) -> anyhow::Result<(Vec<WithNull>, Usage)> {
        let usage = evaluation.usage()?;
        let mut metrics = evaluation.with_null(null);
        if evaluation.sums.active > 0 {
            metrics.extend(usage.with_null(self.seed)?);
        }
        Ok((metrics, usage))
    }
}
