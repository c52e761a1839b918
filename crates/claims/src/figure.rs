//! Figures that travel with an outcome.

/// A figure for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The title.
    pub title: String,
    /// A sentence or two on what is seen.
    pub caption: String,
    /// The picture: a complete `<svg>` element.
    pub svg: String,
}
