//! Files and folders that are complete or absent.

mod files;
mod folders;
mod inputs;
mod locks;

use std::path::Path;

/// Returns the names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
