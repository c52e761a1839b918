//! The integration tests of the crate.

mod cases;
mod conformance;
mod golden;
mod gradients;
mod metrics;
mod shards;
mod training;
