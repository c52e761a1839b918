use super::names::{self, is_name};
use crate::error::{PolynomialError, limit};
use collimate_measure::same_length;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, ToPrimitive, Zero};
use std::collections::BTreeMap;

/// The largest number of variables.
pub(crate) const VARIABLES: usize = 16;
/// The largest total degree.
pub(crate) const DEGREE: usize = 400;
/// The largest number of terms.
const TERMS: usize = 4000;
/// The largest number of products of two terms in one multiplication.
const WORK: usize = 2_000_000;
/// The largest number of bits of a coefficient.
pub(crate) const BITS: u64 = 20_000;

/// The largest number of bits of all coefficients together, so that every polynomial can be printed and read again.
const ALL_BITS: u64 = 4_000_000;

/// Exponents and coefficients. No coefficient is zero, and every list of exponents has one entry per variable.
pub(crate) type Terms = BTreeMap<Vec<u32>, BigRational>;

/// A polynomial with rational coefficients.
///
/// Two polynomials are equal if they are the same function of variables with the same names. The order of the variables
/// and variables that do not occur make no difference. The printed text reads back as an equal polynomial.
///
/// The text form has `+ - * /`, brackets, whole numbers, decimals and names.
///
/// ```text
/// power      x^2, x**2, x², x^{2}; the exponent is a whole number
/// product    x*y, x·y, x y, xy, 2x, x(y + z); up to three letters in a row are a product
/// name       one letter or a Greek letter spelled out, with or without a subscript: x, x1, x_1, x₁, w_max, theta
/// divisor    a number
/// ```
///
/// Text that could be read in two ways is refused, for example `weight`, `1/2x` and `1e3`.
///
/// # Errors
/// Parsing returns [`PolynomialError::Syntax`] with the position, and [`PolynomialError::TooLarge`] for more than 16
/// variables, total degree 400, 4000 terms, coefficients of 20 000 bits or 4 000 000 bits in all coefficients.
///
/// # Examples
/// ```
/// use collimate_polynomial::{Polynomial, learning_coefficient};
/// let k: Polynomial = "x^2*y^4 + x^4*y^2".parse()?;
/// assert_eq!(learning_coefficient(&k)?.to_string(), "λ = 1/3, multiplicity 1, certified");
/// let cusp: Polynomial = "(y² - x³)²".parse()?;
/// assert_eq!(learning_coefficient(&cusp)?.to_string(), "λ = 5/12, multiplicity 1, certified");
/// assert_eq!("x + y".parse::<Polynomial>()?, "y + x".parse()?);
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Polynomial {
    pub(crate) variables: Vec<String>,
    pub(crate) terms: Terms,
    /// The factors as they were written, with their exponents. It is empty if the polynomial was not written as a product.
    pub(crate) written: Vec<(Terms, u32)>,
}

impl PartialEq for Polynomial {
    fn eq(&self, other: &Self) -> bool {
        self.terms.len() == other.terms.len() && self.by_name() == other.by_name()
    }
}

impl Eq for Polynomial {}

impl Polynomial {
    /// Creates a polynomial from its terms. Terms with equal exponents are added.
    ///
    /// # Errors
    /// [`PolynomialError::Length`] if a list of exponents and the list of variables differ in length;
    /// [`PolynomialError::Name`] for a name that would not read back, or that is given twice;
    /// [`PolynomialError::TooLarge`] as for parsing.
    pub fn new(
        variables: Vec<String>,
        terms: impl IntoIterator<Item = (Vec<u32>, BigRational)>,
    ) -> Result<Self, PolynomialError> {
        limit("variables", VARIABLES, variables.len())?;
        for (i, name) in variables.iter().enumerate() {
            if !is_name(name) || variables[..i].contains(name) {
                let name = name.chars().take(names::LENGTH).collect();
                return Err(PolynomialError::Name { name });
            }
        }
        let mut out = Self::of(variables, Terms::new());
        for (exponents, coefficient) in terms {
            same_length("exponents", out.variables.len(), exponents.len())?;
            limit("degree", DEGREE, exponents.iter().map(|&e| e as usize).fold(0, usize::saturating_add))?;
            out.add_term(exponents, coefficient)?;
        }
        out.checked()
    }

    /// Creates a polynomial from terms that keep all limits.
    pub(crate) fn of(variables: Vec<String>, terms: Terms) -> Self {
        Self { variables, terms, written: Vec::new() }
    }

    /// Returns the polynomial if all its coefficients together keep their limit.
    pub(crate) fn checked(self) -> Result<Self, PolynomialError> {
        let bits: u64 = self.terms.values().map(|c| c.numer().bits() + c.denom().bits()).sum();
        limit("bits of all coefficients", ALL_BITS as usize, bits as usize)?;
        Ok(self)
    }

    /// Returns the terms with the names and exponents of the variables in them, in the order of the names.
    fn by_name(&self) -> BTreeMap<Vec<(&str, u32)>, &BigRational> {
        let named = |(exponents, c)| {
            let exponents: &Vec<u32> = exponents;
            let mut names: Vec<(&str, u32)> =
                self.variables.iter().map(String::as_str).zip(exponents.iter().copied()).collect();
            names.retain(|(_, e)| *e > 0);
            names.sort_unstable();
            (names, c)
        };
        self.terms.iter().map(named).collect()
    }

    pub(crate) fn constant(variables: &[String], value: BigRational) -> Self {
        let mut terms = BTreeMap::new();
        if !value.is_zero() {
            terms.insert(vec![0; variables.len()], value);
        }
        Self::of(variables.to_vec(), terms)
    }

    pub(crate) fn variable(variables: &[String], index: usize) -> Self {
        let mut exponents = vec![0; variables.len()];
        exponents[index] = 1;
        Self::of(variables.to_vec(), BTreeMap::from([(exponents, BigRational::one())]))
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
        self.written.clear();
        for (exponents, coefficient) in &other.terms {
            self.add_term(exponents.clone(), coefficient.clone())?;
        }
        Ok(self)
    }

    /// Returns the product with a number.
    pub(crate) fn scaled(mut self, factor: &BigRational) -> Self {
        if factor.is_zero() {
            self.terms.clear();
            self.written.clear();
        }
        self.terms.values_mut().for_each(|c| *c *= factor);
        self
    }

    /// Returns the product of two polynomials in the same variables.
    pub(crate) fn times(&self, other: &Self) -> Result<Self, PolynomialError> {
        limit("degree", DEGREE, self.degree() + other.degree())?;
        limit("products of terms", WORK, self.terms.len() * other.terms.len())?;
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
        out.checked()
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
        if exponent > 0 && !self.terms.is_empty() {
            out.written = match &self.written[..] {
                [] => vec![(self.terms.clone(), exponent)],
                factors => factors.iter().map(|(factor, e)| (factor.clone(), e * exponent)).collect(),
            };
        }
        Ok(out)
    }

    /// Returns the polynomial after each variable was replaced by another polynomial.
    ///
    /// `images` has one polynomial for each of [`Polynomial::variables`], in that order. The variables of the images are
    /// joined by their names, so images in different variables are no problem.
    ///
    /// # Errors
    /// [`PolynomialError::Length`] unless `images` has one polynomial per variable; [`PolynomialError::TooLarge`] as for
    /// parsing.
    ///
    /// # Examples
    /// ```
    /// use collimate_polynomial::Polynomial;
    /// let k: Polynomial = "p^2 + q^4".parse()?;
    /// let moved = k.compose(&["a".parse()?, "a + b".parse()?])?;
    /// assert_eq!(moved, "a^2 + (a + b)^4".parse()?);
    /// # Ok::<(), collimate_polynomial::PolynomialError>(())
    /// ```
    pub fn compose(&self, images: &[Polynomial]) -> Result<Self, PolynomialError> {
        same_length("images", self.variables.len(), images.len())?;
        let mut variables: Vec<String> = Vec::new();
        for name in images.iter().flat_map(|image| &image.variables) {
            if !variables.contains(name) {
                variables.push(name.clone());
            }
        }
        limit("variables", VARIABLES, variables.len())?;
        let images: Vec<Self> = images.iter().map(|image| image.in_variables(&variables)).collect();
        let mut out = replaced(&self.terms, &images, &variables)?;
        if !out.terms.is_empty() {
            let factor = |(factor, e): &(Terms, u32)| Ok((replaced(factor, &images, &variables)?.terms, *e));
            out.written = self.written.iter().map(factor).collect::<Result<_, PolynomialError>>()?;
        }
        out.checked()
    }

    /// Writes the polynomial in a list of variables that contains all variables that occur.
    pub(crate) fn in_variables(&self, variables: &[String]) -> Self {
        let place = |name: &String| variables.iter().position(|known| known == name);
        let places: Vec<Option<usize>> = self.variables.iter().map(place).collect();
        let moved = |(exponents, c): (&Vec<u32>, &BigRational)| {
            let mut there = vec![0; variables.len()];
            for (place, &e) in places.iter().zip(exponents) {
                if let Some(place) = place {
                    there[*place] = e;
                }
            }
            (there, c.clone())
        };
        Self::of(variables.to_vec(), self.terms.iter().map(moved).collect())
    }

    /// Moves the origin to a point: returns `K(point + w)` as a polynomial in w, in the same variables.
    ///
    /// # Errors
    /// [`PolynomialError::Length`] unless the point has one coordinate for each of [`Polynomial::variables`];
    /// [`PolynomialError::TooLarge`] as for parsing.
    ///
    /// # Examples
    /// ```
    /// use collimate_polynomial::{BigRational, Polynomial};
    /// let k: Polynomial = "(x - 1)^2*y^2".parse()?;
    /// let [one, zero] = [1, 0].map(|x| BigRational::from_integer(x.into()));
    /// assert_eq!(k.at(&[one, zero])?, "x^2*y^2".parse()?);
    /// # Ok::<(), collimate_polynomial::PolynomialError>(())
    /// ```
    pub fn at(&self, point: &[BigRational]) -> Result<Self, PolynomialError> {
        same_length("point", self.variables.len(), point.len())?;
        let mut out = self.clone();
        for (axis, shift) in point.iter().enumerate().filter(|(_, x)| !x.is_zero()) {
            let mut moved = Self::constant(&self.variables, BigRational::zero());
            for (exponents, coefficient) in &out.terms {
                // (w + s)^e = Σ_l binomial(e, l) s^{e−l} w^l, from l = e downwards.
                let mut c = coefficient.clone();
                for l in (0..=exponents[axis]).rev() {
                    let mut lower = exponents.clone();
                    lower[axis] = l;
                    moved.add_term(lower, c.clone())?;
                    let ratio = BigRational::new(l.into(), (exponents[axis] - l + 1).into());
                    c = c * shift * ratio;
                }
            }
            out = moved;
        }
        if !self.written.is_empty() {
            let factors = self.written.iter().map(|(factor, exponent)| {
                Ok((Self::of(self.variables.clone(), factor.clone()).at(point)?.terms, *exponent))
            });
            out.written = factors.collect::<Result<_, PolynomialError>>()?;
        }
        out.checked()
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
    pub(crate) fn value_at(&self, point: &[BigRational]) -> BigRational {
        let term = |(exponents, c): (&Vec<u32>, &BigRational)| {
            exponents.iter().zip(point).fold(c.clone(), |product, (&e, x)| product * x.pow(e as i32))
        };
        self.terms.iter().map(term).sum()
    }

    /// Returns the constant term.
    pub(crate) fn constant_term(&self) -> BigRational {
        self.terms.get(&vec![0; self.variables.len()]).cloned().unwrap_or_default()
    }
}

/// Replaces each variable of some terms by its image.
fn replaced(
    terms: &Terms,
    images: &[Polynomial],
    variables: &[String],
) -> Result<Polynomial, PolynomialError> {
    let mut out = Polynomial::constant(variables, BigRational::zero());
    for (exponents, coefficient) in terms {
        let mut term = Polynomial::constant(variables, coefficient.clone());
        for (image, &exponent) in images.iter().zip(exponents) {
            term = term.times(&image.power(exponent)?)?;
        }
        out = out.plus(&term)?;
    }
    Ok(out)
}

/// Returns the nearest `f64`.
fn nearest(x: &BigRational) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}
