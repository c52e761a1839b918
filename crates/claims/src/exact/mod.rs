//! Exact claims: a signed margin over drawn inputs.

mod builder;
mod case;
mod erased;
mod extremes;
mod guided;
mod judge;
mod search;
mod shrink;

pub use builder::Exact;
pub use case::Case;
pub use extremes::{larger, smaller};
