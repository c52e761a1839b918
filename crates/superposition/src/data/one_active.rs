//! Samples in which exactly one feature is on.

use super::source::Source;
use crate::error::SuperpositionError;
use collimate_measure::ensure;
use collimate_stream::RngStream;

/// A source in which exactly one of `n` features is on, each with the same probability. Its value is uniform on `[0, 1]`.
///
/// The loss on this distribution has a closed form: [`OneActive`](crate::OneActive).
///
/// # References
/// Z. Chen et al. (2023), section 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneActiveFeature {
    features: usize,
}

impl OneActiveFeature {
    /// Creates a source of `features` features.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no feature.
    pub fn new(features: usize) -> Result<Self, SuperpositionError> {
        ensure(features > 0, "features", "at least 1", 0.0)?;
        Ok(Self { features })
    }
}

impl Source for OneActiveFeature {
    fn features(&self) -> usize {
        self.features
    }

    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream) {
        row.fill(0.0);
        row[stream.below(self.features)] = stream.uniform();
    }
}
