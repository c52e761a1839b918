//! Data with known features.
//!
//! Every distribution is a [`Source`]: it fills a row with the values of all features. What the models see of it is
//! their own affair, so any of them trains on any of these.

mod decaying;
mod finite;
mod hierarchy;
mod independent;
mod low_rank;
mod one_active;
mod sets;
mod signed;
mod world;

pub use decaying::{DecayingConfig, DecayingFeatures};
pub use finite::{FiniteData, RowNorm};
pub use hierarchy::{Hierarchy, Siblings};
pub use independent::SparseFeatures;
pub use low_rank::LowRank;
pub use one_active::OneActiveFeature;
pub use sets::{FeatureSets, Together};
pub use signed::Signed;
pub use world::{World, WorldBatch, WorldConfig};

use collimate_stream::RngStream;
use ndarray::Array2;
use std::fmt::Debug;

/// A distribution over the values of known features.
pub trait Source: Debug + Send + Sync {
    /// The number of features `n`.
    fn features(&self) -> usize;

    /// Draws the features of one sample into a row of that length.
    ///
    /// # Panics
    /// May panic when the row has another length.
    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream);

    /// The on-probabilities, when the features are independent and uniform on `[0, 1]` where they are on.
    ///
    /// A trainer that knows this draws them itself, many at a time.
    fn independent(&self) -> Option<&[f64]> {
        None
    }

    /// Draws `samples` rows.
    ///
    /// # Shapes
    /// Result: samples × n.
    ///
    /// # Determinism
    /// Row by row from the stream.
    fn rows(&self, samples: usize, stream: &mut RngStream) -> Array2<f64> {
        let mut x = Array2::zeros((samples, self.features()));
        for mut row in x.rows_mut() {
            self.fill_row(row.as_slice_mut().expect("a fresh matrix is in row-major order"), stream);
        }
        x
    }
}
