use crate::rational::Rational;
use std::fmt;

/// The learning coefficient λ and its multiplicity m.
///
/// ```text
/// vol{w : K(w) < ε} ≈ c ε^λ (−log ε)^{m−1}        F_n = n L_n(w₀) + λ log n − (m − 1) log log n + O_p(1)
/// ```
///
/// For a regular model λ is half the number of parameters. Algebraic geometry calls λ the real log canonical threshold
/// of K.
///
/// # Examples
/// ```
/// use collimate_polynomial::{LearningCoefficient, Rational};
/// let regular = LearningCoefficient::regular(3);
/// let cusp = LearningCoefficient::new(Rational::new(1, 4), 1);
/// assert_eq!(regular.sum(&cusp).to_string(), "λ = 7/4, multiplicity 1");
/// ```
///
/// # References
/// Watanabe (2009), definition 2.7 and theorem 6.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LearningCoefficient {
    /// The learning coefficient, λ > 0.
    pub lambda: Rational,
    /// The multiplicity m, at least 1 and at most the number of parameters.
    pub multiplicity: u32,
}

impl LearningCoefficient {
    /// Creates a coefficient from its two numbers.
    pub fn new(lambda: Rational, multiplicity: u32) -> Self {
        Self { lambda, multiplicity }
    }

    /// Returns the coefficient of a regular model with `d` parameters, `(d/2, 1)`.
    pub fn regular(d: u32) -> Self {
        Self::new(Rational::new(i128::from(d), 2), 1)
    }

    /// Returns λ as a floating-point number.
    pub fn lambda_f64(&self) -> f64 {
        // Numerator and denominator are far below 2⁵³ for every model one can store.
        *self.lambda.numer() as f64 / *self.lambda.denom() as f64
    }

    /// Returns the coefficient of `K₁(u) + K₂(v)` over disjoint variables, `(λ₁ + λ₂, m₁ + m₂ − 1)`.
    #[must_use]
    pub fn sum(&self, other: &Self) -> Self {
        Self::new(self.lambda + other.lambda, self.multiplicity + other.multiplicity - 1)
    }

    /// Returns the coefficient of `K₁(u) · K₂(v)` over disjoint variables: the one with the smaller λ. If both λ are equal,
    /// the multiplicities add.
    ///
    /// # Examples
    /// ```
    /// use collimate_polynomial::LearningCoefficient;
    /// let square = LearningCoefficient::regular(1); // w²
    /// assert_eq!(square.product(&square).to_string(), "λ = 1/2, multiplicity 2"); // (w₁w₂)²
    /// ```
    #[must_use]
    pub fn product(&self, other: &Self) -> Self {
        match self.lambda.cmp(&other.lambda) {
            std::cmp::Ordering::Less => *self,
            std::cmp::Ordering::Greater => *other,
            std::cmp::Ordering::Equal => Self::new(self.lambda, self.multiplicity + other.multiplicity),
        }
    }
}

impl fmt::Display for LearningCoefficient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "λ = {}, multiplicity {}", self.lambda, self.multiplicity)
    }
}
