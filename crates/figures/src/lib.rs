#![doc = include_str!("../README.md")]

mod axis;
mod bars;
mod canvas;
mod chart;
mod figure;
mod heat_map;
mod histogram;
mod region_map;
mod text;

pub use bars::Bars;
pub use chart::{Chart, Point, Series};
pub use figure::{Figure, PALETTE};
pub use heat_map::HeatMap;
pub use histogram::Histogram;
pub use region_map::RegionMap;
pub use text::{escape, short_number};
