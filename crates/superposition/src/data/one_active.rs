//! Exactly one feature at a time.

use super::Source;
use crate::error::{SuperpositionError, require};
use collimate_stream::RngStream;

/// Exactly one of `n` features is on, each as likely, with a value uniform on `[0, 1]`.
///
/// The loss on this distribution has a closed form: [`OneActive`](crate::one_active::OneActive).
///
/// # References
/// Z. Chen et al. (2023), section 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneActiveFeature {
    features: usize,
}

impl OneActiveFeature {
    /// One of `features` features.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no feature.
    pub fn new(features: usize) -> Result<Self, SuperpositionError> {
        require(features > 0, "features", 0.0, "at least 1")?;
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
