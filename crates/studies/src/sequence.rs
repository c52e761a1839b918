/// A run of tokens of one document, with the start token in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// The number of the document.
    pub document: u32,
    /// The tokens.
    pub tokens: Vec<u32>,
}
