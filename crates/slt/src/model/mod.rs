//! Models whose learning coefficient is known exactly.

mod reduced_rank;

pub use reduced_rank::{ReducedRank, ReducedRankConfig};
