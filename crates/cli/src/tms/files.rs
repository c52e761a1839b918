//! The files that the commands read and write.

use anyhow::{Context, bail};
use collimate_figures::Figure;
use collimate_output::{Existing, write};
use collimate_tensor::files::read_npy;
use ndarray::{Array2, Ix2};
use std::path::Path;

/// Reads a matrix from an npy file. Its values may be non-finite.
pub(super) fn matrix(file: &Path) -> anyhow::Result<Array2<f64>> {
    let array = read_npy(file)?.to_f64();
    let shape = array.shape().to_vec();
    match array.into_dimensionality::<Ix2>() {
        Ok(matrix) if matrix.is_empty() => {
            bail!(
                "{}: expected a matrix with at least one number, but its shape is {shape:?}",
                file.display()
            )
        }
        Ok(matrix) => Ok(matrix),
        Err(_) => bail!("{}: expected a matrix (two axes), but its shape is {shape:?}", file.display()),
    }
}

/// Creates the folder for figures. Call it before the work whose result the figures show.
pub(super) fn create_folder(folder: Option<&Path>) -> anyhow::Result<()> {
    folder.map_or(Ok(()), |folder| {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))
    })
}

/// Writes figures into an existing folder, and prints their paths.
pub(super) fn write_figures(folder: &Path, figures: &[(&str, Figure)]) -> anyhow::Result<()> {
    for (name, figure) in figures {
        write_text(&folder.join(format!("{name}.svg")), &figure.svg)?;
    }
    Ok(())
}

/// Writes a text, replaces an existing file, and prints the path.
pub(super) fn write_text(path: &Path, text: &str) -> anyhow::Result<()> {
    write(path, Existing::Replace, |out| out.write_all(text.as_bytes()))?;
    println!("{}", path.display());
    Ok(())
}
