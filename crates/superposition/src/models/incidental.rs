//! Incidental polysemanticity: two features that share a neuron because both started on it.

use crate::error::SuperpositionError;
use collimate_grad::{Batch, Objective, Scratch};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use collimate_tensor::matmul;
use ndarray::{Array2, ArrayRef2, Axis};

/// A model of `n` features and `m ≥ n` neurons with an L1 penalty, under which each feature ends on one neuron. Each sample
/// is one feature.
///
/// ```text
/// y = ReLU(W Wᵀ x)        L = Σ_i ‖y(e_i) − e_i‖² + λ Σ_{i,k} |W_ik|        W: [n, m]
/// ```
///
/// There are enough neurons for one neuron per feature. Yet two features that start with the same largest neuron may keep
/// it with opposite signs: about half of the `n(n − 1)/(2m)` expected collisions.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{IncidentalNeurons, neuron_collisions};
/// let few = IncidentalNeurons { features: 4, neurons: 16, steps: 300, ..Default::default() };
/// let w = few.train(&mut RngStream::new(1, 0))?;
/// assert_eq!(w.dim(), (4, 16));
/// assert!(neuron_collisions(&w) <= 6); // at most every pair
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// V. Lecomte et al. (2023), "What Causes Polysemanticity? An Alternative Origin Story of Mixed Selectivity from Incidental
/// Causes".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IncidentalNeurons {
    /// The number of features `n`.
    pub features: usize,
    /// The number of neurons `m`.
    pub neurons: usize,
    /// The penalty λ.
    pub l1: f64,
    /// The number of steps of gradient descent.
    pub steps: u64,
    /// The step size.
    pub rate: f64,
}

impl Default for IncidentalNeurons {
    /// Returns 32 features in 32 neurons with λ = 0.02.
    fn default() -> Self {
        Self { features: 32, neurons: 32, l1: 0.02, steps: 1500, rate: 0.05 }
    }
}

impl IncidentalNeurons {
    /// Draws the weights before training: normal, with unit length for each feature.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for no feature or no neuron.
    pub fn start(&self, stream: &mut RngStream) -> Result<Array2<f64>, SuperpositionError> {
        ensure(self.features > 0, "features", "at least 1", 0.0)?;
        ensure(self.neurons > 0, "neurons", "at least 1", 0.0)?;
        let mut w = Array2::from_shape_simple_fn((self.features, self.neurons), || stream.normal());
        for mut row in w.axis_iter_mut(Axis(0)) {
            let norm = row.dot(&row).sqrt();
            row /= norm;
        }
        Ok(w)
    }

    /// Trains the weights and returns them, `[n, m]`.
    ///
    /// The step along the penalty never crosses zero (soft thresholding), so unused weights are exactly 0.
    ///
    /// # Errors
    /// The errors of [`IncidentalNeurons::start`], and [`SuperpositionError::OutOfRange`] for a penalty that is negative or not
    /// finite, or a rate that is not positive and finite.
    ///
    /// # Determinism
    /// Only the start uses the stream.
    pub fn train(&self, stream: &mut RngStream) -> Result<Array2<f64>, SuperpositionError> {
        ensure(self.l1 >= 0.0 && self.l1.is_finite(), "l1", "at least 0 and finite", self.l1)?;
        ensure(self.rate > 0.0 && self.rate.is_finite(), "rate", "positive and finite", self.rate)?;
        let mut w = self.start(stream)?;
        for _ in 0..self.steps {
            // y(e_j)_i = ReLU(G_ij). G is symmetric, hence the error matrix is too.
            let mut error = product(&w, &w.t());
            for ((i, j), g) in error.indexed_iter_mut() {
                *g = if *g > 0.0 { *g - f64::from(u8::from(i == j)) } else { 0.0 };
            }
            let pull = product(&error, &w);
            let threshold = self.rate * self.l1;
            w.zip_mut_with(&pull, |w, g| {
                let moved = *w - 4.0 * self.rate * g;
                *w = moved.signum() * (moved.abs() - threshold).max(0.0);
            });
        }
        Ok(w)
    }
}

/// The loss over `W` (`[n, m]`, row-major), divided by `n`. Sample `i` is feature `i`, and the penalty belongs to no sample.
///
/// The gradient of the penalty is 0 for a weight of 0.
impl Objective<f64> for IncidentalNeurons {
    fn n_parameters(&self) -> usize {
        self.features * self.neurons
    }

    fn n_samples(&self) -> usize {
        self.features
    }

    fn loss_and_gradient_into(&self, w: &[f64], batch: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        let (n, m) = (self.features, self.neurons);
        let rate = self.l1 / n as f64;
        let sign = |x: f64| if x == 0.0 { 0.0 } else { x.signum() };
        out.iter_mut().zip(w).for_each(|(o, &x)| *o = rate * sign(x));
        let mut loss = rate * w.iter().map(|x| x.abs()).sum::<f64>();
        let share = 1.0 / batch.len(n) as f64;
        let row = |i: usize| &w[i * m..(i + 1) * m];
        for j in batch.iter(n) {
            for i in 0..n {
                let g: f64 = row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum();
                let error = g.max(0.0) - f64::from(u8::from(i == j));
                loss += share * error * error;
                if g > 0.0 {
                    for k in 0..m {
                        out[i * m + k] += 2.0 * share * error * w[j * m + k];
                        out[j * m + k] += 2.0 * share * error * w[i * m + k];
                    }
                }
            }
        }
        loss
    }

    fn coordinate_name(&self, index: usize) -> String {
        format!("W[{}, {}]", index / self.neurons, index % self.neurons)
    }
}

fn product(a: &ArrayRef2<f64>, b: &ArrayRef2<f64>) -> Array2<f64> {
    matmul(a, b).expect("the inner sizes are equal")
}

/// Returns for each feature the neuron with its largest weight.
///
/// # Shapes
/// `w`: `[n, m]`.
pub fn largest_neurons(w: &ArrayRef2<f64>) -> Vec<usize> {
    let largest = |row: ndarray::ArrayView1<f64>| {
        (0..row.len()).fold(0, |best, k| if row[k].abs() > row[best].abs() { k } else { best })
    };
    w.rows().into_iter().map(largest).collect()
}

/// Counts the pairs of features that have their largest weight on the same neuron.
pub fn neuron_collisions(w: &ArrayRef2<f64>) -> usize {
    let winners = largest_neurons(w);
    (0..winners.len()).map(|i| winners[..i].iter().filter(|&&k| k == winners[i]).count()).sum()
}

/// Counts the neurons that have, for at least two features, a weight above `share` times the largest weight of all.
pub fn polysemantic_neurons(w: &ArrayRef2<f64>, share: f64) -> usize {
    let largest = w.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
    w.columns().into_iter().filter(|c| c.iter().filter(|x| x.abs() > share * largest).count() >= 2).count()
}
