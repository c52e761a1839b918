//! Tokenizers from the metadata of GGUF files.

mod byte_level;
mod patterns;
mod sentence_pieces;
mod step;
mod vocabulary;
mod words;

use super::pipeline::Tokenizer;
use crate::error::ModelFileError;
use crate::metadata::unusable;
use collimate_tensor::files::{Gguf, GgufValue};

impl Tokenizer {
    /// Builds the tokenizer from the metadata of a GGUF file.
    ///
    /// | `tokenizer.ggml.model` | kind |
    /// |---|---|
    /// | `gpt2` | byte-level BPE; `tokenizer.ggml.pre` names the way in which a text is cut, as llama.cpp names it |
    /// | `llama` | BPE by scores, as SentencePiece does it, with bytes for unknown characters |
    /// | `bert` | WordPiece |
    /// | `t5` | Unigram |
    ///
    /// Pieces of the types control and unknown are special tokens, and pieces that a user defined are added tokens. A file states no
    /// Unicode normalisation for `gpt2`, although the tokenizers behind the names `qwen2`, `qwen35`, `olmo`, `mpt` and `command-r` have the form
    /// NFC: it is applied for these names. The merges of `llama` are ranked by score, then by id, where SentencePiece takes the
    /// leftmost of equal scores; scores of real files are distinct.
    ///
    /// # Errors
    /// [`ModelFileError::Metadata`] when an entry is missing or names a kind that is not known here;
    /// [`ModelFileError::Tokenizer`] when the vocabulary contradicts itself, for example when a merge names a piece that does not exist.
    pub fn from_gguf(file: &Gguf) -> Result<Self, ModelFileError> {
        const KINDS: &str = "one of gpt2, llama, bert, t5; for other tokenizers, open the tokenizer.json of the model instead";
        match file.value("tokenizer.ggml.model").and_then(GgufValue::as_text) {
            Some("gpt2") => byte_level::build(file),
            Some("llama") => sentence_pieces::by_merges(file),
            Some("t5") => sentence_pieces::by_score(file),
            Some("bert") => words::build(file),
            _ => Err(unusable(file, "tokenizer.ggml.model", KINDS)),
        }
    }
}
