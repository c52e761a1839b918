use super::tensors::wrong;
use crate::SaeError;
use collimate_tensor::files::{Safetensors, TorchFile};
use std::fmt;
use std::path::{Path, PathBuf};

/// The layouts in which dictionaries are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// One file of [`Sae::save`](crate::Sae::save).
    Collimate,
    /// A folder of SAELens, from version 6 or before.
    SaeLens,
    /// `params.npz` of Gemma Scope.
    GemmaScope,
    /// `config.json` and `params.safetensors` of Gemma Scope 2.
    GemmaScope2,
    /// `cfg.json` and `sae.safetensors` of sparsify.
    Sparsify,
    /// `ae.pt` of dictionary_learning.
    DictionaryLearning,
    /// A `.pt` file of OpenAI's sparse_autoencoder.
    OpenAi,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Collimate,
        Self::SaeLens,
        Self::GemmaScope,
        Self::GemmaScope2,
        Self::Sparsify,
        Self::DictionaryLearning,
        Self::OpenAi,
    ];

    /// Returns the name for options and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Collimate => "collimate",
            Self::SaeLens => "saelens",
            Self::GemmaScope => "gemma-scope",
            Self::GemmaScope2 => "gemma-scope-2",
            Self::Sparsify => "sparsify",
            Self::DictionaryLearning => "dictionary-learning",
            Self::OpenAi => "openai",
        }
    }

    /// Tells the format of a file or folder by the names in it, and for single files by what they hold.
    ///
    /// # Errors
    /// [`SaeError::File`] when it is none of them, with what was looked for; [`SaeError::Format`] for a broken file.
    pub fn detect(path: &Path) -> Result<Self, SaeError> {
        if path.is_dir() {
            let holds = |names: &[&str]| names.iter().all(|name| path.join(name).is_file());
            let found = [
                (Self::SaeLens, &["cfg.json", "sae_weights.safetensors"][..]),
                (Self::Sparsify, &["cfg.json", "sae.safetensors"]),
                (Self::GemmaScope, &["params.npz"]),
                (Self::GemmaScope2, &["params.safetensors"]),
                (Self::DictionaryLearning, &["ae.pt"]),
                (Self::SaeLens, &["cfg.json", "model.safetensors"]),
            ]
            .into_iter()
            .find(|(_, names)| holds(names));
            return found.map(|(format, _)| format).ok_or_else(|| {
                wrong(
                    path,
                    "this folder holds no dictionary: looked for sae_weights.safetensors (SAELens) or sae.safetensors \
                     (sparsify) beside cfg.json, params.npz or params.safetensors (Gemma Scope), and ae.pt \
                     (dictionary_learning)",
                )
            });
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npz") => Ok(Self::GemmaScope),
            Some("pt") => {
                let open_ai = TorchFile::open(path)?.names().any(|name| name == "pre_bias");
                Ok(if open_ai { Self::OpenAi } else { Self::DictionaryLearning })
            }
            Some("safetensors") => match name.as_str() {
                "sae_weights.safetensors" => Ok(Self::SaeLens),
                "sae.safetensors" if path.with_file_name("cfg.json").is_file() => Ok(Self::Sparsify),
                "params.safetensors" => Ok(Self::GemmaScope2),
                _ => {
                    let file = Safetensors::open(path)?;
                    if file.metadata().contains_key("format") {
                        Ok(Self::Collimate)
                    } else if file.shape("W_enc").is_some() {
                        Ok(Self::SaeLens)
                    } else {
                        Err(wrong(
                            path,
                            "its tensors are not those of a dictionary: there is no 'w_enc' or 'W_enc'",
                        ))
                    }
                }
            },
            _ if !path.exists() => {
                let source =
                    std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such file or folder");
                Err(SaeError::Io { path: path.to_owned(), source })
            }
            _ => Err(wrong(
                path,
                "no known dictionary: expected a folder, or a file .safetensors, .npz or .pt",
            )),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the file `name` of a folder, or the path itself if it is a file.
pub(super) fn file_of(path: &Path, name: &str) -> PathBuf {
    if path.is_dir() { path.join(name) } else { path.to_owned() }
}

/// Returns the file `name` of a folder, or the one in the same folder as a file.
pub(super) fn beside(path: &Path, name: &str) -> PathBuf {
    if path.is_dir() { path.join(name) } else { path.with_file_name(name) }
}
