#![doc = include_str!("../README.md")]

#[cfg(feature = "claims")]
mod claims;
mod error;
mod exact;
mod kernels;
mod model;
mod oracle;
mod sgld;
mod temperature;

#[cfg(feature = "claims")]
pub use claims::claims;
pub use error::SltError;
pub use exact::{LearningCoefficient, NormalCrossing, Rational, deep_linear, reduced_rank};
pub use model::{ReducedRank, ReducedRankConfig};
pub use oracle::{CrossingOracle, GaussianMean, QuadraticOracle};
pub use sgld::{BatchSampling, Sgld, SgldConfig};
pub use temperature::{Beta, NBeta};
