#![doc = include_str!("../../../../docs/diagnosis.md")]

mod labels;
mod tally;

pub use labels::{LabelSet, labels};
pub use tally::Tally;
