/// The ids of the tokens with a role, as far as the files of a tokenizer name them.
///
/// A `tokenizer.json` alone names only the unknown token. The file `tokenizer_config.json` beside it and the metadata of a GGUF file name
/// the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// The token at the beginning of a text.
    pub bos: Option<u32>,
    /// The token at the end of a text.
    pub eos: Option<u32>,
    /// The token that ends the turn of a speaker in a chat.
    pub eot: Option<u32>,
    /// The token that fills short rows of a batch.
    pub pad: Option<u32>,
    /// The token for text that no other piece of the vocabulary spells.
    pub unk: Option<u32>,
    /// The token between two texts.
    pub sep: Option<u32>,
    /// The token in front of a text whose last activation stands for the whole text.
    pub cls: Option<u32>,
    /// The token in place of a hidden word.
    pub mask: Option<u32>,
}
