//! The formats of dictionaries whose input has further axes, recognised by the tensors in their files.

use super::super::format::Format;
use super::super::json::Config;
use super::numbered::{self, in_folder};
use crate::SaeError;
use collimate_tensor::files::{Safetensors, TorchFile};
use std::path::{Path, PathBuf};

/// The tensor that only temporal dictionaries have.
const OF_TEMPORAL: &str = "attn_layers.0.c_proj.weight";

/// Tells the format of a file or folder by its tensors; `None` if it is of single rows, or of no known format.
pub(in super::super) fn detect(path: &Path) -> Result<Option<Format>, SaeError> {
    if !path.is_dir() {
        return Ok(of_file(path));
    }
    if is_temporal(path) {
        return Ok(Some(Format::Temporal));
    }
    let single = ["cfg.json", "params.npz", "params.safetensors", "ae.pt"];
    if !single.iter().any(|name| path.join(name).is_file()) {
        for (name, files) in in_folder(path)? {
            let found = files.first().and_then(|(number, file)| of_numbered(&name, number, file));
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    Ok(weights_of(path)?.and_then(|file| of_file(&file)))
}

/// Returns true if a folder holds a temporal dictionary, of its own library or of SAELens.
fn is_temporal(folder: &Path) -> bool {
    let own = ["latest_ckpt.safetensors", "latest_ckpt.pt"].iter().any(|name| folder.join(name).is_file());
    let config = folder.join("cfg.json");
    let saelens = || {
        Config::open(&config)
            .is_ok_and(|config| config.get("architecture").is_some_and(|name| name == "temporal"))
    };
    own || config.is_file() && saelens()
}

/// Returns the file of a folder that may hold a crosscoder: `model.safetensors`, or the torch file if there is exactly one.
pub(super) fn weights_of(folder: &Path) -> Result<Option<PathBuf>, SaeError> {
    let safetensors = folder.join("model.safetensors");
    if safetensors.is_file() {
        return Ok(Some(safetensors));
    }
    let io = |source| SaeError::Io { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "pt" || extension == "pth") && path.is_file()
        {
            found.push(path);
        }
    }
    Ok(found.pop().filter(|_| found.is_empty()))
}

fn of_file(path: &Path) -> Option<Format> {
    let (folder, name) = (path.parent()?, path.file_name()?.to_str()?);
    match path.extension()?.to_str()? {
        "pt" | "pth" => {
            let file = TorchFile::open(path).ok()?;
            let names: Vec<&str> = file.names().collect();
            if names.iter().any(|name| name.ends_with(OF_TEMPORAL)) {
                return Some(Format::Temporal);
            }
            let encoder = names.iter().find(|name| name.ends_with("encoder.weight"))?;
            (file.shape(encoder)?.len() == 3).then_some(Format::Crosscoder)
        }
        "safetensors" => {
            let weights = matches!(name, "sae_weights.safetensors" | "latest_ckpt.safetensors");
            if weights && is_temporal(folder) {
                return Some(Format::Temporal);
            }
            if let Some((name, number)) = numbered::parts(path) {
                return of_numbered(&name, number, path)
                    .filter(|_| !path.with_file_name("cfg.json").is_file());
            }
            let file = Safetensors::open(path).ok()?;
            if file.shape(OF_TEMPORAL).is_some() {
                return Some(Format::Temporal);
            }
            (file.shape("encoder.weight")?.len() == 3).then_some(Format::Crosscoder)
        }
        _ => None,
    }
}

/// Tells the format of a file whose name ends in a number. The name decides only for a file that cannot be opened, so that the reader
/// of its format tells what is wrong with it.
fn of_numbered(name: &str, number: usize, path: &Path) -> Option<Format> {
    let Ok(file) = Safetensors::open(path) else {
        return match name {
            "W_enc" | "W_dec" => Some(Format::CrossLayer),
            "layer" => Some(Format::PerLayer),
            "params_layer" => Some(Format::GemmaScope2CrossLayer),
            _ => None,
        };
    };
    let axes = |name: &str| file.shape(name).map(<[usize]>::len);
    if axes(&format!("W_enc_{number}")).is_some() || axes(&format!("W_dec_{number}")).is_some() {
        Some(Format::CrossLayer)
    } else if axes("w_enc") == Some(2) && axes("w_dec") == Some(3) {
        Some(Format::GemmaScope2CrossLayer)
    } else if axes("W_enc") == Some(2) && axes("W_dec") == Some(2) {
        Some(Format::PerLayer)
    } else {
        None
    }
}
