use crate::{NBeta, SltError};

/// Full-batch Langevin dynamics on a quadratic loss, in closed form.
///
/// ```text
/// L(w) = ½ Σ h_i w_i²,   a_i = nβ h_i + γ
/// posterior LLC      Σ nβ h_i / 2a_i
/// stationary LLC     Σ nβ h_i / (2a_i (1 − ε a_i/4))       stable iff ε a_i < 4
/// autocorrelation    of the position ρ = 1 − ε a/2, of the loss ρ²
/// ```
///
/// The Euler step's stationary variance is too large by the factor `1/(1 − ε a/4)`: this is the discretisation bias
/// that every uncorrected sampler has.
///
/// # Examples
/// ```
/// use collimate_slt::{NBeta, QuadraticOracle};
/// let oracle = QuadraticOracle::new(vec![1.0], NBeta::new(145.0)?, 1.0, 1e-3)?;
/// assert!((oracle.posterior_llc() - 0.49658).abs() < 5e-6);
/// assert!((oracle.stationary_llc() - 0.51539).abs() < 5e-6);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct QuadraticOracle {
    curvatures: Vec<f64>,
    n_beta: f64,
    gamma: f64,
    step_size: f64,
}

impl QuadraticOracle {
    /// The oracle of a loss with the given curvatures.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for a curvature below 0, a negative γ, or a step at which the chain is not stable
    /// (`ε·max a ≥ 4`) or has no stationary law (`a = 0`).
    pub fn new(curvatures: Vec<f64>, n_beta: NBeta, gamma: f64, step_size: f64) -> Result<Self, SltError> {
        if !(gamma >= 0.0 && gamma.is_finite()) {
            return Err(SltError::OutOfRange { name: "gamma", value: gamma, expected: "at least 0" });
        }
        for &h in &curvatures {
            let a = n_beta.get() * h + gamma;
            if !(h >= 0.0 && a > 0.0 && a.is_finite()) {
                let expected = "at least 0, and positive where γ is 0";
                return Err(SltError::OutOfRange { name: "curvature", value: h, expected });
            }
            if !(step_size > 0.0 && step_size * a < 4.0) {
                let expected = "positive and below 4/(nβh + γ)";
                return Err(SltError::OutOfRange { name: "step_size", value: step_size, expected });
            }
        }
        Ok(Self { curvatures, n_beta: n_beta.get(), gamma, step_size })
    }

    /// The tempered expectation under the localised posterior.
    pub fn posterior_llc(&self) -> f64 {
        self.curvatures.iter().map(|h| self.n_beta * h / (2.0 * (self.n_beta * h + self.gamma))).sum()
    }

    /// What the chain converges to at its step size.
    pub fn stationary_llc(&self) -> f64 {
        let term = |h: &f64| {
            let a = self.n_beta * h + self.gamma;
            self.n_beta * h / (2.0 * a * (1.0 - 0.25 * self.step_size * a))
        };
        self.curvatures.iter().map(term).sum()
    }

    /// The integrated autocorrelation time of the loss, in steps, along the direction of curvature number `i`.
    pub fn autocorrelation_time(&self, i: usize) -> f64 {
        let rho = 1.0 - 0.5 * self.step_size * (self.n_beta * self.curvatures[i] + self.gamma);
        (1.0 + rho * rho) / (1.0 - rho * rho)
    }
}
