//! Ensembles: many toy models trained at once, each on its own data.
//!
//! An instance draws its data, computes its gradient and takes its steps in `f32`, independently of the others. The instances
//! are distributed over the threads. Models with up to four hidden dimensions process several samples per vector register,
//! with their weights in registers. Larger models process several features per vector register, with tiles of samples that
//! stay in the cache. [`train_instances`] runs every other model that can be trained.

mod config;
#[expect(clippy::module_inception, reason = "the type has the name of its chapter")]
mod ensemble;
mod instance;
mod instances;
mod narrow;
mod shape;
mod wide;

pub use config::{ColumnLengths, EnsembleConfig};
pub use ensemble::Ensemble;
pub use instances::train_instances;
