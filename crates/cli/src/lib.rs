#![cfg_attr(feature = "cli", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "cli"),
    doc = "The crates of Collimate under one name: each feature re-exports one crate."
)]

pub use collimate_measure as measure;
pub use collimate_stream as stream;

#[cfg(feature = "attention")]
pub use collimate_attention as attention;
#[cfg(feature = "circuits")]
pub use collimate_circuits as circuits;
#[cfg(feature = "claims")]
pub use collimate_claims as claims;
#[cfg(feature = "figures")]
pub use collimate_figures as figures;
#[cfg(feature = "grad")]
pub use collimate_grad as grad;
#[cfg(feature = "polynomial")]
pub use collimate_polynomial as polynomial;
#[cfg(feature = "sae")]
pub use collimate_sae as sae;
#[cfg(feature = "slt")]
pub use collimate_slt as slt;
#[cfg(feature = "studies")]
pub use collimate_studies as studies;
#[cfg(feature = "superposition")]
pub use collimate_superposition as superposition;
#[cfg(feature = "grad")]
pub use collimate_tensor as tensor;
#[cfg(feature = "transformer")]
pub use collimate_transformer as transformer;

/// The names that most programs need: `use collimate::prelude::*;`.
///
/// A name that two crates use for different things is not in the prelude.
pub mod prelude {
    pub use collimate_measure::Measurement;
    pub use collimate_stream::RngStream;

    #[cfg(feature = "attention")]
    pub use collimate_attention::{Attention, HeadMap, Mask, Offset};
    #[cfg(feature = "claims")]
    pub use collimate_claims::{Budget, Claim, Claims, Verdict, examine};
    #[cfg(feature = "grad")]
    pub use collimate_grad::{Batch, Objective};
    #[cfg(feature = "polynomial")]
    pub use collimate_polynomial::{Polynomial, learning_coefficient};
    #[cfg(feature = "sae")]
    pub use collimate_sae::{Evaluation, L1, Sae, Size, Training, TrainingConfig, Transcoder};
    #[cfg(feature = "slt")]
    pub use collimate_slt::{Beta, Llc, NBeta};
    #[cfg(feature = "superposition")]
    pub use collimate_superposition::ToyModel;
    #[cfg(feature = "transformer")]
    pub use collimate_transformer::{Capture, Edit, HookPoint, Model, Site};
}
