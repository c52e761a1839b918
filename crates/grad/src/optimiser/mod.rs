//! Optimisers: they turn a gradient and a learning rate into a step of the parameters.

mod adam;
mod clip;
mod sgd;
mod step;

pub use adam::{Adam, AdamConfig, AdamState, EpsilonPlacement, ResetSteps, WeightDecay};
pub use clip::{clip_global_norm, global_norm};
pub use sgd::{Momentum, Sgd, SgdConfig, SgdState};
pub use step::Optimiser;
