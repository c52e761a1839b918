//! The files of a folder that end in a number, one for each layer.

use super::super::refusal::wrong;
use super::super::tensors::Tensors;
use crate::SaeError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files `NAME_N.safetensors` of one name, by their number.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbered {
    files: BTreeMap<usize, PathBuf>,
}

/// Returns the name and the number of a file `NAME_N.safetensors`.
pub(super) fn parts(path: &Path) -> Option<(String, usize)> {
    if path.extension()? != "safetensors" {
        return None;
    }
    let (name, number) = path.file_stem()?.to_str()?.rsplit_once('_')?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((name.to_owned(), digits.then(|| number.parse().ok())??))
}

/// Finds the numbered files of a folder.
pub(super) fn in_folder(folder: &Path) -> Result<BTreeMap<String, Numbered>, SaeError> {
    let io = |source| SaeError::Io { path: folder.to_owned(), source };
    let mut found: BTreeMap<String, Numbered> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let Some((name, number)) = parts(&path).filter(|_| path.is_file()) else { continue };
        if let Some(twin) = found.entry(name).or_default().files.insert(number, path.clone()) {
            let twin = twin.file_name().unwrap_or_default().to_string_lossy().into_owned();
            return Err(wrong(&path, format!("this file and {twin} have the same number")));
        }
    }
    Ok(found)
}

impl Numbered {
    /// Returns the file with the smallest number.
    pub(super) fn first(&self) -> Option<(usize, &Path)> {
        self.files.first_key_value().map(|(number, path)| (*number, path.as_path()))
    }

    /// Returns the number of layers that the largest number implies.
    pub(super) fn layers(&self) -> usize {
        self.files.last_key_value().map_or(0, |(number, _)| number.saturating_add(1))
    }

    /// Returns the number of files.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Opens the file of every layer from 0. Nothing is read but the headers.
    ///
    /// # Errors
    /// [`SaeError::File`] naming the first file that is missing.
    pub(super) fn open(&self, folder: &Path, name: &str, layers: usize) -> Result<Vec<Tensors>, SaeError> {
        let mut all = Vec::new();
        for layer in 0..layers {
            let Some(path) = self.files.get(&layer) else {
                let what = format!(
                    "{name}_{layer}.safetensors is missing: there are files up to layer {}, and every layer from 0 needs its own; \
                     download the missing ones",
                    layers - 1
                );
                return Err(wrong(folder, what));
            };
            all.push(Tensors::open(path.clone())?);
        }
        Ok(all)
    }
}
