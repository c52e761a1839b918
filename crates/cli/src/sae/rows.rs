//! Rows from a file of arrays.

use anyhow::{Context, bail, ensure};
use collimate_sae::shards::Shards;
use collimate_tensor::files::{FileArray, Npz, Safetensors, read_npy};
use ndarray::Array2;
use std::path::Path;

/// The shards of a folder.
pub(super) fn shards(folder: &Path) -> anyhow::Result<Shards> {
    ensure!(
        folder.join("index").is_file(),
        "{} holds no finished shards: `collimate activations --out {}` writes them",
        folder.display(),
        folder.display()
    );
    Ok(Shards::open(folder)?)
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
