//! Independent sparse features.

use super::source::Source;
use crate::error::SuperpositionError;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::Array2;

/// Independent features that are zero with probability `1 − p_i` and uniform on `[0, 1]` otherwise.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::SparseFeatures;
/// let x = SparseFeatures::uniform(5, 0.2)?.sample(1000, &mut RngStream::new(1, 0));
/// let on = x.iter().filter(|&&v| v > 0.0).count();
/// assert!((850..1150).contains(&on)); // 1000 expected, standard deviation 28
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// Elhage et al. (2022), section "Demonstrating Superposition".
#[derive(Clone, Debug, PartialEq)]
pub struct SparseFeatures {
    on_probability: Vec<f64>,
}

impl SparseFeatures {
    /// Creates features with these on-probabilities.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] if the list is empty or a probability lies outside `[0, 1]`.
    pub fn new(on_probability: Vec<f64>) -> Result<Self, SuperpositionError> {
        ensure(!on_probability.is_empty(), "on_probability.len()", "at least 1", 0.0)?;
        for &p in &on_probability {
            ensure((0.0..=1.0).contains(&p), "on_probability", "0 to 1", p)?;
        }
        Ok(Self { on_probability })
    }

    /// Creates `n` features with one on-probability.
    ///
    /// # Errors
    /// The errors of [`SparseFeatures::new`].
    pub fn uniform(n: usize, on_probability: f64) -> Result<Self, SuperpositionError> {
        Self::new(vec![on_probability; n])
    }

    /// Creates `n` features whose on-probabilities fall as a power of their rank.
    ///
    /// ```text
    /// p_i = max(lowest, highest · (i + 1)^(−exponent))
    /// ```
    ///
    /// # Errors
    /// The errors of [`SparseFeatures::new`], and [`SuperpositionError::OutOfRange`] for an exponent that is not finite.
    pub fn zipf(n: usize, exponent: f64, highest: f64, lowest: f64) -> Result<Self, SuperpositionError> {
        ensure(exponent.is_finite(), "exponent", "finite", exponent)?;
        ensure((0.0..=1.0).contains(&lowest), "lowest", "0 to 1", lowest)?;
        Self::new((0..n).map(|i| (highest * ((i + 1) as f64).powf(-exponent)).max(lowest)).collect())
    }

    /// Returns the number of features.
    pub fn features(&self) -> usize {
        self.on_probability.len()
    }

    /// Returns the on-probability of each feature.
    pub fn on_probability(&self) -> &[f64] {
        &self.on_probability
    }

    /// Returns the mean of each feature, `p/2`.
    pub fn means(&self) -> Vec<f64> {
        self.on_probability.iter().map(|p| p / 2.0).collect()
    }

    /// Returns the variance of each feature, `p/3 − p²/4`.
    pub fn variances(&self) -> Vec<f64> {
        self.on_probability.iter().map(|p| p / 3.0 - p * p / 4.0).collect()
    }

    /// Draws one sample into a slice and returns true if a feature is on.
    ///
    /// One uniform number `u` decides both whether a feature is on and its value: for `u < p`, `u/p` is uniform again.
    pub fn fill(&self, out: &mut [f64], stream: &mut RngStream) -> bool {
        let mut any = false;
        for (value, &p) in out.iter_mut().zip(&self.on_probability) {
            let u = stream.uniform();
            *value = if u < p { u / p } else { 0.0 };
            any |= u < p;
        }
        any
    }

    /// Draws `samples` rows.
    ///
    /// # Shapes
    /// Result: `[samples, n]`.
    ///
    /// # Determinism
    /// The rows are drawn one after the other from the stream.
    pub fn sample(&self, samples: usize, stream: &mut RngStream) -> Array2<f64> {
        let mut x = Array2::zeros((samples, self.features()));
        for mut row in x.rows_mut() {
            self.fill(row.as_slice_mut().expect("a fresh matrix is in row-major order"), stream);
        }
        x
    }
}

impl Source for SparseFeatures {
    fn features(&self) -> usize {
        self.on_probability.len()
    }

    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream) {
        self.fill(row, stream);
    }

    fn independent(&self) -> Option<&[f64]> {
        Some(&self.on_probability)
    }
}
