//! Sparse autoencoders.

mod adam;
mod config;
mod dense;
mod error;
mod float;
mod gated;
mod jump_relu;
mod latents;
mod relu;
mod rule;
mod resample;
mod rows;
mod sae;
mod step;
mod topk;
mod training;
mod variant;
mod weights;

pub use adam::{Adam, Moments};
pub use config::{BiasStart, L1, LossConvention, Normalisation, Resampling, TrainingConfig};
pub use error::SaeError;
pub use float::Float;
pub use gated::{Gated, GatedDecoder};
pub use jump_relu::JumpRelu;
pub use relu::Relu;
pub use rows::{IntoRows, epochs};
pub use sae::Sae;
pub use step::{Losses, Path, Settings, Workspace};
pub use topk::{AuxK, TopK};
pub use training::{Progress, Trained, Training};
pub use variant::{InputBias, PenaltyWeight, Variant};
pub use weights::{Size, Weights, normalise};
