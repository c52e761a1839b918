#![doc = include_str!("../README.md")]

mod adam;
#[cfg(feature = "claims")]
pub mod claims;
pub mod data;
pub mod descent;
pub mod diagnosis;
mod error;
#[cfg(feature = "claims")]
pub mod figures;
pub mod fleet;
pub mod geometry;
pub mod gons;
pub mod head;
pub mod incidental;
mod kernels;
pub mod large;
pub mod one_active;
pub mod phase;
pub mod polysemanticity;
pub mod polytope;
pub mod pursuit;
pub mod recognition;
pub mod skip_trigrams;
mod spectrum;
pub mod staircase;
pub mod toy_model;
pub mod two_features;
pub mod two_layer;
pub mod u_and;

pub use error::SuperpositionError;
pub use spectrum::Spectrum;
