use crate::TransformerError;
use crate::config::unusable;
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
/// Digits are split singly, the rest by the GPT-2 pattern, and each piece is merged by the table of the file. Every
/// text has tokens, and they spell it back. Special tokens such as `<|endoftext|>` are never made from text: they are
/// put in by id ([`Tokenizer::id`]).
///
/// The vocabulary of SmolLM2 has no piece for 21 rare bytes (control characters and the first bytes of characters
/// beyond U+3FFFF). Other programs leave them out in silence; here a text that holds one is refused.
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
    /// Which bytes have a piece.
    spelt: [bool; 256],
}

impl Tokenizer {
    /// Builds the tokenizer from a file's metadata.
    ///
    /// # Errors
    /// [`TransformerError::Metadata`] when the file has none, or one that is not byte-level BPE with the pre-tokenizer
    /// `smollm`; [`TransformerError::Tokenizer`] when its merges speak of pieces that do not exist.
    pub fn from_gguf(file: &Gguf) -> Result<Self, TransformerError> {
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
                return Err(TransformerError::Tokenizer(format!("the piece '{piece}' is listed twice")));
            }
        }
        let merges = texts("tokenizer.ggml.merges")?
            .iter()
            .map(|merge| match merge.split_once(' ') {
                Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
                None => Err(TransformerError::Tokenizer(format!("the merge '{merge}' is no pair"))),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let refuse = |error: tokenizers::Error| TransformerError::Tokenizer(error.to_string());
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

    /// The size of the vocabulary.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether the vocabulary is empty.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// [`TransformerError::Tokenizer`] when the vocabulary has no piece for a byte of the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TransformerError> {
        Ok(self.encode_with_ranges(text)?.into_iter().map(|(id, _)| id).collect())
    }

    /// The tokens of a text, each with the bytes of the text it stands for.
    ///
    /// A character of several bytes may be spread over several tokens; each of them names the whole character.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_with_ranges(&self, text: &str) -> Result<Vec<(u32, Range<usize>)>, TransformerError> {
        if let Some(at) = text.bytes().position(|byte| !self.spelt[usize::from(byte)]) {
            let byte = text.as_bytes()[at];
            let what = format!("no piece of the vocabulary spells the byte {byte:#04x} at position {at}");
            return Err(TransformerError::Tokenizer(what));
        }
        let encoding =
            self.inner.encode(text, false).map_err(|error| TransformerError::Tokenizer(error.to_string()))?;
        let ranges = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().copied().zip(ranges).collect())
    }

    /// The text that tokens spell; bytes that are no UTF-8 become the replacement character.
    ///
    /// # Errors
    /// [`TransformerError::UnknownToken`] when an id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TransformerError> {
        if let Some(position) = ids.iter().position(|&id| id as usize >= self.len()) {
            let n_vocab = self.len();
            return Err(TransformerError::UnknownToken { id: ids[position], position, n_vocab });
        }
        self.inner.decode(ids, false).map_err(|error| TransformerError::Tokenizer(error.to_string()))
    }

    /// A token's piece as the file writes it: bytes as letters, a blank as `Ġ`.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id as usize).map(String::as_str)
    }

    /// The id of a piece, for example of `<|endoftext|>`.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.ids.get(piece).copied()
    }
}

/// The letter that stands for a byte in byte-level pieces: printable Latin-1 stands for itself, the others follow from
/// U+0100 on, in order.
fn letter(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(256 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}
