//! The type of every finished figure.

/// A finished figure: title, caption and SVG.
///
/// Text and axes take the colour of the surrounding text (`currentColor`), so one picture serves a light and a dark page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The title.
    pub title: String,
    /// A sentence or two that say what the figure shows.
    pub caption: String,
    /// The picture: a complete `<svg>` element.
    pub svg: String,
}

/// Six colours that colour-blind readers can tell apart, readable on white and on black.
///
/// # References
/// Okabe and Ito (2008).
pub const PALETTE: [&str; 6] = ["#0b7cc0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
