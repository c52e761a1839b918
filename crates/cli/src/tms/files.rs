//! The files that the commands read and write.

use crate::session::{check_file, existing};
use anyhow::bail;
use collimate_figures::Figure;
use collimate_output::{check_folder, create_folder, write};
use collimate_tensor::files::read_npy;
use ndarray::{Array2, Ix2};
use std::path::{Path, PathBuf};

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

/// The folder for figures, whose files were tried before the work.
pub(super) struct Figures<'a> {
    folder: &'a Path,
    force: bool,
}

impl<'a> Figures<'a> {
    /// Checks that the figures of these names, and a further file, can be written into the folder. It is created only when the
    /// figures are written.
    pub(super) fn check(
        folder: Option<&'a Path>,
        force: bool,
        names: &[&str],
        further: Option<&str>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(folder) = folder else { return Ok(None) };
        check_folder(folder)?;
        if folder.is_dir() {
            let figures = names.iter().map(|name| format!("{name}.svg"));
            for name in figures.chain(further.map(str::to_owned)) {
                check_file(&folder.join(name), force)?;
            }
        }
        Ok(Some(Self { folder, force }))
    }

    /// Writes figures and a further text, and then prints their paths.
    ///
    /// The paths come last, because a reader that has ended (`| head`) ends the program.
    pub(super) fn write(
        &self,
        figures: &[(&str, Figure)],
        further: Option<(&str, String)>,
    ) -> anyhow::Result<()> {
        create_folder(self.folder)?;
        let figures = figures.iter().map(|(name, figure)| (format!("{name}.svg"), figure.svg.as_str()));
        let further = further.as_ref().map(|(name, text)| ((*name).to_owned(), text.as_str()));
        let files: Vec<(PathBuf, &str)> =
            figures.chain(further).map(|(name, text)| (self.folder.join(name), text)).collect();
        for (path, text) in &files {
            write(path, existing(self.force), |out| out.write_all(text.as_bytes()))?;
        }
        files.iter().for_each(|(path, _)| println!("{}", path.display()));
        Ok(())
    }
}
