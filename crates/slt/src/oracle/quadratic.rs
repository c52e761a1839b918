use crate::{NBeta, SltError};
use collimate_measure::ensure;

/// Full-batch Langevin dynamics on a quadratic loss, in closed form.
///
/// ```text
/// L(w) = ½ Σ h_i w_i²,   a_i = nβ h_i + γ
/// posterior LLC      Σ nβ h_i / 2a_i
/// stationary LLC     Σ nβ h_i / (2a_i (1 − ε a_i/4))       stable iff ε a_i < 4
/// autocorrelation    of the position ρ = 1 − ε a/2, of the loss ρ²
/// ```
///
/// The stationary variance of the Euler step is too large by the factor `1/(1 − ε a/4)`. This is the discretisation bias of
/// an uncorrected sampler.
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
    /// Creates the oracle of a loss with the given curvatures.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for a negative curvature or γ, for a step at which the chain is not stable (`ε·max a ≥ 4`), or
    /// if the chain has no stationary law (`a = 0`).
    pub fn new(curvatures: Vec<f64>, n_beta: NBeta, gamma: f64, step_size: f64) -> Result<Self, SltError> {
        ensure(gamma >= 0.0 && gamma.is_finite(), "gamma", "at least 0 and finite", gamma)?;
        for &h in &curvatures {
            let a = n_beta.get() * h + gamma;
            let fits = h >= 0.0 && a > 0.0 && a.is_finite();
            ensure(fits, "a curvature", "at least 0, and positive if γ is 0", h)?;
            let stable = step_size > 0.0 && step_size * a < 4.0;
            ensure(stable, "step_size", "positive and below 4/(nβh + γ)", step_size)?;
        }
        Ok(Self { curvatures, n_beta: n_beta.get(), gamma, step_size })
    }

    /// Returns the tempered expectation under the localised posterior.
    pub fn posterior_llc(&self) -> f64 {
        self.curvatures.iter().map(|h| self.n_beta * h / (2.0 * (self.n_beta * h + self.gamma))).sum()
    }

    /// Returns the value to which the chain converges at its step size.
    pub fn stationary_llc(&self) -> f64 {
        let term = |h: &f64| {
            let a = self.n_beta * h + self.gamma;
            self.n_beta * h / (2.0 * a * (1.0 - 0.25 * self.step_size * a))
        };
        self.curvatures.iter().map(term).sum()
    }

    /// Returns the integrated autocorrelation time of the loss, in steps, along the direction of curvature number `i`.
    pub fn autocorrelation_time(&self, i: usize) -> f64 {
        let rho = 1.0 - 0.5 * self.step_size * (self.n_beta * self.curvatures[i] + self.gamma);
        (1.0 + rho * rho) / (1.0 - rho * rho)
    }
}
