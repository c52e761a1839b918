#![doc = include_str!("../README.md")]

mod bootstrap;
pub mod data;
pub mod development;
pub mod diagnosis;
mod error;
pub mod induction;
pub mod language_model;
pub mod latents;
mod leave_out;
pub mod numerics;
pub mod probe;
mod provenance;
mod registry;
mod rows;
mod sequence;
pub mod splicing;
pub mod synthetic;
pub mod text;

pub use bootstrap::document_bootstrap;
pub use error::StudyError;
pub use leave_out::{LeaveOut, RowRule};
pub use provenance::{Provenance, hook_name, row_sites, site_name};
pub use registry::registry;
pub use rows::{rows_at, width_at};
pub use sequence::Sequence;

// The crates whose types stand in public items, so that one dependency is enough.
pub use collimate_attention as attention;
pub use collimate_claims as claims;
pub use collimate_grad as grad;
pub use collimate_measure as measure;
pub use collimate_sae as sae;
pub use collimate_stream as stream;
pub use collimate_superposition as superposition;
pub use collimate_tensor as tensor;
pub use collimate_transformer as transformer;

#[doc = include_str!("../../../docs/guide.md")]
pub mod guide {}
