//! Files that are either the old or the new ones, never half of each.

use crate::ClaimsError;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Writes a file beside its place and renames it into place.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), ClaimsError> {
    let failed = |source| ClaimsError::File { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&beside);
        failed(source)
    })
}
