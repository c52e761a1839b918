//! Dictionaries on worlds whose features are known: what they recover, absorb, shrink and hedge, each beside what chance gives.

mod claims;
mod recipe;
mod rows;

pub use claims::claims;
pub use recipe::{Measured, Member, Recipe};
pub use rows::SyntheticRows;
