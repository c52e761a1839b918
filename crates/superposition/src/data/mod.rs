//! Distributions with known features.
//!
//! Every distribution is a [`Source`]: it fills a row with the values of all features. A source does not depend on a
//! model, so every model trains on every source.

mod decaying;
mod finite;
mod hierarchy;
mod independent;
mod low_rank;
mod one_active;
mod sets;
mod signed;
mod source;
mod world;

pub use decaying::{DecayingConfig, DecayingFeatures};
pub use finite::{FiniteData, RowNorm};
pub use hierarchy::{Hierarchy, Siblings};
pub use independent::SparseFeatures;
pub use low_rank::LowRank;
pub use one_active::OneActiveFeature;
pub use sets::{Dependence, FeatureSets};
pub use signed::Signed;
pub use source::Source;
pub use world::{World, WorldBatch, WorldConfig};
