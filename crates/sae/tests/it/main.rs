//! The integration tests of the crate.

mod cases;
mod conformance;
#[cfg(feature = "files")]
mod files;
mod golden;
mod gradients;
mod metrics;
mod shards;
mod training;
