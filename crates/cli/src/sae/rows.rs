//! Rows from shards or from files of arrays, several side by side.

use anyhow::{Context, bail, ensure};
use collimate_measure::Fingerprint;
use collimate_sae::shards::{Beside, Shards};
use collimate_sae::{SaeError, epochs};
use collimate_stream::RngStream;
use collimate_studies::real::mean_row;
use collimate_tensor::files::{FileArray, Npz, Safetensors, read_npy};
use ndarray::{Array1, Array2, Axis, concatenate};
use std::path::{Path, PathBuf};

/// Where the rows of a dictionary come from.
#[derive(clap::Args)]
pub(super) struct Place {
    /// The rows: the folder of shards that `collimate activations` wrote, or a file .npy, .npz or .safetensors. Given several
    /// times, the layers of a crosscoder: the same tokens, side by side.
    #[arg(long, value_name = "PLACE", required = true)]
    activations: Vec<PathBuf>,
    /// The name of the array in a file of several; once, or once for each place.
    #[arg(long)]
    key: Vec<String>,
    /// What a transcoder gives for these rows: the same tokens at another place of the model.
    #[arg(long, value_name = "PLACE")]
    target: Option<PathBuf>,
    /// The name of the array in the file of the target.
    #[arg(long, value_name = "KEY", requires = "target")]
    target_key: Option<String>,
}

/// Rows to train on and to measure with: the places side by side, behind them the target.
pub(super) struct Rows {
    source: Source,
    /// Of the places, without the target.
    widths: Vec<usize>,
    /// Of the target, if there is one.
    target: Option<usize>,
}

enum Source {
    /// On disk, with the documents they are from.
    Shards(Beside),
    /// In memory.
    Array(Array2<f32>),
}

/// A block of rows with their documents, if known.
pub(super) type Block = Result<(Array2<f32>, Option<Vec<u32>>), SaeError>;

impl Place {
    /// Opens the shards, or reads the arrays.
    pub(super) fn open(&self) -> anyhow::Result<Rows> {
        let (places, keys) = (&self.activations, &self.key);
        ensure!(
            keys.len() <= 1 || keys.len() == places.len(),
            "{} --key for {} --activations: give one for all, or one for each",
            keys.len(),
            places.len()
        );
        let key = |place: usize| keys.get(place).or_else(|| keys.first().filter(|_| keys.len() == 1));
        let mut all: Vec<(&Path, Option<&str>)> =
            (0..places.len()).map(|i| (places[i].as_path(), key(i).map(String::as_str))).collect();
        all.extend(self.target.iter().map(|target| (target.as_path(), self.target_key.as_deref())));
        let (source, mut widths) = if all.iter().all(|(place, _)| place.is_file()) {
            files(&all)?
        } else {
            let folders =
                all.iter().map(|&(place, key)| shards(place, key)).collect::<Result<Vec<_>, _>>()?;
            let widths = folders.iter().map(Shards::width).collect();
            (Source::Shards(Beside::new(folders)?), widths)
        };
        let target = self.target.as_ref().and_then(|_| widths.pop());
        Ok(Rows { source, widths, target })
    }
}

/// The shards of a folder.
fn shards(place: &Path, key: Option<&str>) -> anyhow::Result<Shards> {
    ensure!(
        !place.is_file(),
        "{} is a file, but other rows lie in a folder: give folders only, or files only",
        place.display()
    );
    ensure!(
        place.join("index").is_file(),
        "{} holds no finished shards: `collimate activations --out {}` writes them; a file of rows (.npy, .npz, \
         .safetensors) will do too",
        place.display(),
        place.display()
    );
    ensure!(key.is_none(), "--key names an array of a file, but {} is a folder", place.display());
    Ok(Shards::open(place)?)
}

/// The rows of some files side by side, and the width of each.
fn files(all: &[(&Path, Option<&str>)]) -> anyhow::Result<(Source, Vec<usize>)> {
    let mut parts: Vec<Array2<f32>> = Vec::with_capacity(all.len());
    for &(place, key) in all {
        let array = array(place, key)?;
        let shape = array.shape();
        let width = shape.last().copied().unwrap_or(0);
        ensure!(
            shape.len() >= 2 && shape.iter().all(|&axis| axis > 0),
            "{}: the array has the shape {shape:?}, but rows are wanted: [rows, width], or more axes in front",
            place.display()
        );
        let rows = flatten(&array, width)?.0.mapv(|v| v as f32);
        if let Some(((row, column), value)) = rows.indexed_iter().find(|(_, v)| !v.is_finite()) {
            bail!("{}: the value at row {row}, column {column} is {value}", place.display());
        }
        if let Some(first) = parts.first() {
            ensure!(
                first.nrows() == rows.nrows(),
                "{}: {} rows, but {} has {}: each row must be of the same token in both",
                place.display(),
                rows.nrows(),
                all[0].0.display(),
                first.nrows()
            );
        }
        parts.push(rows);
    }
    let widths = parts.iter().map(Array2::ncols).collect();
    let rows = match parts.len() {
        1 => parts.swap_remove(0),
        _ => concatenate(Axis(1), &parts.iter().map(|part| part.view()).collect::<Vec<_>>())?,
    };
    Ok((Source::Array(rows), widths))
}

impl Rows {
    /// The widths of the places.
    pub(super) fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// The width of what goes in: that of all places together.
    pub(super) fn width(&self) -> usize {
        self.widths.iter().sum()
    }

    /// The width of the target, if there is one.
    pub(super) fn target(&self) -> Option<usize> {
        self.target
    }

    pub(super) fn count(&self) -> u64 {
        match &self.source {
            Source::Shards(shards) => shards.rows(),
            Source::Array(rows) => rows.nrows() as u64,
        }
    }

    /// Of the content.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        match &self.source {
            Source::Shards(shards) => shards.fingerprint(),
            Source::Array(rows) => {
                let bytes: Vec<u8> = rows.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
                Fingerprint::of(&(rows.ncols() as u64).to_le_bytes()).and(&bytes)
            }
        }
    }

    /// Of every column, those of the target too.
    pub(super) fn mean(&self) -> anyhow::Result<Array1<f32>> {
        Ok(match &self.source {
            Source::Shards(shards) => {
                let means = shards.sets().iter().map(mean_row).collect::<Result<Vec<_>, _>>()?;
                means.into_iter().flatten().collect()
            }
            Source::Array(rows) => {
                let sum = rows.mapv(f64::from).sum_axis(Axis(0));
                sum.mapv(|sum| (sum / rows.nrows() as f64) as f32)
            }
        })
    }

    /// In their order.
    pub(super) fn blocks(&self, size: usize) -> Box<dyn Iterator<Item = Block> + '_> {
        match &self.source {
            Source::Shards(shards) => {
                Box::new(shards.blocks(size).map(|block| block.map(|b| (b.rows, Some(b.documents)))))
            }
            Source::Array(rows) => {
                Box::new(rows.axis_chunks_iter(Axis(0), size).map(|rows| Ok((rows.to_owned(), None))))
            }
        }
    }

    /// In random order, for ever.
    pub(super) fn shuffled(
        &self,
        block: usize,
        order: &mut RngStream,
    ) -> anyhow::Result<Box<dyn Iterator<Item = Result<Array2<f32>, SaeError>> + '_>> {
        Ok(match &self.source {
            Source::Shards(shards) => Box::new(shards.shuffled(1 << 16, block, order)?),
            Source::Array(rows) => Box::new(epochs(rows, block, order).map(Ok)),
        })
    }
}

/// An array of a `.safetensors`, `.npz` or `.npy` file. Without a key it must be the only one.
pub(super) fn array(path: &Path, key: Option<&str>) -> anyhow::Result<FileArray> {
    let only = |names: Vec<&str>| match (key, names.as_slice()) {
        (Some(key), _) => Ok(key.to_owned()),
        (None, [one]) => Ok((*one).to_owned()),
        (None, many) => {
            bail!("{} holds {} arrays ({}): name one with --key", path.display(), many.len(), many.join(", "))
        }
    };
    Ok(match path.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => {
            let file = Safetensors::open(path)?;
            file.read(&only(file.names().collect())?)?
        }
        Some("npz") => {
            let file = Npz::open(path)?;
            file.read(&only(file.names().collect())?)?
        }
        Some("npy") => read_npy(path)?,
        _ => bail!("{}: expected a file .safetensors, .npz or .npy", path.display()),
    })
}

/// The rows of width `d` of an array, and the shape in front of them: the last axes that make up `d` are put side by side.
pub(super) fn flatten(array: &FileArray, d: usize) -> anyhow::Result<(Array2<f64>, Vec<usize>, Vec<usize>)> {
    let shape = array.shape().to_vec();
    let mut width = 1_usize;
    for axis in (0..shape.len()).rev() {
        width = width.saturating_mul(shape[axis]);
        if width == d {
            let rows: usize = shape[..axis].iter().product();
            let values = array.to_f64().into_shape_with_order((rows, d)).context("the rows")?;
            return Ok((values, shape[..axis].to_vec(), shape[axis..].to_vec()));
        }
    }
    bail!("the input has the shape {shape:?}, but the dictionary takes rows of width {d}")
}
