//! Dictionaries on synthetic rows whose features are known: the features they recover, absorb, shrink and mix, beside the values of
//! random directions.

mod claims;
mod recipe;
mod rows;

pub use claims::claims;
pub use collimate_sae::presets::Preset;
pub use recipe::{Measured, Recipe, TRAINED};
pub use rows::SyntheticRows;
