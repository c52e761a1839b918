//! Texts that a model writes.

mod choice;
mod generate;

pub use choice::{Choice, Sampling};
pub use generate::Generation;
