//! Training: batches of sequences, one optimiser step at a time, with checkpoints.

mod checkpoint;
mod config;
mod training;

pub use config::TrainingConfig;
pub use training::{StepReport, Training};
