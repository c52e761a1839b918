#![doc = include_str!("../README.md")]

mod bootstrap;
pub mod data;
pub mod diagnosis;
mod error;
pub mod induction;
pub mod language_model;
pub mod latents;
pub mod numerics;
pub mod probe;
mod registry;
mod rows;
mod sequence;
pub mod splicing;
pub mod synthetic;
pub mod text;

pub use bootstrap::document_bootstrap;
pub use error::StudyError;
pub use registry::registry;
pub use rows::{rows_at, width_at};
pub use sequence::Sequence;

#[doc = include_str!("../../../docs/guide.md")]
pub mod guide {}
