//! The trait of every distribution over known features.

use collimate_stream::RngStream;
use ndarray::Array2;
use std::fmt::Debug;

/// A distribution over the values of known features.
pub trait Source: Debug + Send + Sync {
    /// Returns the number of features `n`.
    fn features(&self) -> usize;

    /// Draws the features of one sample into a row of length `n`.
    ///
    /// # Panics
    /// May panic if the row has another length.
    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream);

    /// Returns the on-probabilities if the features are independent, and uniform on `[0, 1]` where they are on.
    ///
    /// A trainer then draws the features itself, by a faster method.
    fn independent(&self) -> Option<&[f64]> {
        None
    }

    /// Draws `samples` rows.
    ///
    /// # Shapes
    /// Result: `[samples, n]`.
    ///
    /// # Determinism
    /// The rows are drawn one after the other from the stream.
    fn rows(&self, samples: usize, stream: &mut RngStream) -> Array2<f64> {
        let mut x = Array2::zeros((samples, self.features()));
        for mut row in x.rows_mut() {
            self.fill_row(row.as_slice_mut().expect("a fresh matrix is in row-major order"), stream);
        }
        x
    }
}
