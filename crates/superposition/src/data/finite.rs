//! A fixed set of points.

use super::source::Source;
use crate::error::{SuperpositionError, require_finite};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::{Array2, ArrayRef2};

/// The treatment of the length of each point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowNorm {
    /// The length is unchanged.
    AsDrawn,
    /// The length is scaled to 1 for every point that is not zero.
    Unit,
}

/// A finite data set. A sample is one of its points, each with the same probability.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{FiniteData, RowNorm, Source, SparseFeatures};
/// let stream = &mut RngStream::new(1, 0);
/// let points = FiniteData::draw(&SparseFeatures::uniform(50, 0.1)?, 3, RowNorm::Unit, stream)?;
/// let x = points.rows(10, stream);
/// assert!(x.rows().into_iter().all(|row| (row.dot(&row) - 1.0).abs() < 1e-12));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// T. Henighan et al. (2023), "Superposition, Memorization, and Double Descent".
#[derive(Clone, Debug, PartialEq)]
pub struct FiniteData {
    points: Array2<f64>,
}

impl FiniteData {
    /// Creates a data set from the rows of a matrix `[points, n]`.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no row or no column, [`SuperpositionError::NotFinite`] for NaN or
    /// infinite entries.
    pub fn new(points: Array2<f64>) -> Result<Self, SuperpositionError> {
        ensure(!points.is_empty(), "points.len()", "at least 1", 0.0)?;
        require_finite("points", points.iter())?;
        Ok(Self { points: points.as_standard_layout().into_owned() })
    }

    /// Draws `count` points from a source.
    ///
    /// A zero row is drawn again, up to 1,000 times.
    ///
    /// # Errors
    /// The errors of [`FiniteData::new`].
    pub fn draw(
        source: &dyn Source,
        count: usize,
        norm: RowNorm,
        stream: &mut RngStream,
    ) -> Result<Self, SuperpositionError> {
        let mut points = Array2::zeros((count, source.features()));
        for mut row in points.rows_mut() {
            for _ in 0..1000 {
                source.fill_row(row.as_slice_mut().expect("a fresh matrix is in row-major order"), stream);
                if row.iter().any(|&x| x != 0.0) {
                    break;
                }
            }
            let length = row.dot(&row).sqrt();
            if norm == RowNorm::Unit && length > 0.0 {
                row /= length;
            }
        }
        Self::new(points)
    }

    /// Returns the points `[points, n]`.
    pub fn points(&self) -> &ArrayRef2<f64> {
        &self.points
    }
}

impl Source for FiniteData {
    fn features(&self) -> usize {
        self.points.ncols()
    }

    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream) {
        let point = self.points.row(stream.below(self.points.nrows()));
        row.copy_from_slice(point.as_slice().expect("the constructor stores row-major points"));
    }
}
