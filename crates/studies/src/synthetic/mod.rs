//! Dictionaries on synthetic rows whose features are known: the features they recover, absorb, shrink and mix, beside the values of
//! random directions.

mod claims;
mod rows;
mod training;

pub use claims::claims;
pub use collimate_sae::presets::Preset;
pub use rows::SyntheticRows;
pub use training::{Measured, SyntheticTraining, TRAINED};
