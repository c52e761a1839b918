//! One test binary for the whole crate.

mod differences;
mod geometry;
mod gons;
mod one_active;
mod two_features;
