//! The rows of tokens that a model is trained or measured on.

use anyhow::{Context, bail, ensure};
use collimate_stream::RngStream;
use collimate_tensor::files::{FileArray, read_npy};
use ndarray::{Array2, Array3, ArrayView2, Axis};
use std::path::{Path, PathBuf};

/// The options that name tokens.
#[derive(clap::Args)]
pub(crate) struct RowOptions {
    /// Batches that are used in their order: a .npy file of whole numbers [steps, b, t + 1].
    #[arg(long, value_name = "FILE", conflicts_with = "tokens", required_unless_present = "tokens")]
    batches: Option<PathBuf>,
    /// A long text as tokens: a .npy file of whole numbers [n]. It is cut into rows of --context + 1 tokens, of which two neighbours share
    /// one, and the order of the rows is shuffled in each epoch.
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// The number of tokens in a row that predict the next one; needed with --tokens.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), requires = "tokens")]
    context: Option<u32>,
    /// The number of rows in a batch.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..), requires = "tokens")]
    batch: u32,
}

/// Tokens in batches.
pub(super) enum Rows {
    /// Batches in a given order, `[steps, b, t + 1]`.
    Given(Array3<u32>),
    /// Rows `[n, t + 1]`, shuffled in each epoch.
    Shuffled { rows: Array2<u32>, batch: usize },
}

impl RowOptions {
    /// Returns the files that are read.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> + Clone {
        self.batches.iter().chain(&self.tokens).map(PathBuf::as_path)
    }

    /// Returns these options with another file of tokens.
    pub(super) fn with_tokens(&self, path: &Path) -> Self {
        Self { batches: None, tokens: Some(path.to_owned()), ..*self }
    }

    /// Reads the tokens.
    pub(super) fn read(&self) -> anyhow::Result<Rows> {
        if let Some(path) = &self.batches {
            let ids = ids(path)?;
            let shape: [usize; 3] = ids.shape().try_into().ok().with_context(|| {
                format!("{}: batches have the axes [steps, b, t + 1], not {:?}", path.display(), ids.shape())
            })?;
            ensure!(
                shape[0] > 0 && shape[1] > 0 && shape[2] > 1,
                "{}: batches of the shape {shape:?} hold no token that predicts another",
                path.display()
            );
            return Ok(Rows::Given(ids.into_dimensionality().expect("three axes")));
        }
        let path = self.tokens.as_ref().context("give --batches or --tokens")?;
        let context =
            self.context.context("--tokens needs --context, the number of tokens in a row")? as usize;
        let ids = ids(path)?;
        ensure!(ids.ndim() == 1, "{}: a text has the axis [n], not {:?}", path.display(), ids.shape());
        let ids: Vec<u32> = ids.into_iter().collect();
        let count = ids.len().saturating_sub(1) / context;
        ensure!(
            count > 0,
            "{}: {} tokens are fewer than a row of {} needs; choose a smaller --context",
            path.display(),
            ids.len(),
            context + 1
        );
        let rows = Array2::from_shape_fn((count, context + 1), |(row, t)| ids[row * context + t]);
        Ok(Rows::Shuffled { rows, batch: self.batch as usize })
    }
}

/// Reads whole numbers that are ids.
fn ids(path: &Path) -> anyhow::Result<ndarray::ArrayD<u32>> {
    let array: FileArray = read_npy(path)?;
    let whole = array.to_i64().with_context(|| format!("{}: tokens are whole numbers", path.display()))?;
    match whole.iter().find(|&&id| u32::try_from(id).is_err()) {
        Some(id) => bail!("{}: {id} is no token id", path.display()),
        None => Ok(whole.mapv(|id| id as u32)),
    }
}

impl Rows {
    /// Returns the number of steps that the rows prescribe, if they do.
    pub(super) fn steps(&self) -> Option<u64> {
        match self {
            Self::Given(batches) => Some(batches.len_of(Axis(0)) as u64),
            Self::Shuffled { .. } => None,
        }
    }

    /// Returns the batch of a step, counted from 0. Rows are shuffled by the seed and the number of the epoch alone, so a continued run
    /// sees the batches of an uninterrupted one.
    pub(super) fn batch(&self, step: u64, seed: u64) -> Array2<u32> {
        match self {
            Self::Given(batches) => batches.index_axis(Axis(0), step as usize).to_owned(),
            Self::Shuffled { rows, batch } => {
                let n = rows.nrows() as u64;
                let first = step * *batch as u64;
                let mut order: Option<(u64, Vec<usize>)> = None;
                let chosen: Vec<usize> = (first..first + *batch as u64)
                    .map(|index| {
                        let (epoch, place) = (index / n, (index % n) as usize);
                        let current = order.as_ref().is_some_and(|(known, _)| *known == epoch);
                        if !current {
                            let mut stream = RngStream::named(seed, "order of the rows").child(epoch);
                            order = Some((epoch, stream.permutation(n as usize)));
                        }
                        order.as_ref().map_or(0, |(_, order)| order[place])
                    })
                    .collect();
                rows.select(Axis(0), &chosen)
            }
        }
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
