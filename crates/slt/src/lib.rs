#![doc = include_str!("../README.md")]

#[cfg(feature = "claims")]
mod claims;
mod diagnostics;
mod error;
mod exact;
mod kernels;
mod llc;
mod model;
mod oracle;
mod sgld;
mod temperature;

#[cfg(feature = "claims")]
pub use claims::claims;
pub use diagnostics::{effective_sample_size, split_r_hat};
pub use error::SltError;
pub use exact::{LearningCoefficient, NormalCrossing, Rational, deep_linear, reduced_rank};
pub use llc::{Llc, LlcEstimate, LlcWarning};
pub use model::{ReducedRank, ReducedRankConfig};
pub use oracle::{CrossingOracle, GaussianMean, QuadraticOracle};
pub use sgld::{BatchSampling, Sgld, SgldConfig};
pub use temperature::{Beta, NBeta};
