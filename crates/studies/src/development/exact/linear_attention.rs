use collimate_measure::{OutOfRange, ensure};

/// In-context linear regression by one layer of linear attention, in closed form.
///
/// ```text
/// x ~ N(0, Λ), w ~ N(0, I), y = w·x + noise of variance s²;  ŷ = x_qᵀ Γ (1/N) Σ y x over N examples
/// Γ_k = 1/((1 + 1/N) λ_k + (tr Λ + s²)/N)
/// ```
///
/// The linear attention of gradient descent from a small start learns one direction after the other, the largest λ first. Its loss rests
/// at each value of [`LinearAttention::plateaus`].
///
/// # Examples
/// ```
/// use collimate_studies::development::LinearAttention;
/// let task = LinearAttention::new(&[1.0, 0.5, 0.25, 0.1], 16, 0.0)?;
/// let plateaus = task.plateaus();
/// assert!((plateaus[0] - 1.85).abs() < 1e-12);
/// assert!((plateaus[4] - 0.40571).abs() < 1e-5);
/// # Ok::<(), collimate_measure::OutOfRange>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LinearAttention {
    eigenvalues: Vec<f64>,
    examples: usize,
    noise: f64,
}

impl LinearAttention {
    /// Takes the eigenvalues λ of Λ, the number N of examples and the variance s² of the noise.
    ///
    /// # Errors
    /// [`OutOfRange`] for an eigenvalue that is not positive, no example, or a negative variance.
    pub fn new(eigenvalues: &[f64], examples: usize, noise: f64) -> Result<Self, OutOfRange> {
        for &eigenvalue in eigenvalues {
            let fine = eigenvalue > 0.0 && eigenvalue.is_finite();
            ensure(fine, "an eigenvalue", "positive and finite", eigenvalue)?;
        }
        ensure(examples > 0, "the number of examples", "at least 1", examples as f64)?;
        ensure(
            noise >= 0.0 && noise.is_finite(),
            "the variance of the noise",
            "at least 0 and finite",
            noise,
        )?;
        let mut eigenvalues = eigenvalues.to_vec();
        eigenvalues.sort_by(|a, b| b.total_cmp(a));
        Ok(Self { eigenvalues, examples, noise })
    }

    /// Returns the best Γ_k of each direction, the largest eigenvalue first.
    pub fn weights(&self) -> Vec<f64> {
        let n = self.examples as f64;
        let total = self.eigenvalues.iter().sum::<f64>() + self.noise;
        self.eigenvalues.iter().map(|x| 1.0 / ((1.0 + 1.0 / n) * x + total / n)).collect()
    }

    /// Returns the mean squared error after the first m directions are learned, for m = 0, 1, …:
    ///
    /// ```text
    /// tr Λ + s² − Σ_{k ≤ m} λ_k² Γ_k
    /// ```
    pub fn plateaus(&self) -> Vec<f64> {
        let mut loss = self.eigenvalues.iter().sum::<f64>() + self.noise;
        let mut plateaus = vec![loss];
        for (x, weight) in self.eigenvalues.iter().zip(self.weights()) {
            loss -= x * x * weight;
            plateaus.push(loss);
        }
        plateaus
    }
}
