use super::special::SpecialIds;
use crate::error::{ModelFileError, RunError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::OnceLock;
use tokenizers::models::unigram::Unigram;
use tokenizers::{
    AddedVocabulary, DecoderWrapper, Model, ModelWrapper, NormalizerWrapper, PostProcessorWrapper,
    PreTokenizerWrapper, TokenizerImpl,
};

/// The steps of the `tokenizers` library.
pub(super) type Steps =
    TokenizerImpl<ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// A tokenizer: byte-level BPE, BPE with bytes for unknown characters, WordPiece, Unigram or whole words.
///
/// [`Tokenizer::open`] reads a `tokenizer.json`, a folder with one, or a GGUF file. [`Tokenizer::from_json`] and
/// [`Tokenizer::from_gguf`] read what is already open.
///
/// [`Tokenizer::encode`] never makes a special token such as `<|endoftext|>` from text, adds none around the text, and refuses a text
/// that the vocabulary cannot spell. [`Tokenizer::encode_with`] takes other choices as [`EncodeOptions`](super::EncodeOptions). A file may
/// ask for truncation, for padding or for random merges (dropout): these belong to training and are never applied.
///
/// The vocabulary of SmolLM2 has no piece for 21 rare bytes (control characters and the first bytes of characters
/// beyond U+3FFFF). Other programs drop these bytes silently; here a text that holds one is refused by default.
///
/// # Examples
/// ```
/// use collimate_transformer::{EncodeOptions, SpecialText, Tokenizer};
/// let file = r#"{
///     "added_tokens": [{"id": 3, "content": "<end>", "special": true, "single_word": false,
///                       "lstrip": false, "rstrip": false, "normalized": false}],
///     "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
///     "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
/// }"#;
/// let tokenizer = Tokenizer::from_json(file)?;
/// assert_eq!(tokenizer.encode("abba")?, [2, 1, 0]);
/// assert_eq!(tokenizer.decode(&[2, 1, 0])?, "abba");
/// assert!(tokenizer.encode("ab<end>").unwrap_err().to_string().contains("'<'"));
/// let tokens = EncodeOptions { special_text: SpecialText::Tokens, ..EncodeOptions::default() };
/// assert_eq!(tokenizer.encode_with("ab<end>", tokens)?.ids, [2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
/// Sennrich et al. (2016), byte-pair encoding; Radford et al. (2019), section 2.2; Schuster and Nakajima (2012), WordPiece; Kudo (2018),
/// Unigram.
pub struct Tokenizer {
    pub(super) steps: Steps,
    /// The added tokens for texts in which the names of special tokens are text.
    pub(super) names_are_text: AddedVocabulary,
    /// The Unigram model without the pieces of special tokens; it is made when a text first needs it.
    pub(super) without_special: OnceLock<Unigram>,
    /// The ids of special tokens.
    pub(super) special: HashSet<u32>,
    /// True if the letters of the pieces stand for bytes.
    pub(super) byte_level: bool,
    pieces: HashMap<u32, String>,
    /// One more than the largest id.
    len: usize,
    ids: SpecialIds,
    chat_templates: BTreeMap<String, String>,
}

impl Tokenizer {
    /// Joins the steps with the names that the files give to tokens.
    pub(super) fn new(
        steps: Steps,
        ids: SpecialIds,
        chat_templates: BTreeMap<String, String>,
    ) -> Result<Self, ModelFileError> {
        let vocabulary = steps.get_model().get_vocab();
        let (count, size) = (vocabulary.len(), steps.get_model().get_vocab_size());
        if count != size {
            let what = format!("{size} ids have only {count} different pieces; each id needs its own");
            return Err(ModelFileError::Tokenizer(what));
        }
        let mut pieces = HashMap::with_capacity(vocabulary.len());
        for (piece, id) in vocabulary {
            if let Some(other) = pieces.insert(id, piece) {
                let what = format!("the pieces '{other}' and '{}' have the same id {id}", pieces[&id]);
                return Err(ModelFileError::Tokenizer(what));
            }
        }
        let added = steps.get_added_vocabulary();
        let mut special = HashSet::new();
        for (&id, token) in added.get_added_tokens_decoder() {
            pieces.insert(id, token.content.clone());
            if token.special {
                special.insert(id);
            }
        }
        let len = pieces.keys().max().map_or(0, |&id| id as usize + 1);
        let mut names_are_text = added.clone();
        names_are_text.set_encode_special_tokens(true);
        let byte_level = has_byte_level(&steps);
        let without_special = OnceLock::new();
        Ok(Self {
            steps,
            names_are_text,
            without_special,
            special,
            byte_level,
            pieces,
            len,
            ids,
            chat_templates,
        })
    }

    /// Returns one more than the largest id.
    ///
    /// A vocabulary without gaps has this size. An id of a gap has no [`Tokenizer::piece`].
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if the vocabulary is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the piece of a token as the file writes it, for example with bytes as letters and a blank as `Ġ`, or with a blank as `▁`.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(&id).map(String::as_str)
    }

    /// Returns the id of a piece, for example of `<|endoftext|>`.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.steps.token_to_id(piece)
    }

    /// Returns the ids of the tokens with a role, such as the token at the end of a text.
    pub fn special_ids(&self) -> SpecialIds {
        self.ids
    }

    /// Returns true if the id is that of a special token, which [`Tokenizer::encode`] never makes from text.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// Returns the templates that write a chat as one text, by name; the usual name is `default`. They are texts in the language Jinja,
    /// and nothing here runs them.
    pub fn chat_templates(&self) -> &BTreeMap<String, String> {
        &self.chat_templates
    }

    /// Returns the text that tokens spell; bytes that are not UTF-8 become the replacement character.
    ///
    /// Special tokens are spelt by their names. Kinds of tokenizer that normalise a text return the normalised text.
    ///
    /// # Errors
    /// [`RunError::UnknownToken`] when an id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String, RunError> {
        self.decoded(ids, false)
    }

    /// Returns the text that tokens spell, without the special tokens.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn decode_without_special(&self, ids: &[u32]) -> Result<String, RunError> {
        self.decoded(ids, true)
    }

    fn decoded(&self, ids: &[u32], without_special: bool) -> Result<String, RunError> {
        if let Some(position) = ids.iter().position(|id| !self.pieces.contains_key(id)) {
            return Err(RunError::UnknownToken { id: ids[position], position, n_vocab: self.len });
        }
        self.steps.decode(ids, without_special).map_err(|error| RunError::Tokenizer(error.to_string()))
    }
}

/// Returns true if a step writes each byte as a letter.
fn has_byte_level(steps: &Steps) -> bool {
    fn splits(step: &PreTokenizerWrapper) -> bool {
        match step {
            PreTokenizerWrapper::ByteLevel(_) => true,
            PreTokenizerWrapper::Sequence(steps) => steps.as_ref().iter().any(splits),
            _ => false,
        }
    }
    fn normalises(step: &NormalizerWrapper) -> bool {
        match step {
            NormalizerWrapper::ByteLevel(_) => true,
            NormalizerWrapper::Sequence(steps) => steps.as_ref().iter().any(normalises),
            _ => false,
        }
    }
    steps.get_pre_tokenizer().is_some_and(splits) || steps.get_normalizer().is_some_and(normalises)
}
