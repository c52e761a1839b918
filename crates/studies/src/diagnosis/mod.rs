#![doc = include_str!("../../../../docs/diagnosis.md")]

mod labels;
mod planted;
mod tally;

pub use labels::{LabelSet, labels};
pub use planted::plant;
pub use tally::{Tally, varying};
