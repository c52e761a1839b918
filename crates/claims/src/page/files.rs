//! The report as files.

use super::summary::Page;
use crate::error::ClaimsError;
use collimate_output::Existing;
use std::path::{Path, PathBuf};

impl Page<'_> {
    /// Writes the three files into a folder, which is created if it is missing, and returns their paths.
    ///
    /// # Errors
    /// [`ClaimsError::File`] for the folder; [`ClaimsError::Output`] for a file.
    pub fn write(&self, folder: &Path) -> Result<[PathBuf; 3], ClaimsError> {
        let paths = ["claims.json", "claims.md", "report.html"].map(|name| folder.join(name));
        let failed = |source| ClaimsError::File { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        for (path, text) in paths.iter().zip([self.json(), self.markdown(), self.html()]) {
            write(path, &text)?;
        }
        Ok(paths)
    }

    /// Writes only the JSON.
    ///
    /// # Errors
    /// [`ClaimsError::Output`].
    pub fn write_json(&self, path: &Path) -> Result<(), ClaimsError> {
        write(path, &self.json())
    }
}

fn write(path: &Path, text: &str) -> Result<(), ClaimsError> {
    Ok(collimate_output::write(path, Existing::Replace, |out| out.write_all(text.as_bytes()))?)
}
