use collimate_grad::{Batch, Objective, Scratch};

/// The loss of a normal crossing in the limit of many samples, `K(w) = Π w_i^{2k_i}`.
///
/// Its one "sample" is the whole population, so all batches are equal. On a box with a flat prior
/// [`crate::CrossingOracle`] gives its exact tempered expectations.
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, Objective, Scratch};
/// use collimate_slt::CrossingLoss;
/// let mut gradient = [0.0; 2];
/// let loss = CrossingLoss::new(&[1, 2]).loss_and_gradient_into(
///     &[3.0, 2.0], Batch::All, &mut Scratch::new(), &mut gradient);
/// assert_eq!((loss, gradient), (144.0, [96.0, 288.0])); // x² y⁴
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossingLoss {
    powers: Vec<u32>,
}

impl CrossingLoss {
    /// Creates the loss with the powers `k`.
    pub fn new(powers: &[u32]) -> Self {
        Self { powers: powers.to_vec() }
    }

    /// Returns the powers `k`.
    pub fn powers(&self) -> &[u32] {
        &self.powers
    }
}

impl Objective<f64> for CrossingLoss {
    fn n_parameters(&self) -> usize {
        self.powers.len()
    }

    fn n_samples(&self) -> usize {
        1
    }

    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        let power = |i: usize| w[i].powi(2 * self.powers[i] as i32);
        for (i, out) in out.iter_mut().enumerate() {
            // The product of the other powers. K/w would be 0/0 on the axes.
            let others: f64 = (0..w.len()).filter(|j| *j != i).map(power).product();
            let k = self.powers[i] as i32;
            *out = if k == 0 { 0.0 } else { others * f64::from(2 * k) * w[i].powi(2 * k - 1) };
        }
        (0..w.len()).map(power).product()
    }
}
