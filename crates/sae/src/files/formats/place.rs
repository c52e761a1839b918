//! The files of one dictionary.

use super::json::Config;
use super::refusal::wrong;
use super::tensors::Tensors;
use crate::SaeError;
use std::path::{Path, PathBuf};

/// The names of files of weights, in the order in which a folder is searched. Their content tells the format.
const NAMES: [&str; 9] = [
    "sae_weights.safetensors",
    "sae.safetensors",
    "params.npz",
    "params.safetensors",
    "ae.pt",
    "checkpoints/final.safetensors",
    "final.safetensors",
    "sae.pt",
    "model.safetensors",
];
/// The endings of files that may hold weights.
const ENDINGS: [&str; 6] = ["safetensors", "npz", "pt", "pth", "bin", "ckpt"];
/// The names of files that lie beside the weights of other libraries and hold no dictionary.
const BESIDE: [&str; 3] = ["sparsity.safetensors", "activation_whitening.safetensors", "optimizer.pt"];

/// The file of weights of a dictionary, and the folder in which its configuration lies.
pub(super) struct Place {
    /// The tensors.
    pub(super) tensors: Tensors,
    /// Notes on entries that are not tensors.
    pub(super) notes: Vec<String>,
}

impl Place {
    /// Opens the weights at a path: the file itself, or the file of weights in a folder.
    pub(super) fn open(path: &Path) -> Result<Self, SaeError> {
        if !path.exists() {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such file or folder");
            return Err(SaeError::Io { path: path.to_owned(), source });
        }
        let weights = if path.is_dir() { in_folder(path)? } else { path.to_owned() };
        let tensors = Tensors::open(weights)?;
        let mut notes = tensors.objects()?;
        notes.extend(tensors.notes.iter().cloned());
        Ok(Self { tensors, notes })
    }

    /// Returns a file in the folder of the weights.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.tensors.path.with_file_name(name)
    }

    /// Returns true if there is a file of this name in the folder of the weights.
    pub(super) fn lies_beside(&self, name: &str) -> bool {
        self.beside(name).is_file()
    }

    /// Returns the configuration of this name in the folder of the weights, if there is one.
    pub(super) fn config(&self, name: &str) -> Result<Option<Config>, SaeError> {
        let path = self.beside(name);
        path.is_file().then(|| Config::open(&path)).transpose()
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> SaeError {
        self.tensors.wrong(reason)
    }
}

/// Returns the file of weights in a folder.
fn in_folder(folder: &Path) -> Result<PathBuf, SaeError> {
    if let Some(name) = NAMES.iter().find(|name| folder.join(name).is_file()) {
        return Ok(folder.join(name));
    }
    let io = |source| SaeError::Io { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_file() && ENDINGS.contains(&ending) && !BESIDE.contains(&name) {
            found.push(path);
        }
    }
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(wrong(
            folder,
            "this folder holds no dictionary: looked for sae_weights.safetensors (SAELens) or sae.safetensors (sparsify) \
             beside cfg.json, params.npz or params.safetensors (Gemma Scope), checkpoints/final.safetensors (Llama Scope), ae.pt \
             (dictionary_learning), and a single file of another name",
        )),
        several => {
            let names: Vec<_> = several
                .iter()
                .filter_map(|path| path.file_name())
                .map(|name| name.to_string_lossy())
                .collect();
            Err(wrong(
                folder,
                format!(
                    "this folder holds several files of tensors ({}); name one of them",
                    names.join(", ")
                ),
            ))
        }
    }
}
