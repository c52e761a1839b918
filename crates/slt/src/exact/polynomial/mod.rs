//! Learning coefficients of polynomials, in rational arithmetic.

mod algebraic;
mod certificate;
mod coefficient;
mod newton;
mod parse;
mod plane;
mod reduce;
mod root;
mod simplex;
mod squarefree;
mod univariate;
mod witness;

pub use coefficient::{
    Certainty, PolynomialCoefficient, learning_coefficient, learning_coefficient_with_prior,
};

use crate::SltError;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use std::collections::BTreeMap;
use std::fmt;

/// The largest number of variables.
const VARIABLES: usize = 16;
/// The largest total degree.
const DEGREE: usize = 400;
/// The largest number of terms.
const TERMS: usize = 4000;
/// The largest number of bits of a coefficient.
const BITS: u64 = 20_000;

/// A polynomial with rational coefficients.
///
/// It is written with `+ - * / ^` (or `**`), brackets, whole numbers, decimals and names; division is by numbers only.
///
/// # Errors
/// Parsing gives [`SltError::Syntax`] with the place, and [`SltError::TooLarge`] beyond 16 variables, total degree 400,
/// 4000 terms or coefficients of 20 000 bits.
///
/// # Examples
/// ```
/// use collimate_slt::{Polynomial, learning_coefficient};
/// let k: Polynomial = "x^2*y^4 + x^4*y^2".parse()?;
/// assert_eq!(learning_coefficient(&k)?.to_string(), "λ = 1/3, multiplicity 1, certified");
/// let cusp: Polynomial = "(y^2 - x^3)^2".parse()?;
/// assert_eq!(learning_coefficient(&cusp)?.to_string(), "λ = 5/12, multiplicity 1, certified");
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polynomial {
    variables: Vec<String>,
    /// No coefficient is zero; every list of exponents has one entry a variable.
    terms: BTreeMap<Vec<u32>, BigRational>,
}

impl Polynomial {
    /// A polynomial from its terms; like terms are added.
    ///
    /// # Errors
    /// [`SltError::Length`] for a list of exponents of another length than the list of variables;
    /// [`SltError::TooLarge`] as for parsing.
    pub fn new(
        variables: Vec<String>,
        terms: impl IntoIterator<Item = (Vec<u32>, BigRational)>,
    ) -> Result<Self, SltError> {
        limit("variables", VARIABLES, variables.len())?;
        let mut out = Self { variables, terms: BTreeMap::new() };
        for (exponents, coefficient) in terms {
            crate::error::same_length("exponents", out.variables.len(), exponents.len())?;
            limit("degree", DEGREE, exponents.iter().map(|&e| e as usize).fold(0, usize::saturating_add))?;
            out.add_term(exponents, coefficient)?;
        }
        Ok(out)
    }

    fn constant(variables: &[String], value: BigRational) -> Self {
        let mut terms = BTreeMap::new();
        if !value.is_zero() {
            terms.insert(vec![0; variables.len()], value);
        }
        Self { variables: variables.to_vec(), terms }
    }

    fn variable(variables: &[String], index: usize) -> Self {
        let mut exponents = vec![0; variables.len()];
        exponents[index] = 1;
        Self { variables: variables.to_vec(), terms: BTreeMap::from([(exponents, BigRational::one())]) }
    }

    /// The names of the variables.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// Exponents and coefficients.
    pub fn terms(&self) -> impl Iterator<Item = (&[u32], &BigRational)> {
        self.terms.iter().map(|(exponents, coefficient)| (exponents.as_slice(), coefficient))
    }

    fn add_term(&mut self, exponents: Vec<u32>, coefficient: BigRational) -> Result<(), SltError> {
        let bits = coefficient.numer().bits().max(coefficient.denom().bits());
        limit("bits of a coefficient", BITS as usize, bits as usize)?;
        let sum = self.terms.remove(&exponents).unwrap_or_else(BigRational::zero) + coefficient;
        if !sum.is_zero() {
            self.terms.insert(exponents, sum);
        }
        limit("terms", TERMS, self.terms.len())
    }

    /// The sum; both have the same variables.
    fn plus(mut self, other: &Self) -> Result<Self, SltError> {
        for (exponents, coefficient) in &other.terms {
            self.add_term(exponents.clone(), coefficient.clone())?;
        }
        Ok(self)
    }

    /// The product with a number.
    fn scaled(mut self, factor: &BigRational) -> Self {
        if factor.is_zero() {
            self.terms.clear();
        }
        self.terms.values_mut().for_each(|c| *c *= factor);
        self
    }

    /// The product; both have the same variables.
    fn times(&self, other: &Self) -> Result<Self, SltError> {
        limit("degree", DEGREE, self.degree() + other.degree())?;
        // In whole numbers: reducing a fraction after every step would cost most of the time.
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

    /// The terms times a common denominator, and that.
    fn whole_terms(&self) -> (Vec<(&Vec<u32>, BigInt)>, BigInt) {
        let denominator = self.terms.values().fold(BigInt::one(), |l, c| l.lcm(c.denom()));
        let mut terms = Vec::with_capacity(self.terms.len());
        for (exponents, c) in &self.terms {
            terms.push((exponents, c.numer() * (&denominator / c.denom())));
        }
        (terms, denominator)
    }

    /// The polynomial to a power.
    ///
    /// # Errors
    /// [`SltError::TooLarge`] as for parsing.
    pub fn power(&self, exponent: u32) -> Result<Self, SltError> {
        limit("exponent", DEGREE, exponent as usize)?;
        let mut out = Self::constant(&self.variables, BigRational::one());
        for _ in 0..exponent {
            out = out.times(self)?;
        }
        Ok(out)
    }

    /// The polynomial with other polynomials in the place of its variables.
    ///
    /// # Errors
    /// [`SltError::Length`] unless there is one for each variable, and all have the same variables;
    /// [`SltError::TooLarge`] as for parsing.
    pub fn compose(&self, images: &[Polynomial]) -> Result<Self, SltError> {
        crate::error::same_length("images", self.variables.len(), images.len())?;
        let variables = images.first().map_or(&[][..], |image| &image.variables);
        if let Some(other) = images.iter().find(|image| image.variables != variables) {
            crate::error::same_length("the variables of the images", variables.len(), other.variables.len())?;
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

    /// The total degree.
    pub fn degree(&self) -> usize {
        self.terms.keys().map(|e| e.iter().map(|&e| e as usize).sum()).max().unwrap_or(0)
    }

    /// The value at a point, in floating point; NaN at a point of another length.
    pub fn evaluate(&self, point: &[f64]) -> f64 {
        if point.len() != self.variables.len() {
            return f64::NAN;
        }
        let term = |(exponents, c): (&Vec<u32>, &BigRational)| {
            let powers = exponents.iter().zip(point).map(|(&e, x)| x.powi(e as i32));
            c.to_f64().unwrap_or(f64::NAN) * powers.product::<f64>()
        };
        self.terms.iter().map(term).sum()
    }

    /// The value at a point, exactly.
    fn at(&self, point: &[BigRational]) -> BigRational {
        let term = |(exponents, c): (&Vec<u32>, &BigRational)| {
            exponents.iter().zip(point).fold(c.clone(), |product, (&e, x)| product * x.pow(e as i32))
        };
        self.terms.iter().map(term).sum()
    }
}

/// `Err` when a size is above its limit.
fn limit(what: &'static str, limit: usize, given: usize) -> Result<(), SltError> {
    if given > limit { Err(SltError::TooLarge { what, limit, given }) } else { Ok(()) }
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

fn whole(x: impl Into<BigInt>) -> BigRational {
    BigRational::from(x.into())
}
