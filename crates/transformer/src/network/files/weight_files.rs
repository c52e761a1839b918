//! The tensors of a folder: one safetensors file, or several with an index.

use crate::error::ModelFileError;
use collimate_tensor::files::{FileArray, FileError, Safetensors, StoredMatrix};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The open weight files of a model.
pub(super) struct WeightFiles {
    files: Vec<Safetensors>,
    /// The file of each tensor.
    places: BTreeMap<String, usize>,
}

impl WeightFiles {
    /// Opens `model.safetensors`, or the parts that `model.safetensors.index.json` names.
    pub(super) fn open(folder: &Path) -> Result<Self, ModelFileError> {
        let (single, index) = (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
        if !index.is_file() {
            let file = Safetensors::open(&single)?;
            let places = file.names().map(|name| (name.to_owned(), 0)).collect();
            return Ok(Self { files: vec![file], places });
        }
        let text = read_text(&index)?;
        let broken = |what: &str| ModelFileError::Configuration(format!("{}: {what}", index.display()));
        let value: Value =
            serde_json::from_str(&text).map_err(|error| broken(&format!("is not JSON: {error}")))?;
        let map = value
            .get("weight_map")
            .and_then(Value::as_object)
            .ok_or_else(|| broken("has no `weight_map`"))?;
        let mut names: Vec<&str> = Vec::new();
        for (tensor, part) in map {
            let part = part.as_str().ok_or_else(|| broken(&format!("names no file for '{tensor}'")))?;
            if Path::new(part).components().count() != 1 || part.contains(['/', '\\']) {
                return Err(broken(&format!("'{part}' is no name of a file in the same folder")));
            }
            if !names.contains(&part) {
                names.push(part);
            }
        }
        let files: Vec<Safetensors> =
            names.iter().map(|part| Safetensors::open(folder.join(part))).collect::<Result<_, _>>()?;
        let mut places = BTreeMap::new();
        for (number, file) in files.iter().enumerate() {
            for tensor in file.names() {
                if map.get(tensor).and_then(Value::as_str) != Some(names[number]) {
                    return Err(broken(&format!("does not say that '{tensor}' is in {}", names[number])));
                }
                places.insert(tensor.to_owned(), number);
            }
        }
        match map.keys().find(|tensor| !places.contains_key(*tensor)) {
            Some(tensor) => Err(broken(&format!("lists '{tensor}', which its file does not hold"))),
            None => Ok(Self { files, places }),
        }
    }

    /// Returns the shapes of all tensors.
    pub(super) fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let shape = |name: &str, file: usize| self.files[file].shape(name).unwrap_or_default().to_vec();
        self.places.iter().map(|(name, &file)| (name.clone(), shape(name, file))).collect()
    }

    /// Reads a matrix without expanding it.
    pub(super) fn read_stored(&self, name: &str) -> Result<StoredMatrix, FileError> {
        self.files[self.places.get(name).copied().unwrap_or_default()].read_stored(name)
    }

    /// Reads a tensor.
    pub(super) fn read(&self, name: &str) -> Result<FileArray, FileError> {
        self.files[self.places.get(name).copied().unwrap_or_default()].read(name)
    }
}

/// The largest configuration that is read, in bytes.
const LARGEST_TEXT: u64 = 16 << 20;

/// Reads a small text file.
pub(super) fn read_text(path: &Path) -> Result<String, ModelFileError> {
    let failed =
        |what: String| ModelFileError::Configuration(format!("{}: {what}", PathBuf::from(path).display()));
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > LARGEST_TEXT {
        return Err(failed(format!("has {size} bytes, but a configuration has at most {LARGEST_TEXT}")));
    }
    std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))
}
