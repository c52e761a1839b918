//! All pairwise ANDs of many Boolean features from few neurons.

use crate::error::{SuperpositionError, require, require_shape};
use collimate_stream::RngStream;
use ndarray::{Array1, ArrayRef1};

/// One layer of ReLU neurons from which the AND of *every* pair of features can be read.
///
/// Each neuron is connected to a random set of features, `ReLU(Σ_{i in set} x_i − 1)`, and the AND of a pair is read as the
/// mean over the neurons connected to both: at least 1 when both are on; otherwise only other active features in those
/// sets add to it.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::u_and::UniversalAnd;
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
    /// `neurons` neurons, each connected to each feature with probability `density`.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no feature, no neuron or a density outside `(0, 1]`.
    pub fn random(
        features: usize,
        neurons: usize,
        density: f64,
        stream: &mut RngStream,
    ) -> Result<Self, SuperpositionError> {
        require(features > 0, "features", 0.0, "at least 1")?;
        require(neurons > 0, "neurons", 0.0, "at least 1")?;
        require(density > 0.0 && density <= 1.0, "density", density, "above 0 and at most 1")?;
        let mut set = || (0..features as u32).filter(|_| stream.bernoulli(density)).collect();
        Ok(Self { features, sets: (0..neurons).map(|_| set()).collect() })
    }

    /// The activations of the neurons.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] for another number of features.
    pub fn neurons(&self, x: &ArrayRef1<f64>) -> Result<Array1<f64>, SuperpositionError> {
        require_shape("x", &[self.features], x.shape())?;
        let one = |set: &Vec<u32>| (set.iter().map(|&i| x[i as usize]).sum::<f64>() - 1.0).max(0.0);
        Ok(self.sets.iter().map(one).collect())
    }

    /// The AND of two features as the linear readout gives it; `None` when no neuron is connected to both.
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
            require(feature < self.features, "feature", feature as f64, "below the number of features")?;
        }
        let connected =
            |set: &[u32]| set.binary_search(&(i as u32)).is_ok() && set.binary_search(&(j as u32)).is_ok();
        let shared: Vec<f64> =
            self.sets.iter().zip(neurons).filter(|(set, _)| connected(set)).map(|(_, &h)| h).collect();
        Ok((!shared.is_empty()).then(|| shared.iter().sum::<f64>() / shared.len() as f64))
    }
}
