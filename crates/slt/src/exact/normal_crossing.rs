use super::{LearningCoefficient, Rational};
use crate::SltError;

/// A loss in normal crossing form with a prior that may vanish on the axes.
///
/// ```text
/// K(w) = Π_i w_i^{2k_i},   φ(w) ∝ Π_i |w_i|^{h_i}   on [−1, 1]^d
/// λ = min_i (h_i + 1)/(2k_i),   m = the number of i that attain it
/// ```
///
/// Every analytic K takes this form after a resolution of singularities, with the Jacobian in the `h_i`. A variable
/// with `k_i = 0` does not enter K and plays no part.
///
/// # Examples
/// ```
/// use collimate_slt::NormalCrossing;
/// let flat = NormalCrossing::flat(&[1, 2])?;
/// assert_eq!(flat.learning_coefficient().to_string(), "λ = 1/4, multiplicity 1");
/// // A prior that vanishes where the degenerate direction is takes the singularity's weight away.
/// let vanishing = NormalCrossing::new(vec![1, 2], vec![0, 1])?;
/// assert_eq!(vanishing.learning_coefficient().to_string(), "λ = 1/2, multiplicity 2");
/// # Ok::<(), collimate_slt::SltError>(())
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
    /// A normal crossing from the `k_i` and the `h_i`.
    ///
    /// # Errors
    /// [`SltError::Length`] when the lists differ in length; [`SltError::OutOfRange`] when no `k_i` is positive.
    pub fn new(powers: Vec<u32>, prior: Vec<u32>) -> Result<Self, SltError> {
        crate::error::same_length("prior", powers.len(), prior.len())?;
        if powers.iter().all(|&k| k == 0) {
            let expected = "positive: otherwise K is constant";
            return Err(SltError::OutOfRange { name: "the largest power", value: 0.0, expected });
        }
        Ok(Self { powers, prior })
    }

    /// The same under a prior that is positive at the axes.
    ///
    /// # Errors
    /// As [`NormalCrossing::new`].
    pub fn flat(powers: &[u32]) -> Result<Self, SltError> {
        Self::new(powers.to_vec(), vec![0; powers.len()])
    }

    /// The `k_i`.
    pub fn powers(&self) -> &[u32] {
        &self.powers
    }

    /// The `h_i`.
    pub fn prior(&self) -> &[u32] {
        &self.prior
    }

    /// The same function in coordinates `w_i = u_i^{p_i}` (`p_i` odd): `k → pk` and, with the Jacobian, `h + 1 → p(h + 1)`.
    ///
    /// # Errors
    /// [`SltError::Length`] for another number of exponents, [`SltError::OutOfRange`] for an even one.
    pub fn in_powers(&self, p: &[u32]) -> Result<Self, SltError> {
        crate::error::same_length("p", self.powers.len(), p.len())?;
        if let Some(even) = p.iter().find(|p| *p % 2 == 0) {
            let expected = "odd, so that u ↦ u^p is one to one";
            return Err(SltError::OutOfRange { name: "p", value: f64::from(*even), expected });
        }
        let powers = self.powers.iter().zip(p).map(|(k, p)| k * p).collect();
        let prior = self.prior.iter().zip(p).map(|(h, p)| p * (h + 1) - 1).collect();
        Self::new(powers, prior)
    }

    /// The poles `(h_i + 1)/(2k_i)` of the zeta function that the variables contribute.
    pub fn poles(&self) -> impl Iterator<Item = Rational> + '_ {
        let pairs = self.powers.iter().zip(&self.prior).filter(|(k, _)| **k > 0);
        pairs.map(|(&k, &h)| Rational::new(i128::from(h) + 1, 2 * i128::from(k)))
    }

    /// λ and m, exactly.
    pub fn learning_coefficient(&self) -> LearningCoefficient {
        let lambda = self.poles().min().expect("the constructor asks for a positive power");
        let multiplicity = self.poles().filter(|pole| *pole == lambda).count();
        LearningCoefficient::new(lambda, multiplicity as u32)
    }
}
