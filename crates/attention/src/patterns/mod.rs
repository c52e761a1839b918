//! Measurements of heads: from their patterns, and from their weights.

pub mod circuits;
mod statistics;

pub use statistics::{
    attention_entropy, duplicate_token, first_position_mass, prefix_matching, previous_token,
};
