use crate::SltError;
use crate::error::positive;
use collimate_measure::ensure;

/// The mean of a Gaussian in `d` dimensions with unit noise and prior `N(0, v I)`, a regular model with λ = d/2.
///
/// The free energy above `n L_n(ŵ)`, averaged over data from the prior predictive of a true mean of zero in the
/// limit of many samples, is
///
/// ```text
/// F(n) = (d/2) log(1 + n v)
/// ```
///
/// # Examples
/// ```
/// use collimate_slt::GaussianMean;
/// let model = GaussianMean::new(6, 100.0)?;
/// // λ = 3, but the ratio to log n is still 4 at a million samples.
/// assert!((model.free_energy(1e6) / 1e6f64.ln() - 4.0).abs() < 1e-6);
/// assert!((model.slope(1e4, 1e6) - 3.0).abs() < 1e-5);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GaussianMean {
    dimensions: usize,
    prior_variance: f64,
}

impl GaussianMean {
    /// Creates a model.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for no dimensions, or a variance that is not positive and finite.
    pub fn new(dimensions: usize, prior_variance: f64) -> Result<Self, SltError> {
        ensure(dimensions > 0, "dimensions", "at least 1", dimensions as f64)?;
        positive("prior_variance", prior_variance)?;
        Ok(Self { dimensions, prior_variance })
    }

    /// Returns the volume term of the free energy at `n` samples, `−log ∫ φ(w) e^{−n|w|²/2} dw`.
    pub fn free_energy(&self, n: f64) -> f64 {
        0.5 * self.dimensions as f64 * (n * self.prior_variance).ln_1p()
    }

    /// Returns the slope `(F(n₂) − F(n₁)) / log(n₂/n₁)`, an estimate of λ from two free energies.
    pub fn slope(&self, n1: f64, n2: f64) -> f64 {
        (self.free_energy(n2) - self.free_energy(n1)) / (n2 / n1).ln()
    }

    /// Returns `E_β[n β (L_n − L_n(ŵ))] = (d/2)·t/(t + 1/v)` at t = nβ, for data with mean zero.
    pub fn tempered_llc(&self, t: f64) -> f64 {
        0.5 * self.dimensions as f64 * t / (t + 1.0 / self.prior_variance)
    }
}
