/// A coherent piece of text: a lexicon entry, a chapter, a newspaper article.
///
/// Documents are the unit of sampling: data are split by document, and intervals come from resampling documents. Tokens are never
/// resampled, because the tokens of one document are not independent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The short name, for reports.
    pub title: String,
    /// The text, paragraphs separated by an empty line.
    pub text: String,
}
