//! Pairwise ANDs of many Boolean features from few neurons.

use crate::error::{SuperpositionError, require_shape};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::{Array1, ArrayRef1};

/// One layer of ReLU neurons from which the AND of *every* pair of features can be read.
///
/// Each neuron is connected to a random set of features and computes `ReLU(Σ_{i in set} x_i − 1)`. The AND of a pair is the mean
/// over the neurons that are connected to both features. It is at least 1 if both are on. Otherwise only other active
/// features in these sets contribute to it.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::UniversalAnd;
/// use ndarray::Array1;
/// let layer = UniversalAnd::random(30, 200, 0.3, &mut RngStream::new(1, 0))?;
/// let mut x = Array1::zeros(30);
/// (x[3], x[8]) = (1.0, 1.0);
/// let h = layer.neurons(&x)?;
/// assert_eq!(layer.read(&h, 3, 8)?, Some(1.0));
/// assert!(layer.read(&h, 3, 9)?.unwrap() < 0.7);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// K. Hänni, J. Mendel, D. Vaintrob, L. Chan (2024), "Mathematical Models of Computation in Superposition".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniversalAnd {
    features: usize,
    sets: Vec<Vec<u32>>,
}

impl UniversalAnd {
    /// Draws `neurons` neurons, each connected to each feature with probability `density`.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no feature, no neuron or a density outside `(0, 1]`.
    pub fn random(
        features: usize,
        neurons: usize,
        density: f64,
        stream: &mut RngStream,
    ) -> Result<Self, SuperpositionError> {
        ensure(features > 0, "features", "at least 1", 0.0)?;
        ensure(neurons > 0, "neurons", "at least 1", 0.0)?;
        ensure(density > 0.0 && density <= 1.0, "density", "above 0 and at most 1", density)?;
        let mut set = || (0..features as u32).filter(|_| stream.bernoulli(density)).collect();
        Ok(Self { features, sets: (0..neurons).map(|_| set()).collect() })
    }

    /// Computes the activations of the neurons.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] for another number of features.
    pub fn neurons(&self, x: &ArrayRef1<f64>) -> Result<Array1<f64>, SuperpositionError> {
        require_shape("x", &[self.features], x.shape())?;
        let one = |set: &Vec<u32>| (set.iter().map(|&i| x[i as usize]).sum::<f64>() - 1.0).max(0.0);
        Ok(self.sets.iter().map(one).collect())
    }

    /// Computes the AND of two features by the linear readout. Returns `None` if no neuron is connected to both.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] for another number of neurons, [`SuperpositionError::OutOfRange`] for a feature that does
    /// not exist.
    pub fn read(
        &self,
        neurons: &ArrayRef1<f64>,
        i: usize,
        j: usize,
    ) -> Result<Option<f64>, SuperpositionError> {
        require_shape("neurons", &[self.sets.len()], neurons.shape())?;
        for feature in [i, j] {
            ensure(feature < self.features, "feature", "below the number of features", feature as f64)?;
        }
        let connected =
            |set: &[u32]| set.binary_search(&(i as u32)).is_ok() && set.binary_search(&(j as u32)).is_ok();
        let shared: Vec<f64> =
            self.sets.iter().zip(neurons).filter(|(set, _)| connected(set)).map(|(_, &h)| h).collect();
        Ok((!shared.is_empty()).then(|| shared.iter().sum::<f64>() / shared.len() as f64))
    }
}
