//! Rows from shards or from a file of arrays.

use anyhow::{Context, bail, ensure};
use collimate_measure::Fingerprint;
use collimate_sae::shards::Shards;
use collimate_sae::{SaeError, epochs};
use collimate_stream::Stream;
use collimate_studies::real::mean_row;
use collimate_tensor::files::{FileArray, Npz, Safetensors, read_npy};
use ndarray::{Array1, Array2, Axis};
use std::path::{Path, PathBuf};

/// Where the rows of a dictionary come from.
#[derive(clap::Args)]
pub(super) struct Place {
    /// The rows: the folder of shards that `collimate activations` wrote, or a file .npy, .npz or .safetensors.
    #[arg(long, value_name = "PLACE")]
    activations: PathBuf,
    /// The name of the array in a file of several.
    #[arg(long)]
    key: Option<String>,
}

/// Rows to train on and to measure with.
pub(super) enum Rows {
    /// On disk, with the documents they are from.
    Shards(Shards),
    /// In memory.
    Array(Array2<f32>),
}

/// A block of rows with their documents, if known.
pub(super) type Block = Result<(Array2<f32>, Option<Vec<u32>>), SaeError>;

impl Place {
    /// Opens the shards, or reads the array.
    pub(super) fn open(&self) -> anyhow::Result<Rows> {
        let place = &self.activations;
        if !place.is_file() {
            ensure!(
                place.join("index").is_file(),
                "{} holds no finished shards: `collimate activations --out {}` writes them; a file of rows (.npy, .npz, \
                 .safetensors) will do too",
                place.display(),
                place.display()
            );
            ensure!(
                self.key.is_none(),
                "--key names an array of a file, but {} is a folder",
                place.display()
            );
            return Ok(Rows::Shards(Shards::open(place)?));
        }
        let array = array(place, self.key.as_deref())?;
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
        Ok(Rows::Array(rows))
    }
}

impl Rows {
    pub(super) fn width(&self) -> usize {
        match self {
            Rows::Shards(shards) => shards.width(),
            Rows::Array(rows) => rows.ncols(),
        }
    }

    pub(super) fn count(&self) -> u64 {
        match self {
            Rows::Shards(shards) => shards.rows(),
            Rows::Array(rows) => rows.nrows() as u64,
        }
    }

    /// Of the content.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        match self {
            Rows::Shards(shards) => shards.fingerprint(),
            Rows::Array(rows) => {
                let bytes: Vec<u8> = rows.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
                Fingerprint::of(&(rows.ncols() as u64).to_le_bytes()).and(&bytes)
            }
        }
    }

    pub(super) fn mean(&self) -> anyhow::Result<Array1<f32>> {
        Ok(match self {
            Rows::Shards(shards) => mean_row(shards)?,
            Rows::Array(rows) => {
                let sum = rows.mapv(f64::from).sum_axis(Axis(0));
                sum.mapv(|sum| (sum / rows.nrows() as f64) as f32)
            }
        })
    }

    /// In their order.
    pub(super) fn blocks(&self, size: usize) -> Box<dyn Iterator<Item = Block> + '_> {
        match self {
            Rows::Shards(shards) => {
                Box::new(shards.blocks(size).map(|block| block.map(|b| (b.rows, Some(b.documents)))))
            }
            Rows::Array(rows) => {
                Box::new(rows.axis_chunks_iter(Axis(0), size).map(|rows| Ok((rows.to_owned(), None))))
            }
        }
    }

    /// In random order, for ever.
    pub(super) fn shuffled(
        &self,
        block: usize,
        order: &mut Stream,
    ) -> anyhow::Result<Box<dyn Iterator<Item = Result<Array2<f32>, SaeError>> + '_>> {
        Ok(match self {
            Rows::Shards(shards) => Box::new(shards.shuffled(1 << 16, block, order)?),
            Rows::Array(rows) => Box::new(epochs(rows, block, order).map(Ok)),
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
