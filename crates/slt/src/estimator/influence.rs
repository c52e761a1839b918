use super::SampleLosses;
use crate::{ChainMean, NBeta};
use collimate_measure::{Fingerprint, Measurement, Quantity, Unit, WrongLength};
use ndarray::Array2;

/// A response of the posterior to a change of its data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Susceptibility {
    /// The kind of the response.
    pub quantity: Quantity,
    /// The value, χ or B.
    pub value: f64,
    /// The Monte-Carlo error at fixed data.
    pub standard_error: f64,
    /// The effective sample size.
    pub ess: f64,
}

const SUSCEPTIBILITY: Quantity = Quantity {
    name: "susceptibility",
    definition: "−nβ Cov(φ, ΔL): the derivative of E[φ] by the share of ΔL in the loss",
    unit: Unit::One,
};
const INFLUENCE: Quantity = Quantity {
    name: "Bayesian influence",
    definition: "−Cov(ℓ_i, ℓ_j): the derivative of E[ℓ_j] by the weight of sample i, over β",
    unit: Unit::One,
};

impl Susceptibility {
    fn of(quantity: Quantity, scale: f64, found: ChainMean) -> Self {
        let (value, standard_error) = (scale * found.value, scale.abs() * found.standard_error);
        Self { quantity, value, standard_error, ess: found.ess }
    }

    /// Returns the response as a measurement that names its estimand.
    pub fn measurement(&self, object: Fingerprint) -> Measurement {
        let n = if self.ess.is_finite() { self.ess as u64 } else { 0 };
        Measurement::estimate(&self.quantity, self.value, self.standard_error, n, object)
            .estimating("the first-order response of this posterior at its data, temperature and prior")
    }
}

/// Returns the response of an observable to a small share of another loss in the posterior.
///
/// ```text
/// χ = d/dh ⟨φ⟩_h |₀ = −nβ Cov(φ, ΔL),   p_h(w) ∝ exp(−nβ [L(w) + h ΔL(w)] …)
/// ```
///
/// # Shapes
/// `observable` and `change` hold φ and ΔL along the same chains: `[chains, draws]`.
///
/// # Errors
/// [`WrongLength`] if the two differ in shape.
///
/// # Examples
/// ```
/// use collimate_slt::{NBeta, susceptibility};
/// // φ = ΔL is a standard normal number along the chain, so χ = −nβ Var = −nβ.
/// let mut stream = collimate_stream::RngStream::new(1, 0);
/// let x: Vec<Vec<f64>> = (0..4).map(|_| (0..2000).map(|_| stream.normal()).collect()).collect();
/// let found = susceptibility(&x, &x, NBeta::new(3.0)?)?;
/// assert!((found.value + 3.0).abs() < 4.0 * found.standard_error);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
///
/// # References
/// Baker et al. (2025), arXiv 2504.18274, definition 2.
pub fn susceptibility(
    observable: &[Vec<f64>],
    change: &[Vec<f64>],
    n_beta: NBeta,
) -> Result<Susceptibility, WrongLength> {
    let found = ChainMean::covariance(observable, change)?;
    Ok(Susceptibility::of(SUSCEPTIBILITY, -n_beta.get(), found))
}

impl SampleLosses {
    /// Returns the Bayesian influence functions between all samples.
    ///
    /// ```text
    /// B_ij = −Cov_w(ℓ_i, ℓ_j)
    /// ```
    ///
    /// `B_ij` is the derivative of `E[ℓ_i]` with respect to the weight of sample j in the exponent, divided by β.
    ///
    /// # Shapes
    /// `[samples, samples]`, symmetric, with a diagonal of at most 0.
    ///
    /// # References
    /// Kreer et al. (2025), arXiv 2509.26544, eq. 4.
    pub fn influence(&self) -> Array2<f64> {
        -self.covariance()
    }

    /// Returns one entry of [`SampleLosses::influence`] with its Monte-Carlo error.
    pub fn influence_of(&self, sample: usize, on: usize) -> Susceptibility {
        let found = ChainMean::covariance(&self.of_sample(on), &self.of_sample(sample))
            .expect("the chains of a run have equal lengths");
        Susceptibility::of(INFLUENCE, -1.0, found)
    }
}
