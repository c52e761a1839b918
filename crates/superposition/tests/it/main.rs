//! One test binary for the whole crate.

mod blocks;
#[cfg(feature = "claims")]
mod claims;
mod computing;
mod data;
mod diagnosis;
mod differences;
mod ensemble;
mod geometry;
mod one_active;
mod phase;
mod polygons;
mod polysemanticity;
mod toy_model;
mod two_features;
