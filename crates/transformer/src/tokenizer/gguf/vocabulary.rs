use super::super::pipeline::{Steps, Tokenizer};
use super::super::special::SpecialIds;
use crate::error::ModelFileError;
use crate::metadata::unusable;
use collimate_tensor::files::{Gguf, GgufValue};
use std::collections::{BTreeMap, HashMap};
use tokenizers::AddedToken;

/// The type of a piece, as the list `tokenizer.ggml.token_type` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceType {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// The default ids of tokens with a role, for files that do not name them.
#[derive(Clone, Copy, Default)]
pub(super) struct Defaults {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) unk: Option<u32>,
    pub(super) sep: Option<u32>,
    pub(super) pad: Option<u32>,
    pub(super) mask: Option<u32>,
}

/// The vocabulary of a file.
pub(super) struct Vocabulary<'a> {
    file: &'a Gguf,
    pub(super) pieces: Vec<String>,
    pub(super) types: Vec<PieceType>,
    pub(super) ids: SpecialIds,
}

impl<'a> Vocabulary<'a> {
    /// Reads the pieces with their types, and the ids with a role.
    pub(super) fn read(file: &'a Gguf, defaults: Defaults) -> Result<Self, ModelFileError> {
        let mut pieces = texts(file, "tokenizer.ggml.tokens")?.to_vec();
        if u32::try_from(pieces.len()).is_err() {
            return Err(ModelFileError::Tokenizer(format!("{} pieces are more than ids", pieces.len())));
        }
        for (id, piece) in pieces.iter_mut().enumerate().filter(|(_, piece)| piece.is_empty()) {
            *piece = format!("[EMPTY_{id}]");
        }
        let role = |name: &str, default: Option<u32>| {
            let key = format!("tokenizer.ggml.{name}_token_id");
            match file.value(&key) {
                None => Ok(default.filter(|&id| (id as usize) < pieces.len())),
                Some(value) => value
                    .as_u64()
                    .filter(|&id| id < pieces.len() as u64)
                    .map(|id| Some(id as u32))
                    .ok_or_else(|| unusable(file, &key, &format!("an id below {}", pieces.len()))),
            }
        };
        let bos = role("bos", defaults.bos)?;
        let ids = SpecialIds {
            bos,
            eos: role("eos", defaults.eos)?,
            eot: role("eot", None)?,
            pad: role("padding", defaults.pad)?,
            unk: role("unknown", defaults.unk)?,
            // The key is spelt like this in the format.
            sep: role("seperator", defaults.sep)?,
            cls: role("cls", None)?,
            mask: role("mask", defaults.mask)?,
        };
        let types = types(file, pieces.len(), &ids)?;
        Ok(Self { file, pieces, types, ids })
    }

    /// Returns the score of each piece.
    pub(super) fn scores(&self) -> Result<Vec<f64>, ModelFileError> {
        let key = "tokenizer.ggml.scores";
        let scores = match self.file.value(key) {
            Some(GgufValue::Numbers(scores)) => Some(scores.clone()),
            Some(GgufValue::Integers(scores)) => Some(scores.iter().map(|&score| score as f64).collect()),
            _ => None,
        };
        scores
            .filter(|scores| {
                scores.len() == self.pieces.len() && scores.iter().all(|score| score.is_finite())
            })
            .ok_or_else(|| {
                unusable(self.file, key, &format!("a list of {} finite numbers", self.pieces.len()))
            })
    }

    /// Returns the id of each piece.
    pub(super) fn by_piece(&self) -> Result<HashMap<&str, u32>, ModelFileError> {
        let mut by_piece = HashMap::with_capacity(self.pieces.len());
        for (id, piece) in self.pieces.iter().enumerate() {
            if by_piece.insert(piece.as_str(), id as u32).is_some() {
                return Err(ModelFileError::Tokenizer(format!("the piece '{piece}' is listed twice")));
            }
        }
        Ok(by_piece)
    }

    /// Returns a truth value of the metadata, or the default if there is none.
    pub(super) fn truth(&self, key: &str, default: bool) -> Result<bool, ModelFileError> {
        match self.file.value(key) {
            None => Ok(default),
            Some(GgufValue::Bool(value)) => Ok(*value),
            Some(_) => Err(unusable(self.file, key, "true or false")),
        }
    }

    /// Returns the id and the piece of a token that the file adds to texts, if `key` (or else the default) says so.
    pub(super) fn around(
        &self,
        key: &str,
        default: bool,
        id: Option<u32>,
    ) -> Result<Option<(u32, &str)>, ModelFileError> {
        match id {
            Some(id) => Ok(self.truth(key, default)?.then(|| (id, self.pieces[id as usize].as_str()))),
            None if self.truth(key, false)? => {
                Err(unusable(self.file, key, "false, because the file names no such token"))
            }
            None => Ok(None),
        }
    }

    /// Adds the special tokens and the tokens that a user defined, and names the pieces.
    pub(super) fn finish(self, mut steps: Steps) -> Result<Tokenizer, ModelFileError> {
        // The blanks after special tokens belong to them in Phi-3. The file does not say so, and llama.cpp goes by the name too.
        let name = self.file.value("general.name").and_then(GgufValue::as_text).unwrap_or_default();
        let name = name.to_lowercase();
        let phi3 = name.contains("phi-3") || name.contains("phi3");
        let added = self.types.iter().zip(&self.pieces).filter_map(|(kind, piece)| {
            let special = match kind {
                PieceType::Control | PieceType::Unknown => true,
                PieceType::UserDefined => false,
                _ => return None,
            };
            let strips = phi3 && special && !["<unk>", "<s>", "<|endoftext|>"].contains(&piece.as_str());
            Some(AddedToken::from(piece.as_str(), special).normalized(false).rstrip(strips))
        });
        steps.add_tokens(added).map_err(|error| ModelFileError::Tokenizer(error.to_string()))?;
        Tokenizer::new(steps, self.ids, chat_templates(self.file))
    }
}

/// Returns the types of the pieces. Without a list of types, the tokens with a role are special and the others normal.
fn types(file: &Gguf, count: usize, ids: &SpecialIds) -> Result<Vec<PieceType>, ModelFileError> {
    let key = "tokenizer.ggml.token_type";
    let Some(value) = file.value(key) else {
        let mut types = vec![PieceType::Normal; count];
        for id in [ids.bos, ids.eos, ids.eot, ids.pad, ids.sep, ids.cls, ids.mask].into_iter().flatten() {
            types[id as usize] = PieceType::Control;
        }
        if let Some(id) = ids.unk {
            types[id as usize] = PieceType::Unknown;
        }
        return Ok(types);
    };
    let numbers = value.as_integers().filter(|types| types.len() == count);
    numbers
        .and_then(|numbers| {
            let of = |number: &i64| match number {
                0 | 1 => Some(PieceType::Normal),
                2 => Some(PieceType::Unknown),
                3 => Some(PieceType::Control),
                4 => Some(PieceType::UserDefined),
                5 => Some(PieceType::Unused),
                6 => Some(PieceType::Byte),
                _ => None,
            };
            numbers.iter().map(of).collect()
        })
        .ok_or_else(|| unusable(file, key, &format!("a list of {count} types from 0 to 6")))
}

/// Returns the chat templates by name.
fn chat_templates(file: &Gguf) -> BTreeMap<String, String> {
    let name = |key: &str| match key.strip_prefix("tokenizer.chat_template")? {
        "" => Some("default".to_owned()),
        rest => rest.strip_prefix('.').map(str::to_owned),
    };
    let entries = file.metadata().iter();
    entries.filter_map(|(key, value)| Some((name(key)?, value.as_text()?.to_owned()))).collect()
}

/// Returns a list of texts of the metadata.
pub(super) fn texts<'a>(file: &'a Gguf, key: &str) -> Result<&'a [String], ModelFileError> {
    file.value(key).and_then(GgufValue::as_texts).ok_or_else(|| unusable(file, key, "a list of texts"))
}
