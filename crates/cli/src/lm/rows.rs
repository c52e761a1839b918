//! The rows of tokens that a model is trained or measured on.

use anyhow::ensure;
use collimate_stream::RngStream;
use ndarray::{Array2, Array3, ArrayView2, Axis};

/// Tokens in batches.
pub(super) enum Rows {
    /// Batches in a given order, `[steps, b, t + 1]`.
    Given(Array3<u32>),
    /// Rows `[n, t + 1]`, shuffled in each epoch.
    Shuffled { rows: Array2<u32>, batch: usize },
}

impl Rows {
    /// Cuts a long text into rows of `context` + 1 tokens, of which two neighbours share one. The tokens after the last whole row are
    /// left out.
    pub(super) fn cut(ids: &[u32], context: usize, batch: usize, name: &str) -> anyhow::Result<Self> {
        let count = ids.len().saturating_sub(1) / context;
        ensure!(
            count > 0,
            "{name}: {} tokens are fewer than a row of {} needs; choose a smaller --context",
            ids.len(),
            context + 1
        );
        let rows = Array2::from_shape_fn((count, context + 1), |(row, t)| ids[row * context + t]);
        Ok(Self::Shuffled { rows, batch })
    }

    /// Returns the number of steps that the rows prescribe, if they do.
    pub(super) fn steps(&self) -> Option<u64> {
        match self {
            Self::Given(batches) => Some(batches.len_of(Axis(0)) as u64),
            Self::Shuffled { .. } => None,
        }
    }

    /// Returns the first token.
    pub(super) fn first(&self) -> Option<u32> {
        match self {
            Self::Given(batches) => batches.first().copied(),
            Self::Shuffled { rows, .. } => rows.first().copied(),
        }
    }

    /// Returns an error if a token is not in the vocabulary of the model.
    pub(super) fn check(&self, vocabulary: usize) -> anyhow::Result<()> {
        let largest = match self {
            Self::Given(batches) => batches.iter().max(),
            Self::Shuffled { rows, .. } => rows.iter().max(),
        };
        ensure!(
            largest.is_none_or(|&id| (id as usize) < vocabulary),
            "the vocabulary of the model has {vocabulary} words, so {} is no token of it; choose the tokenizer of the model, or a model \
             with a larger vocabulary",
            largest.copied().unwrap_or_default()
        );
        Ok(())
    }

    /// Returns the batches in the order of a training.
    pub(super) fn batches(&self, seed: u64) -> Batches<'_> {
        Batches { rows: self, seed, epoch: None }
    }

    /// Calls `visit` with every batch once, in order.
    pub(super) fn each(
        &self,
        mut visit: impl FnMut(ArrayView2<'_, u32>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self {
            Self::Given(batches) => batches.outer_iter().try_for_each(visit),
            Self::Shuffled { rows, batch } => rows.axis_chunks_iter(Axis(0), *batch).try_for_each(&mut visit),
        }
    }
}

/// The batches of a training, by number.
pub(super) struct Batches<'a> {
    rows: &'a Rows,
    seed: u64,
    /// The order of the rows in the epoch that was asked for last.
    epoch: Option<(u64, Vec<usize>)>,
}

impl Batches<'_> {
    /// Returns a batch, counted from 0. Rows are shuffled by the seed and the number of the epoch alone, so a continued run sees the
    /// batches of an uninterrupted one.
    pub(super) fn get(&mut self, number: u64) -> Array2<u32> {
        match self.rows {
            Rows::Given(batches) => batches.index_axis(Axis(0), number as usize).to_owned(),
            Rows::Shuffled { rows, batch } => {
                let n = rows.nrows() as u64;
                let first = number * *batch as u64;
                let places = (first..first + *batch as u64).map(|index| self.place(index, n));
                rows.select(Axis(0), &places.collect::<Vec<_>>())
            }
        }
    }

    /// Returns the row that is number `index` of all epochs together.
    fn place(&mut self, index: u64, n: u64) -> usize {
        let (epoch, place) = (index / n, (index % n) as usize);
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            let mut stream = RngStream::named(self.seed, "order of the rows").child(epoch);
            self.epoch = Some((epoch, stream.permutation(n as usize)));
        }
        self.epoch.as_ref().map_or(0, |(_, order)| order[place])
    }
}
