//! Small models that are trained from the start: a model of characters, and models that learn modular addition.
//!
//! Every random number can come from [`SplitMix`](collimate_stream::SplitMix), so that another program can repeat a run.

mod addition;
mod character_model;
mod exact;
mod numbers;

pub use addition::{
    AdditionConfig, AdditionMeasures, AdditionModel, AdditionStep, AdditionTraining, FourierMeasures,
    ModularAddition, PairSplit,
};
pub use character_model::{CharacterConfig, CharacterTraining};
pub use exact::{
    AdditionMargins, LinearAttention, PhaseGrid, TrigonometricAddition, UnitFunction, conditional_entropy,
    quadratic_network_rank,
};
pub use numbers::Numbers;
