//! Networks that learn addition modulo a number from a part of its table.

mod attention_table;
#[cfg(test)]
mod checks;
mod cross_entropy;
mod fourier;
mod modular_addition;
mod network;
mod one_layer;
mod training;
mod two_layer;

pub use fourier::FourierMeasures;
pub use modular_addition::{ModularAddition, PairSplit};
pub use training::{AdditionConfig, AdditionMeasures, AdditionModel, AdditionStep, AdditionTraining};
