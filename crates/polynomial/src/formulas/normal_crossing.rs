use crate::error::PolynomialError;
use crate::learning_coefficient::LearningCoefficient;
use crate::rational::Rational;
use collimate_measure::{ensure, same_length};

/// A loss in normal crossing form with a prior that may vanish on the axes.
///
/// ```text
/// K(w) = Π_i w_i^{2k_i},   φ(w) ∝ Π_i |w_i|^{h_i}   on [−1, 1]^d
/// λ = min_i (h_i + 1)/(2k_i),   m = the number of i that attain it
/// ```
///
/// Every analytic K takes this form after a resolution of singularities, and the Jacobian enters the `h_i`. A variable
/// with `k_i = 0` does not enter K and does not change λ or m.
///
/// # Examples
/// ```
/// use collimate_polynomial::NormalCrossing;
/// let flat = NormalCrossing::flat(&[1, 2])?;
/// assert_eq!(flat.learning_coefficient().to_string(), "λ = 1/4, multiplicity 1");
/// // A prior that vanishes at the flatter axis raises λ.
/// let vanishing = NormalCrossing::new(vec![1, 2], vec![0, 1])?;
/// assert_eq!(vanishing.learning_coefficient().to_string(), "λ = 1/2, multiplicity 2");
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
///
/// # References
/// Watanabe (2009), theorem 6.6.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NormalCrossing {
    powers: Vec<u32>,
    prior: Vec<u32>,
}

impl NormalCrossing {
    /// Creates a normal crossing from the `k_i` and the `h_i`.
    ///
    /// # Errors
    /// [`PolynomialError::Length`] if the lists differ in length; [`PolynomialError::OutOfRange`] if no `k_i` is positive.
    pub fn new(powers: Vec<u32>, prior: Vec<u32>) -> Result<Self, PolynomialError> {
        same_length("prior", powers.len(), prior.len())?;
        let largest = powers.iter().max().copied().unwrap_or(0);
        ensure(
            largest > 0,
            "the largest power",
            "positive, because K is constant otherwise",
            f64::from(largest),
        )?;
        Ok(Self { powers, prior })
    }

    /// Creates a normal crossing whose prior is positive at the axes (all `h_i` are 0).
    ///
    /// # Errors
    /// As [`NormalCrossing::new`].
    pub fn flat(powers: &[u32]) -> Result<Self, PolynomialError> {
        Self::new(powers.to_vec(), vec![0; powers.len()])
    }

    /// Returns the `k_i`.
    pub fn powers(&self) -> &[u32] {
        &self.powers
    }

    /// Returns the `h_i`.
    pub fn prior(&self) -> &[u32] {
        &self.prior
    }

    /// Returns the same function in coordinates `w_i = u_i^{p_i}` with odd `p_i`.
    ///
    /// ```text
    /// k → pk,   h + 1 → p(h + 1)   (the Jacobian enters the prior)
    /// ```
    ///
    /// # Errors
    /// [`PolynomialError::Length`] if the number of exponents is not that of the variables,
    /// [`PolynomialError::OutOfRange`] for an even exponent.
    pub fn in_powers(&self, p: &[u32]) -> Result<Self, PolynomialError> {
        same_length("p", self.powers.len(), p.len())?;
        for &p in p {
            ensure(p % 2 == 1, "p", "odd, so that u ↦ u^p is one to one", f64::from(p))?;
        }
        let powers = self.powers.iter().zip(p).map(|(k, p)| k * p).collect();
        let prior = self.prior.iter().zip(p).map(|(h, p)| p * (h + 1) - 1).collect();
        Self::new(powers, prior)
    }

    /// Returns the pole `(h_i + 1)/(2k_i)` of the zeta function for every variable that enters K.
    pub fn poles(&self) -> impl Iterator<Item = Rational> + '_ {
        let pairs = self.powers.iter().zip(&self.prior).filter(|(k, _)| **k > 0);
        pairs.map(|(&k, &h)| Rational::new(i128::from(h) + 1, 2 * i128::from(k)))
    }

    /// Returns λ and m.
    pub fn learning_coefficient(&self) -> LearningCoefficient {
        let lambda = self.poles().min().expect("the constructor checks for a positive power");
        let multiplicity = self.poles().filter(|pole| *pole == lambda).count();
        LearningCoefficient::new(lambda, multiplicity as u32)
    }
}
