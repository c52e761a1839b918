//! Figures that travel with an outcome: plain structs that render themselves to SVG, the same bytes every time.

mod axis;
mod bars;
mod canvas;
mod chart;
mod heat_map;
mod histogram;
mod region_map;

pub use axis::Scale;
pub use bars::Bars;
#[cfg(feature = "report")]
pub(crate) use canvas::escape;
pub use chart::{Chart, Point, Series};
pub use heat_map::HeatMap;
pub use histogram::Histogram;
pub use region_map::RegionMap;

/// A figure for the report.
///
/// Text and axes take the colour of the surrounding text (`currentColor`), so one picture serves a light and a dark page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The title.
    pub title: String,
    /// A sentence or two on what is seen.
    pub caption: String,
    /// The picture: a complete `<svg>` element.
    pub svg: String,
}

/// Six colours that colour-blind readers can tell apart, readable on white and on black.
///
/// # References
/// Okabe and Ito (2008).
pub const PALETTE: [&str; 6] = ["#0b7cc0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
