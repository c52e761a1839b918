/// The special tokens around a text, such as the token at the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SpecialTokens {
    /// The tokens of the text alone.
    #[default]
    Omitted,
    /// The tokens of the text, and the special tokens that the file of the tokenizer adds to a text or to a pair.
    Added,
}

/// The meaning of the names of special tokens, such as `<|endoftext|>`, inside a text.
///
/// Added tokens that are not special, such as runs of blanks, become their ids with both choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SpecialText {
    /// Names are text like any other. A text from outside cannot end the text or begin a turn.
    #[default]
    Text,
    /// Names become the ids of their tokens, as in the `tokenizers` library.
    Tokens,
}

/// The treatment of text that the vocabulary cannot spell, for a model without an unknown token.
///
/// A model with an unknown token (WordPiece and Unigram have one), or with a piece for every byte, leaves nothing open: this choice then
/// has no effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unspelt {
    /// The text is an error.
    #[default]
    Refused,
    /// The text is left out without a note, as in the `tokenizers` library.
    Dropped,
    /// Each character becomes the token with this id. In byte-level vocabularies each byte does.
    Token(u32),
}

/// The choices of [`Tokenizer::encode_with`](super::Tokenizer::encode_with). The default is the choice of
/// [`Tokenizer::encode`](super::Tokenizer::encode).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EncodeOptions {
    /// The special tokens around a text; by default none.
    pub special_tokens: SpecialTokens,
    /// The meaning of the names of special tokens inside a text; by default text.
    pub special_text: SpecialText,
    /// The treatment of text that the vocabulary cannot spell; by default an error.
    pub unspelt: Unspelt,
}

impl EncodeOptions {
    /// Returns the choices of the `tokenizers` library: names of special tokens become tokens, and text without a piece is left out.
    pub fn of_the_library(special_tokens: SpecialTokens) -> Self {
        Self { special_tokens, special_text: SpecialText::Tokens, unspelt: Unspelt::Dropped }
    }
}
