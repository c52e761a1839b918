/// A piece of text that belongs together: a lexicon entry, a chapter, a newspaper article.
///
/// Documents are the unit of sampling: data are split by document, and intervals come from resampling documents,
/// never tokens, since the tokens of one document are not independent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// A short name, for reports.
    pub title: String,
    /// The text, paragraphs separated by an empty line.
    pub text: String,
}
