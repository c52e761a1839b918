//! Replications that join crates: claims on a real language model, texts, figures.

pub mod data;
pub mod diagnosis;
pub mod induction;
pub mod model;
pub mod numerics;
pub mod real;
mod registry;
pub mod text;
pub mod worlds;

pub use registry::registry;

#[doc = include_str!("../../../docs/guide.md")]
pub mod guide {}
