use super::sum::{BITS, DEGREE, Polynomial, Terms};
use crate::error::{PolynomialError, limit};
use collimate_measure::same_length;
use num_rational::BigRational;
use num_traits::{One, Zero};

/// The largest number of products of two terms that multiplying out may take.
const WORK: usize = 1_000_000;

/// A constant times powers of polynomials, which are not multiplied out.
///
/// ```text
/// K = c Π_i f_i^{e_i}
/// ```
///
/// A power such as `(a + b + c)^98` has too many terms for a [`Polynomial`], but its coefficient follows from that of its
/// base. The text form is that of [`Polynomial`]; sums are multiplied out, and products are kept.
///
/// # Errors
/// Parsing returns [`PolynomialError::Syntax`] with the position, and [`PolynomialError::TooLarge`] for more than 16
/// variables, total degree 400, or a factor that is too large as a [`Polynomial`].
///
/// # Examples
/// ```
/// use collimate_polynomial::{Product, learning_coefficient};
/// let k: Product = "(a + b + c)^98".parse()?;
/// assert_eq!(learning_coefficient(&k)?.to_string(), "λ = 1/98, multiplicity 1, certified");
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Product {
    pub(crate) variables: Vec<String>,
    pub(crate) constant: BigRational,
    /// The factors with their exponents. Every factor has the variables of the product, and no factor is zero.
    pub(crate) factors: Vec<(Polynomial, u32)>,
}

impl Product {
    /// Creates a constant.
    pub(crate) fn constant(variables: &[String], constant: BigRational) -> Self {
        Self { variables: variables.to_vec(), constant, factors: Vec::new() }
    }

    /// Returns the names of the variables.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// Returns the factors with their exponents, without the constant.
    pub fn factors(&self) -> impl Iterator<Item = (&Polynomial, u32)> {
        self.factors.iter().map(|(factor, exponent)| (factor, *exponent))
    }

    /// Returns the total degree.
    pub fn degree(&self) -> usize {
        let degree = |(factor, e): &(Polynomial, u32)| factor.degree().saturating_mul(*e as usize);
        self.factors.iter().map(degree).fold(0, usize::saturating_add)
    }

    /// Returns the product with another product in the same variables.
    pub(crate) fn times(mut self, other: Self) -> Result<Self, PolynomialError> {
        self.constant *= other.constant;
        if self.constant.is_zero() {
            self.factors.clear();
            return Ok(self);
        }
        for (factor, exponent) in other.factors {
            match self.factors.iter_mut().find(|(known, _)| known.terms == factor.terms) {
                Some((_, known)) => *known = known.saturating_add(exponent),
                None => self.factors.push((factor, exponent)),
            }
        }
        limit("degree", DEGREE, self.degree())?;
        Ok(self)
    }

    /// Returns a power of the product.
    ///
    /// # Errors
    /// [`PolynomialError::TooLarge`] as for parsing.
    pub fn power(mut self, exponent: u32) -> Result<Self, PolynomialError> {
        limit("exponent", DEGREE, exponent as usize)?;
        let bits = self.constant.numer().bits().max(self.constant.denom().bits()) as usize;
        limit("bits of a coefficient", BITS as usize, bits.saturating_mul(exponent as usize))?;
        self.constant = self.constant.pow(exponent as i32);
        self.factors.iter_mut().for_each(|(_, e)| *e = e.saturating_mul(exponent));
        self.factors.retain(|(_, e)| *e > 0);
        limit("degree", DEGREE, self.degree())?;
        Ok(self)
    }

    /// Multiplies the product out.
    ///
    /// # Errors
    /// [`PolynomialError::TooLarge`] if the result has more than 4000 terms, or too large coefficients.
    pub fn expand(&self) -> Result<Polynomial, PolynomialError> {
        let mut out = self.expand_within(&mut 0)?;
        if !out.terms.is_empty() {
            out.written = self.factors.iter().map(|(factor, e)| (factor.terms.clone(), *e)).collect();
        }
        Ok(out)
    }

    /// Multiplies the product out, and adds the number of products of two terms to `work`.
    pub(crate) fn expand_within(&self, work: &mut usize) -> Result<Polynomial, PolynomialError> {
        let mut out = Polynomial::constant(&self.variables, self.constant.clone());
        for (factor, exponent) in &self.factors {
            if let (1, Some((exponents, c))) = (factor.terms.len(), factor.terms.first_key_value()) {
                // A power of a single term needs no expansion.
                let bits = c.numer().bits().max(c.denom().bits()) as usize;
                limit("bits of a coefficient", BITS as usize, bits.saturating_mul(*exponent as usize))?;
                let exponents = exponents.iter().map(|e| e * exponent).collect();
                let power = Terms::from([(exponents, c.pow(*exponent as i32))]);
                out = out.times(&Polynomial::of(self.variables.clone(), power))?;
                continue;
            }
            for _ in 0..*exponent {
                *work += out.terms.len() * factor.terms.len();
                limit("products of terms to multiply out", WORK, *work)?;
                out = out.times(factor)?;
            }
        }
        Ok(out)
    }

    /// Moves the origin to a point: returns `K(point + w)` as a product in w, in the same variables.
    ///
    /// # Errors
    /// [`PolynomialError::Length`] unless the point has one coordinate for each of [`Product::variables`];
    /// [`PolynomialError::TooLarge`] as for parsing.
    pub fn at(&self, point: &[BigRational]) -> Result<Self, PolynomialError> {
        same_length("point", self.variables.len(), point.len())?;
        let moved = |(factor, e): &(Polynomial, u32)| Ok((factor.at(point)?, *e));
        let factors = self.factors.iter().map(moved).collect::<Result<_, PolynomialError>>()?;
        Ok(Self { variables: self.variables.clone(), constant: self.constant.clone(), factors })
    }

    /// Returns the exact value at a point.
    pub(crate) fn value_at(&self, point: &[BigRational]) -> BigRational {
        let value = |(factor, e): &(Polynomial, u32)| factor.value_at(point).pow(*e as i32);
        self.factors.iter().map(value).fold(self.constant.clone(), |product, value| product * value)
    }
}

impl From<&Polynomial> for Product {
    fn from(polynomial: &Polynomial) -> Self {
        let variables = polynomial.variables.clone();
        let Some(lead) = polynomial.terms.values().next() else {
            return Self::constant(&variables, BigRational::zero());
        };
        let of = |terms: &Terms| Polynomial::of(variables.clone(), terms.clone());
        if polynomial.written.is_empty() {
            let factors = vec![(of(&polynomial.terms), 1)];
            return Self { variables, constant: BigRational::one(), factors };
        }
        // The first term of a product is the product of the first terms.
        let first = |(terms, e): &(Terms, u32)| {
            terms.values().next().cloned().unwrap_or_else(BigRational::one).pow(*e as i32)
        };
        let of_factors: BigRational =
            polynomial.written.iter().map(first).fold(BigRational::one(), |p, c| p * c);
        let factors = polynomial.written.iter().map(|(terms, e)| (of(terms), *e)).collect();
        Self { constant: lead / of_factors, factors, variables }
    }
}

impl From<Polynomial> for Product {
    fn from(polynomial: Polynomial) -> Self {
        Self::from(&polynomial)
    }
}

impl From<&Product> for Product {
    fn from(product: &Product) -> Self {
        product.clone()
    }
}
