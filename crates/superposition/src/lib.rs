#![doc = include_str!("../README.md")]

pub mod descent;
mod error;
pub mod geometry;
pub mod gons;
pub mod one_active;
pub mod polytope;
mod spectrum;
pub mod two_features;

pub use error::SuperpositionError;
pub use spectrum::Spectrum;
