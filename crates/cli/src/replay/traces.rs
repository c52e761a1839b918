//! The file of a recording.

use anyhow::{Context, Result, ensure};
use collimate_slt::TokenLosses;
use collimate_tensor::files::{FileArray, FileData, Safetensors};
use ndarray::{Array, Array2, Dimension};
use std::path::{Path, PathBuf};

/// A safetensors file of recorded losses.
pub(super) struct Traces {
    path: PathBuf,
    file: Safetensors,
}

impl Traces {
    /// Opens the file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), file: Safetensors::open(path)? })
    }

    /// Reads the losses `[chains, draws, rows, tokens]` of a tensor.
    pub(super) fn losses(&self, name: &str) -> Result<TokenLosses> {
        let losses: Array<f64, ndarray::Ix4> = self.array(name, "[chains, draws, rows, tokens]")?;
        TokenLosses::from_array(&losses).with_context(|| self.place(name))
    }

    /// Reads the losses `RUN.loss_OBSERVABLE` of a run on an observable.
    pub(super) fn observable(&self, run: &str, observable: &str) -> Result<TokenLosses> {
        self.losses(&format!("{run}.loss_{observable}"))
    }

    /// Reads one loss for each draw, `[chains, draws]`.
    pub(super) fn by_draw(&self, name: &str) -> Result<Array2<f64>> {
        self.array(name, "[chains, draws]")
    }

    /// Reads the initial losses and returns their mean.
    pub(super) fn initial(&self, name: &str) -> Result<f64> {
        let losses = self.file.read(name)?.to_f64();
        losses.mean().with_context(|| format!("{} is empty; expected the losses at w*", self.place(name)))
    }

    fn array<D: Dimension>(&self, name: &str, axes: &str) -> Result<Array<f64, D>> {
        let array = self.file.read(name)?.to_f64();
        let shape = array.shape().to_vec();
        array
            .into_dimensionality()
            .ok()
            .with_context(|| format!("{} has the shape {shape:?}; expected {axes}", self.place(name)))
    }

    fn place(&self, name: &str) -> String {
        format!("{}: '{name}'", self.path.display())
    }
}

/// Returns an array for a file, in double precision.
pub(super) fn in_f64<D: Dimension>(array: &Array<f64, D>) -> Result<FileArray> {
    let values = array.iter().copied().collect();
    Ok(FileArray::new(array.shape().to_vec(), FileData::F64(values))?)
}

/// Returns an error unless the names of a list are different and there is one.
pub(super) fn distinct(option: &str, names: &[String]) -> Result<()> {
    ensure!(!names.is_empty(), "{option} names nothing; give at least one name");
    for (index, name) in names.iter().enumerate() {
        ensure!(!names[..index].contains(name), "{option} names '{name}' twice; name it once");
    }
    Ok(())
}
