//! Correlated features whose frequencies fall geometrically.

use super::source::Source;
use crate::error::SuperpositionError;
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::Array2;

/// The configuration of [`DecayingFeatures`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DecayingConfig {
    /// The number of features `n`.
    pub features: usize,
    /// The mean number of features that are on in a sample.
    pub on_average: f64,
    /// The ratio of each feature's frequency to the one before it.
    pub decay: f64,
    /// The number of common causes. With few causes the features are strongly correlated.
    pub causes: usize,
}

impl Default for DecayingConfig {
    /// Returns the data on which sparse autoencoders were first tried against superposition: 512 features, five of them on
    /// in a sample on average, decay 0.99, 512 causes. The reference uses random directions in [`DecayingConfig::WIDTH`]
    /// dimensions.
    fn default() -> Self {
        Self { features: 512, on_average: 5.0, decay: 0.99, causes: 512 }
    }
}

impl DecayingConfig {
    /// The width of the activations in the reference.
    pub const WIDTH: usize = 256;
}

/// Correlated features with geometrically falling frequencies, uniform on `(0, 1]` where they are on.
///
/// ```text
/// p_i = on_average · decay^i / Σ_j decay^j        g = L z,  z standard normal,  rows of L random on the unit sphere
/// feature i is on with probability 2 Φ(g_i) p_i, hence with probability p_i over all samples
/// ```
///
/// The released code of the reference scales the probabilities of each batch to the wanted mean, and switches a random feature
/// on where none is. Here the frequencies are exact instead, and a sample may be empty.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{DecayingConfig, DecayingFeatures, Source};
/// let preset = DecayingFeatures::new(DecayingConfig::default(), &mut RngStream::new(1, 0))?;
/// let (p, on) = (preset.on_probability(), preset.on_probability().iter().sum::<f64>());
/// assert!((on - 5.0).abs() < 1e-12 && (p[100] / p[0] - 0.99_f64.powi(100)).abs() < 1e-12);
/// assert_eq!(preset.rows(3, &mut RngStream::new(2, 0)).dim(), (3, 512));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// L. Sharkey, D. Braun, B. Millidge (2022), "Taking features out of superposition with sparse autoencoders".
#[derive(Clone, Debug, PartialEq)]
pub struct DecayingFeatures {
    on_probability: Vec<f64>,
    loadings: Array2<f64>,
}

impl DecayingFeatures {
    /// Creates features with random correlations.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no feature or no cause, a decay outside `(0, 1]`, or an average for which the most
    /// frequent feature would be on more than half the time.
    pub fn new(config: DecayingConfig, stream: &mut RngStream) -> Result<Self, SuperpositionError> {
        let DecayingConfig { features, on_average, decay, causes } = config;
        ensure(features > 0, "features", "at least 1", 0.0)?;
        ensure(causes > 0, "causes", "at least 1", 0.0)?;
        ensure(decay > 0.0 && decay <= 1.0, "decay", "above 0 and at most 1", decay)?;
        let share = |i: usize| decay.powi(i as i32);
        let whole: f64 = (0..features).map(share).sum();
        let highest = on_average / whole;
        ensure(
            highest > 0.0 && highest <= 0.5,
            "on-probability of the first feature",
            "above 0 and at most 1/2",
            highest,
        )?;
        let mut loadings = Array2::from_shape_simple_fn((features, causes), || stream.normal());
        for mut row in loadings.rows_mut() {
            let norm = row.dot(&row).sqrt();
            row /= norm;
        }
        Ok(Self { on_probability: (0..features).map(|i| highest * share(i)).collect(), loadings })
    }

    /// Returns the on-probability of each feature.
    pub fn on_probability(&self) -> &[f64] {
        &self.on_probability
    }
}

impl Source for DecayingFeatures {
    fn features(&self) -> usize {
        self.on_probability.len()
    }

    fn fill_row(&self, row: &mut [f64], stream: &mut RngStream) {
        let mut causes = vec![0.0; self.loadings.ncols()];
        stream.fill_normal(&mut causes);
        for ((x, &p), loading) in row.iter_mut().zip(&self.on_probability).zip(self.loadings.rows()) {
            let other = stream.normal();
            // A second normal number lies below g with probability Φ(g), so Φ itself is not needed. The common part g is
            // computed only where the feature may be on at all.
            let allowed = || other < loading.iter().zip(&causes).map(|(l, z)| l * z).sum::<f64>();
            *x = if stream.bernoulli(2.0 * p) && allowed() { 1.0 - stream.uniform() } else { 0.0 };
        }
    }
}
