use super::StudyError;
use crate::data::{self, Cache};
use collimate_tensor::files::Gguf;
use collimate_transformer::{Decoder, Tokenizer};
use std::sync::OnceLock;

/// The token that every sequence starts with, `<|endoftext|>`.
///
/// The file's own start token is another one (`<|im_start|>`, of the chat format); plain text was trained on behind this.
pub const START: u32 = 0;

/// The longest sequence, start token included.
pub const CONTEXT: usize = 256;

/// The real model with its tokenizer, and the folder where what is computed from it is kept.
pub struct Laboratory {
    /// SmolLM2-135M-Instruct.
    pub decoder: Decoder,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Where activations and dictionaries are kept.
    pub cache: Cache,
}

/// A run of tokens of one document, with the start token in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The number of the document.
    pub document: u32,
    /// The tokens.
    pub tokens: Vec<u32>,
}

impl Laboratory {
    /// Loads the model from a cache; nothing is downloaded.
    ///
    /// # Errors
    /// [`StudyError::Data`] when the model is not there (the message says how to get it), [`StudyError::Model`] when it
    /// cannot be read.
    pub fn open(cache: Cache) -> Result<Self, StudyError> {
        let file = Gguf::open(data::locate_smollm2(&cache)?)
            .map_err(collimate_transformer::TransformerError::from)?;
        Ok(Self { decoder: Decoder::from_open_gguf(&file)?, tokenizer: Tokenizer::from_gguf(&file)?, cache })
    }

    /// The one of this process, from the user's cache; loaded by whoever asks first.
    ///
    /// # Errors
    /// As [`Laboratory::open`]; the next call tries again.
    pub fn shared() -> Result<&'static Self, StudyError> {
        static SHARED: OnceLock<Laboratory> = OnceLock::new();
        match SHARED.get() {
            Some(laboratory) => Ok(laboratory),
            None => {
                let laboratory = Self::open(Cache::user()?)?;
                Ok(SHARED.get_or_init(|| laboratory))
            }
        }
    }

    /// Cuts texts into sequences of at most [`CONTEXT`] tokens until `limit` tokens are reached (start tokens not counted).
    ///
    /// Pieces of fewer than 8 tokens are left out.
    ///
    /// # Errors
    /// [`StudyError::Model`] when a text cannot be spelt in the vocabulary.
    pub fn sequences<'a>(
        &self,
        texts: impl IntoIterator<Item = (u32, &'a str)>,
        limit: usize,
    ) -> Result<Vec<Sequence>, StudyError> {
        let (mut sequences, mut count) = (Vec::new(), 0);
        for (document, text) in texts {
            let tokens = self.tokenizer.encode(text)?;
            for piece in tokens.chunks(CONTEXT - 1).filter(|piece| piece.len() >= 8) {
                if count >= limit {
                    return Ok(sequences);
                }
                count += piece.len();
                let tokens = std::iter::once(START).chain(piece.iter().copied()).collect();
                sequences.push(Sequence { document, tokens });
            }
        }
        Ok(sequences)
    }
}
