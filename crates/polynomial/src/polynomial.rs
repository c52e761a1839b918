use crate::error::{PolynomialError, limit, same_length};
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use std::collections::BTreeMap;
use std::fmt;

/// The largest number of variables.
pub(crate) const VARIABLES: usize = 16;
/// The largest total degree.
pub(crate) const DEGREE: usize = 400;
/// The largest number of terms.
const TERMS: usize = 4000;
/// The largest number of bits of a coefficient.
pub(crate) const BITS: u64 = 20_000;

/// A polynomial with rational coefficients.
///
/// The text form has `+ - * / ^` (or `**`), brackets, whole numbers, decimals and names. A divisor must be a number.
///
/// # Errors
/// Parsing returns [`PolynomialError::Syntax`] with the position, and [`PolynomialError::TooLarge`] for more than 16
/// variables, total degree 400, 4000 terms or coefficients of 20 000 bits.
///
/// # Examples
/// ```
/// use collimate_polynomial::{Polynomial, learning_coefficient};
/// let k: Polynomial = "x^2*y^4 + x^4*y^2".parse()?;
/// assert_eq!(learning_coefficient(&k)?.to_string(), "λ = 1/3, multiplicity 1, certified");
/// let cusp: Polynomial = "(y^2 - x^3)^2".parse()?;
/// assert_eq!(learning_coefficient(&cusp)?.to_string(), "λ = 5/12, multiplicity 1, certified");
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polynomial {
    pub(crate) variables: Vec<String>,
    /// Exponents and coefficients. No coefficient is zero, and every list of exponents has one entry per variable.
    pub(crate) terms: BTreeMap<Vec<u32>, BigRational>,
}

impl Polynomial {
    /// Creates a polynomial from its terms. Terms with equal exponents are added.
    ///
    /// # Errors
    /// [`PolynomialError::Length`] if a list of exponents and the list of variables differ in length;
    /// [`PolynomialError::TooLarge`] as for parsing.
    pub fn new(
        variables: Vec<String>,
        terms: impl IntoIterator<Item = (Vec<u32>, BigRational)>,
    ) -> Result<Self, PolynomialError> {
        limit("variables", VARIABLES, variables.len())?;
        let mut out = Self { variables, terms: BTreeMap::new() };
        for (exponents, coefficient) in terms {
            same_length("exponents", out.variables.len(), exponents.len())?;
            limit("degree", DEGREE, exponents.iter().map(|&e| e as usize).fold(0, usize::saturating_add))?;
            out.add_term(exponents, coefficient)?;
        }
        Ok(out)
    }

    pub(crate) fn constant(variables: &[String], value: BigRational) -> Self {
        let mut terms = BTreeMap::new();
        if !value.is_zero() {
            terms.insert(vec![0; variables.len()], value);
        }
        Self { variables: variables.to_vec(), terms }
    }

    pub(crate) fn variable(variables: &[String], index: usize) -> Self {
        let mut exponents = vec![0; variables.len()];
        exponents[index] = 1;
        Self { variables: variables.to_vec(), terms: BTreeMap::from([(exponents, BigRational::one())]) }
    }

    /// Returns the names of the variables.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// Returns the exponents and the coefficient of every term.
    pub fn terms(&self) -> impl Iterator<Item = (&[u32], &BigRational)> {
        self.terms.iter().map(|(exponents, coefficient)| (exponents.as_slice(), coefficient))
    }

    /// Returns the exponents of every term and the `f64` that is nearest to its coefficient.
    ///
    /// # Examples
    /// ```
    /// use collimate_polynomial::Polynomial;
    /// let k: Polynomial = "x^2/4".parse()?;
    /// assert_eq!(k.rounded_terms().collect::<Vec<_>>(), [(&[2][..], 0.25)]);
    /// # Ok::<(), collimate_polynomial::PolynomialError>(())
    /// ```
    pub fn rounded_terms(&self) -> impl Iterator<Item = (&[u32], f64)> {
        self.terms().map(|(exponents, coefficient)| (exponents, nearest(coefficient)))
    }

    /// Adds one term.
    pub(crate) fn add_term(
        &mut self,
        exponents: Vec<u32>,
        coefficient: BigRational,
    ) -> Result<(), PolynomialError> {
        let bits = coefficient.numer().bits().max(coefficient.denom().bits());
        limit("bits of a coefficient", BITS as usize, bits as usize)?;
        let sum = self.terms.remove(&exponents).unwrap_or_else(BigRational::zero) + coefficient;
        if !sum.is_zero() {
            self.terms.insert(exponents, sum);
        }
        limit("terms", TERMS, self.terms.len())
    }

    /// Returns the sum of two polynomials in the same variables.
    pub(crate) fn plus(mut self, other: &Self) -> Result<Self, PolynomialError> {
        for (exponents, coefficient) in &other.terms {
            self.add_term(exponents.clone(), coefficient.clone())?;
        }
        Ok(self)
    }

    /// Returns the product with a number.
    pub(crate) fn scaled(mut self, factor: &BigRational) -> Self {
        if factor.is_zero() {
            self.terms.clear();
        }
        self.terms.values_mut().for_each(|c| *c *= factor);
        self
    }

    /// Returns the product of two polynomials in the same variables.
    pub(crate) fn times(&self, other: &Self) -> Result<Self, PolynomialError> {
        limit("degree", DEGREE, self.degree() + other.degree())?;
        // The sums are whole numbers, because reducing a fraction after every step would take most of the time.
        let (left, right) = (self.whole_terms(), other.whole_terms());
        let mut sums: BTreeMap<Vec<u32>, BigInt> = BTreeMap::new();
        for (a, x) in &left.0 {
            for (b, y) in &right.0 {
                *sums.entry(a.iter().zip(*b).map(|(a, b)| a + b).collect()).or_default() += x * y;
            }
            limit("terms", TERMS, sums.len())?;
        }
        let denominator = left.1 * right.1;
        let mut out = Self::constant(&self.variables, BigRational::zero());
        for (exponents, sum) in sums {
            out.add_term(exponents, BigRational::new(sum, denominator.clone()))?;
        }
        Ok(out)
    }

    /// Returns the terms times their common denominator, and that denominator.
    fn whole_terms(&self) -> (Vec<(&Vec<u32>, BigInt)>, BigInt) {
        let denominator = self.terms.values().fold(BigInt::one(), |l, c| l.lcm(c.denom()));
        let mut terms = Vec::with_capacity(self.terms.len());
        for (exponents, c) in &self.terms {
            terms.push((exponents, c.numer() * (&denominator / c.denom())));
        }
        (terms, denominator)
    }

    /// Returns a power of the polynomial.
    ///
    /// # Errors
    /// [`PolynomialError::TooLarge`] as for parsing.
    pub fn power(&self, exponent: u32) -> Result<Self, PolynomialError> {
        limit("exponent", DEGREE, exponent as usize)?;
        let mut out = Self::constant(&self.variables, BigRational::one());
        for _ in 0..exponent {
            out = out.times(self)?;
        }
        Ok(out)
    }

    /// Returns the polynomial after each variable was replaced by another polynomial.
    ///
    /// # Errors
    /// [`PolynomialError::Length`] unless `images` has one polynomial per variable, all in the same variables;
    /// [`PolynomialError::TooLarge`] as for parsing.
    pub fn compose(&self, images: &[Polynomial]) -> Result<Self, PolynomialError> {
        same_length("images", self.variables.len(), images.len())?;
        let variables = images.first().map_or(&[][..], |image| &image.variables);
        if let Some(other) = images.iter().find(|image| image.variables != variables) {
            same_length("the variables of the images", variables.len(), other.variables.len())?;
        }
        let mut out = Self::constant(variables, BigRational::zero());
        for (exponents, coefficient) in &self.terms {
            let mut term = Self::constant(variables, coefficient.clone());
            for (image, &exponent) in images.iter().zip(exponents) {
                term = term.times(&image.power(exponent)?)?;
            }
            out = out.plus(&term)?;
        }
        Ok(out)
    }

    /// Returns the total degree.
    pub fn degree(&self) -> usize {
        self.terms.keys().map(|e| e.iter().map(|&e| e as usize).sum()).max().unwrap_or(0)
    }

    /// Returns the value at a point in floating point, or NaN if the point has another number of coordinates.
    pub fn evaluate(&self, point: &[f64]) -> f64 {
        if point.len() != self.variables.len() {
            return f64::NAN;
        }
        let term = |(exponents, c): (&Vec<u32>, &BigRational)| {
            let powers = exponents.iter().zip(point).map(|(&e, x)| x.powi(e as i32));
            nearest(c) * powers.product::<f64>()
        };
        self.terms.iter().map(term).sum()
    }

    /// Returns the exact value at a point.
    pub(crate) fn at(&self, point: &[BigRational]) -> BigRational {
        let term = |(exponents, c): (&Vec<u32>, &BigRational)| {
            exponents.iter().zip(point).fold(c.clone(), |product, (&e, x)| product * x.pow(e as i32))
        };
        self.terms.iter().map(term).sum()
    }
}

/// Returns the nearest `f64`.
fn nearest(x: &BigRational) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.terms.is_empty() {
            return write!(f, "0");
        }
        for (index, (exponents, coefficient)) in self.terms.iter().rev().enumerate() {
            let sign = if coefficient.is_negative() { "-" } else { "+" };
            match (index, sign) {
                (0, "-") => write!(f, "-")?,
                (0, _) => {}
                _ => write!(f, " {sign} ")?,
            }
            let size = coefficient.abs();
            let factors: Vec<String> = self
                .variables
                .iter()
                .zip(exponents)
                .filter(|(_, e)| **e > 0)
                .map(|(name, &e)| if e == 1 { name.clone() } else { format!("{name}^{e}") })
                .collect();
            match (size.is_one(), factors.is_empty()) {
                (_, true) => write!(f, "{size}")?,
                (true, false) => write!(f, "{}", factors.join("*"))?,
                (false, false) => write!(f, "{size}*{}", factors.join("*"))?,
            }
        }
        Ok(())
    }
}
