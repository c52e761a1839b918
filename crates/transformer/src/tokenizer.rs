use crate::entries::unusable;
use crate::error::{ModelFileError, RunError};
use collimate_tensor::files::{Gguf, GgufValue};
use std::collections::HashMap;
use std::ops::Range;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{
    DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, TokenizerImpl,
};

/// The byte-level BPE tokenizer inside a GGUF file.
///
/// Each digit is a piece of its own, the rest is split by the GPT-2 pattern, and each piece is merged by the table of the file. The
/// tokens of a text spell the text. Special tokens such as `<|endoftext|>` are never made from text: the caller inserts them by id
/// ([`Tokenizer::id`]).
///
/// The vocabulary of SmolLM2 has no piece for 21 rare bytes (control characters and the first bytes of characters
/// beyond U+3FFFF). Other programs drop these bytes silently; here a text that holds one is refused.
///
/// # References
/// Sennrich et al. (2016), byte-pair encoding; Radford et al. (2019), section 2.2.
pub struct Tokenizer {
    inner: TokenizerImpl<
        ModelWrapper,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >,
    pieces: Vec<String>,
    ids: HashMap<String, u32>,
    /// True for each byte that has a piece.
    spelt: [bool; 256],
}

impl Tokenizer {
    /// Builds the tokenizer from a file's metadata.
    ///
    /// # Errors
    /// [`ModelFileError::Metadata`] when the file has none, or one that is not byte-level BPE with the pre-tokenizer `smollm`;
    /// [`ModelFileError::Tokenizer`] when its merges name pieces that do not exist.
    pub fn from_gguf(file: &Gguf) -> Result<Self, ModelFileError> {
        for (key, text) in [("tokenizer.ggml.model", "gpt2"), ("tokenizer.ggml.pre", "smollm")] {
            if file.value(key).and_then(GgufValue::as_text) != Some(text) {
                return Err(unusable(file, key, &format!("the text '{text}'")));
            }
        }
        let texts = |key: &str| {
            file.value(key)
                .and_then(GgufValue::as_texts)
                .ok_or_else(|| unusable(file, key, "a list of texts"))
        };
        let pieces = texts("tokenizer.ggml.tokens")?.to_vec();
        let mut ids = HashMap::with_capacity(pieces.len());
        for (id, piece) in pieces.iter().enumerate() {
            if ids.insert(piece.clone(), id as u32).is_some() {
                return Err(ModelFileError::Tokenizer(format!("the piece '{piece}' is listed twice")));
            }
        }
        let merges = texts("tokenizer.ggml.merges")?
            .iter()
            .map(|merge| match merge.split_once(' ') {
                Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
                None => Err(ModelFileError::Tokenizer(format!("the merge '{merge}' is no pair"))),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let refuse = |error: tokenizers::Error| ModelFileError::Tokenizer(error.to_string());
        let vocabulary: Vocab = ids.iter().map(|(piece, &id)| (piece.clone(), id)).collect();
        let model = BPE::builder().vocab_and_merges(vocabulary, merges).build().map_err(refuse)?;
        let mut inner = TokenizerImpl::new(ModelWrapper::BPE(model));
        inner.with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(Sequence::new(vec![
            PreTokenizerWrapper::Digits(Digits::new(true)),
            PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
        ]))));
        inner.with_decoder(Some(DecoderWrapper::ByteLevel(ByteLevel::new(false, true, true))));
        let spelt = std::array::from_fn(|byte| ids.contains_key(letter(byte as u8).encode_utf8(&mut [0; 4])));
        Ok(Self { inner, pieces, ids, spelt })
    }

    /// Returns the size of the vocabulary.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Returns true if the vocabulary is empty.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Splits a text into tokens.
    ///
    /// # Errors
    /// [`RunError::Tokenizer`] when the vocabulary has no piece for a byte of the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, RunError> {
        Ok(self.encode_with_ranges(text)?.into_iter().map(|(id, _)| id).collect())
    }

    /// Splits a text into tokens, each with the range of bytes that it stands for.
    ///
    /// A character of several bytes may be spread over several tokens; each of these tokens has the range of the whole character.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_ranges(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>, RunError> {
        if let Some(at) = text.bytes().position(|byte| !self.spelt[usize::from(byte)]) {
            let byte = text.as_bytes()[at];
            let what = format!(
                "no piece of the vocabulary spells the byte {byte:#04x} at position {at}; remove it from the text"
            );
            return Err(RunError::Tokenizer(what));
        }
        let encoding =
            self.inner.encode(text, false).map_err(|error| RunError::Tokenizer(error.to_string()))?;
        let ranges = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().copied().zip(ranges).collect())
    }

    /// Returns the text that tokens spell; bytes that are not UTF-8 become the replacement character.
    ///
    /// # Errors
    /// [`RunError::UnknownToken`] when an id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String, RunError> {
        if let Some(position) = ids.iter().position(|&id| id as usize >= self.len()) {
            let n_vocab = self.len();
            return Err(RunError::UnknownToken { id: ids[position], position, n_vocab });
        }
        self.inner.decode(ids, false).map_err(|error| RunError::Tokenizer(error.to_string()))
    }

    /// Returns the piece of a token as the file writes it: bytes as letters, a blank as `Ġ`.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(String::as_str)
    }

    /// Returns the id of a piece, for example of `<|endoftext|>`.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }
}

/// Returns the letter for a byte in byte-level pieces. Printable Latin-1 stands for itself; the other bytes follow from U+0100 on, in
/// order.
fn letter(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(256 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}
