//! Exact claims: a signed margin over drawn inputs.

mod builder;
mod case;
mod erased;
mod extremes;
mod guided;
mod judge;
mod judged;
mod quiet;
mod search;
mod shrink;
mod simpler;
mod watch;

pub use builder::Exact;
pub use case::Case;
pub use extremes::{larger, smaller};
