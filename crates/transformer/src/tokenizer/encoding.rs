use std::ops::Range;

/// The tokens of a text or of a pair of texts. All lists have one entry for each token.
///
/// Ranges count in the text as it was given, before any normalisation, and for the second text of a pair in that text. A character that is
/// spread over several tokens gives each of them the range of the whole character. A special token around the text has the range `0..0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// The ids.
    pub ids: Vec<u32>,
    /// The pieces as the vocabulary writes them. An unknown token has the piece `<unk>` of the file in some kinds of tokenizer, and in
    /// others the text that it stands for.
    pub pieces: Vec<String>,
    /// The range of bytes that each token stands for.
    pub byte_ranges: Vec<Range<usize>>,
    /// The range of characters that each token stands for.
    pub character_ranges: Vec<Range<usize>>,
    /// The segment of each token, 0 or 1, as models with token types take it.
    pub type_ids: Vec<u32>,
    /// True for the special tokens around the texts.
    pub special: Vec<bool>,
}
