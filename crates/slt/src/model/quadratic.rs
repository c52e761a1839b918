use collimate_grad::{Batch, Objective, PerSampleLosses, Scratch};

/// A quadratic loss with given curvatures, a regular model with a known posterior. Each sample shifts the minimum.
///
/// ```text
/// ℓ_j(w) = ½ Σ_i h_i (w_i − x_ji)²
/// ```
///
/// The population loss `½ Σ h_i w_i²` has one "sample" at the origin.
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, Objective, Scratch};
/// use collimate_slt::QuadraticLoss;
/// let mut gradient = [0.0];
/// let loss = QuadraticLoss::of_samples(&[2.0], vec![vec![1.0], vec![3.0]]).loss_and_gradient_into(
///     &[2.0], Batch::All, &mut Scratch::new(), &mut gradient);
/// assert_eq!((loss, gradient), (1.0, [0.0]));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct QuadraticLoss {
    curvatures: Vec<f64>,
    samples: Vec<Vec<f64>>,
}

impl QuadraticLoss {
    /// Creates the population loss.
    pub fn new(curvatures: &[f64]) -> Self {
        Self::of_samples(curvatures, vec![vec![0.0; curvatures.len()]])
    }

    /// Creates the loss of samples.
    ///
    /// # Panics
    /// If there is no sample, or if a sample does not have one coordinate per curvature.
    pub fn of_samples(curvatures: &[f64], samples: Vec<Vec<f64>>) -> Self {
        assert!(!samples.is_empty(), "at least one sample");
        assert!(samples.iter().all(|x| x.len() == curvatures.len()), "one coordinate per curvature");
        Self { curvatures: curvatures.to_vec(), samples }
    }

    /// Returns the loss of one sample.
    fn of_sample(&self, w: &[f64], sample: &[f64]) -> f64 {
        let terms = self.curvatures.iter().zip(w).zip(sample);
        0.5 * terms.map(|((h, w), x)| h * (w - x) * (w - x)).sum::<f64>()
    }
}

impl Objective<f64> for QuadraticLoss {
    fn n_parameters(&self) -> usize {
        self.curvatures.len()
    }

    fn n_samples(&self) -> usize {
        self.samples.len()
    }

    fn loss_and_gradient_into(&self, w: &[f64], batch: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        out.fill(0.0);
        let share = 1.0 / batch.len(self.samples.len()) as f64;
        let mut add = |i: usize| {
            let sample = &self.samples[i];
            for (((out, h), w), x) in out.iter_mut().zip(&self.curvatures).zip(w).zip(sample) {
                *out += share * h * (w - x);
            }
            share * self.of_sample(w, sample)
        };
        batch.iter(self.samples.len()).map(&mut add).sum()
    }

    fn per_sample_losses(&self) -> Option<&dyn PerSampleLosses<f64>> {
        Some(self)
    }
}

impl PerSampleLosses<f64> for QuadraticLoss {
    fn per_sample_losses_into(&self, w: &[f64], batch: Batch<'_>, _: &mut Scratch, out: &mut [f64]) {
        for (i, out) in batch.iter(self.samples.len()).zip(out) {
            *out = self.of_sample(w, &self.samples[i]);
        }
    }
}
