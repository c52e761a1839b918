//! The place and the prior under which a polynomial is analysed, and the public result.

use super::analysis::Search;
use super::form::Form;
use super::found::{Found, Signs};
use super::witness;
use crate::arithmetic::work::Work;
use crate::error::{NEGATIVE, PolynomialError};
use crate::learning_coefficient::LearningCoefficient;
use crate::polynomial::{DEGREE, Polynomial, Product};
use crate::rational::Rational;
use collimate_measure::{ensure, same_length};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;

/// The number of steps that an analysis may take by default.
const WORK: u64 = 5_000_000;

/// The certainty of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// λ and m are exact.
    Certified,
    /// λ is at most the given value. m is not known, and the given 1 says nothing.
    UpperBound {
        /// The property that could not be proved.
        reason: String,
    },
}

/// The learning coefficient of a polynomial, or an upper bound.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolynomialCoefficient {
    /// λ and m, or the bound.
    pub coefficient: LearningCoefficient,
    /// True if the coefficient is exact or a bound.
    pub certainty: Certainty,
    /// The names of the variables that K depends on, in the order of K.
    pub variables: Vec<String>,
}

impl PolynomialCoefficient {
    /// Returns true if λ and m are proved.
    pub fn certified(&self) -> bool {
        self.certainty == Certainty::Certified
    }
}

impl fmt::Display for PolynomialCoefficient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.certainty {
            Certainty::Certified => write!(f, "{}, certified", self.coefficient),
            Certainty::UpperBound { reason } => {
                write!(f, "λ ≤ {}, not certified: {reason}", self.coefficient.lambda)
            }
        }
    }
}

/// Returns λ and m of a polynomial K ≥ 0 at the origin, under a prior that is positive there.
///
/// ```text
/// products         c Π f_i^{e_i}: factors that are not zero at the origin are dropped, common exponents are divided out, and
///                  groups that share no variable are analysed alone
/// sums             over disjoint variables are split
/// two variables    weighted blow-ups along the edges of the Newton polygon, translations to the real roots of the edge
///                  polynomials, repeated
/// more             in this order: a vector field annihilates all factors: one variable less; a factor is a coordinate; all
///                  factors are linear: the formula for hyperplane arrangements; the lowest terms have a square: it is
///                  completed, or split off by power series; the faces of the Newton polyhedron have no singular zeros where
///                  no variable is 0:  λ = max { Σ y : Σ_α y_α α ≤ 1, y ≥ 0 } over the exponents α;
///                  coordinates that are read from a face polynomial, and all of this again
/// ```
///
/// All arithmetic is rational or in real algebraic numbers, so nothing is rounded. If the result is not certified, it is
/// the smallest upper bound of λ that was found. The work is bounded by [`Neighbourhood::work`], which counts steps and not
/// seconds, so the result is the same on every machine.
///
/// # Errors
/// [`PolynomialError::NotALoss`] if K is negative near the origin (with a point, if one was found), is not zero there, or
/// is zero everywhere; [`PolynomialError::TooLarge`] if λ does not fit into 128 bits.
///
/// # Examples
/// ```
/// use collimate_polynomial::{Polynomial, learning_coefficient};
/// let found = |text: &str| -> Result<String, collimate_polynomial::PolynomialError> {
///     Ok(learning_coefficient(&text.parse::<Polynomial>()?)?.to_string())
/// };
/// assert_eq!(found("(x*y)^2 + (z*w)^2")?, "λ = 1, multiplicity 3, certified");
/// // Degenerate on its edge, with branches that are separate only over ℚ(√2).
/// assert_eq!(found("(x^2 - 2*y^2)^2 + y^6")?, "λ = 1/2, multiplicity 2, certified");
/// // Three linear forms of three variables, with different powers.
/// assert_eq!(found("(x + y)^2 + (y + z)^4 + (z + x)^6")?, "λ = 11/12, multiplicity 1, certified");
/// assert!(found("x^2 - y^2").unwrap_err().to_string().contains("negative"));
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
///
/// # References
/// Varchenko (1976) and Arnold, Gusein-Zade & Varchenko (1988), chapter 8; Watanabe (2009), chapter 3; Collins (2018) on
/// two real variables; Mustaţă (2006) on hyperplane arrangements; De Concini & Procesi (1995) on nested sets.
pub fn learning_coefficient(k: impl Into<Product>) -> Result<PolynomialCoefficient, PolynomialError> {
    Neighbourhood::default().learning_coefficient(k)
}

/// Returns λ and m as [`learning_coefficient`] does, under a prior that is `Π |w_i|^{h_i}` times a positive function.
///
/// The `h_i` have the order of the variables of K. [`Neighbourhood`] takes them by name.
///
/// # Errors
/// As [`learning_coefficient`], and [`PolynomialError::Length`] if there is not one `h_i` per variable.
pub fn learning_coefficient_with_prior(
    k: impl Into<Product>,
    prior: &[u32],
) -> Result<PolynomialCoefficient, PolynomialError> {
    let k: Product = k.into();
    same_length("prior", k.variables.len(), prior.len())?;
    let prior = k.variables.iter().cloned().zip(prior.iter().copied()).collect();
    Neighbourhood { prior, ..Neighbourhood::default() }.learning_coefficient(k)
}

/// The place, the prior and the domain of an analysis, by the names of the variables.
///
/// The default is the origin, a positive prior, all values of the variables, and 5 000 000 steps of work.
///
/// # Examples
/// ```
/// use collimate_polynomial::{BigRational, Neighbourhood, Polynomial};
/// let k: Polynomial = "x^2*(x - 1)^4*y^2".parse()?;
/// let mut place = Neighbourhood::default();
/// assert_eq!(place.learning_coefficient(&k)?.to_string(), "λ = 1/2, multiplicity 2, certified");
/// place.point.insert("x".to_owned(), BigRational::from_integer(1.into()));
/// assert_eq!(place.learning_coefficient(&k)?.to_string(), "λ = 1/4, multiplicity 1, certified");
///
/// // On x, y ≥ 0 the sum x + y vanishes only at the origin.
/// let sum: Polynomial = "(x + y)^2".parse()?;
/// let quadrant = Neighbourhood { non_negative: ["x", "y"].map(str::to_owned).into(), ..Neighbourhood::default() };
/// assert_eq!(quadrant.learning_coefficient(&sum)?.to_string(), "λ = 1, multiplicity 1, certified");
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbourhood {
    /// The coordinates of the point. Variables without an entry have the coordinate 0.
    pub point: BTreeMap<String, BigRational>,
    /// The powers h of the prior `Π |w|^h`. Variables without an entry have the power 0. A power has no effect at a point
    /// where its variable is not 0.
    pub prior: BTreeMap<String, u32>,
    /// The variables that take no negative values.
    pub non_negative: BTreeSet<String>,
    /// The largest number of steps. One step is about one product of two short fractions. When they are used up, the best
    /// bound so far is returned.
    pub work: u64,
}

impl Default for Neighbourhood {
    fn default() -> Self {
        Self { point: BTreeMap::new(), prior: BTreeMap::new(), non_negative: BTreeSet::new(), work: WORK }
    }
}

impl Neighbourhood {
    /// Returns λ and m of K ≥ 0 at the point, under the prior and on the domain of this neighbourhood.
    ///
    /// # Errors
    /// As [`learning_coefficient`]; [`PolynomialError::Name`] for a name that is not a variable of K;
    /// [`PolynomialError::OutOfRange`] for a point outside the domain.
    pub fn learning_coefficient(
        &self,
        k: impl Into<Product>,
    ) -> Result<PolynomialCoefficient, PolynomialError> {
        let k: Product = k.into();
        let names = self.point.keys().chain(self.prior.keys()).chain(&self.non_negative);
        if let Some(name) = names.into_iter().find(|name| !k.variables.contains(name)) {
            return Err(PolynomialError::Name { name: name.clone() });
        }
        let coordinate = |name: &String| self.point.get(name).cloned().unwrap_or_default();
        let point: Vec<BigRational> = k.variables.iter().map(coordinate).collect();
        for (name, x) in k.variables.iter().zip(&point) {
            let inside = !self.non_negative.contains(name) || !x.is_negative();
            ensure(
                inside,
                "the coordinate of a non-negative variable",
                "at least 0",
                x.to_f64().unwrap_or(f64::NAN),
            )?;
        }
        if k.constant.is_zero() || k.factors.iter().any(|(factor, _)| factor.terms.is_empty()) {
            return Err(refuse("it is zero everywhere"));
        }
        // The origin is moved to the point, and a variable with a boundary there is a square.
        let squared: Vec<bool> = k
            .variables
            .iter()
            .zip(&point)
            .map(|(name, x)| self.non_negative.contains(name) && x.is_zero())
            .collect();
        let local = squares(k.at(&point)?, &squared)?;
        let at_origin = point.iter().all(Zero::is_zero);
        let value = local.value_at(&vec![BigRational::zero(); point.len()]);
        if !value.is_zero() {
            let place =
                if at_origin { "the origin".to_owned() } else { witness::coordinates(&k.variables, &point) };
            return Err(refuse(format!("it is {value} at {place}, where it must be 0")));
        }
        let tau = |i: usize| {
            let power =
                if point[i].is_zero() { self.prior.get(&k.variables[i]).copied().unwrap_or(0) } else { 0 };
            power.saturating_add(1).saturating_mul(if squared[i] { 2 } else { 1 })
        };
        let tau: Vec<u32> = (0..point.len()).map(tau).collect();
        let work = Rc::new(Work::new(self.work));
        let form = Form::new(local.factors.clone(), local.constant.is_negative(), &work);
        let Some(found) = (Search { work: &work }).analyse(form, &tau, 0) else {
            return Err(refuse("it is not zero at the point"));
        };
        if matches!(found.signs, Signs::Both | Signs::Negative) {
            let place = witness::Place { names: &k.variables, point: &point, squared: &squared };
            let example = witness::negative_point(&local, &place, &Rc::new(Work::new(self.work / 4)));
            let example = example.map_or(String::new(), |example| format!(", for example {example}"));
            return Err(refuse(format!("{NEGATIVE}{}{example}", if at_origin { "origin" } else { "point" })));
        }
        let used = |i: &usize| local.factors.iter().any(|(k, _)| k.terms.keys().any(|e| e[*i] > 0));
        let variables = (0..point.len()).filter(used).map(|i| k.variables[i].clone()).collect();
        result(found, variables, work.is_spent().then_some(self.work))
    }
}

fn refuse(reason: impl Into<String>) -> PolynomialError {
    PolynomialError::NotALoss { reason: reason.into() }
}

/// Replaces variables by their squares.
fn squares(k: Product, squared: &[bool]) -> Result<Product, PolynomialError> {
    let factors = k.factors.iter().map(|(factor, exponent)| {
        let twice = |e: &Vec<u32>| e.iter().zip(squared).map(|(e, s)| if *s { 2 * e } else { *e }).collect();
        let terms = factor.terms.iter().map(|(e, c)| (twice(e), c.clone())).collect();
        let factor = Polynomial::of(factor.variables.clone(), terms);
        crate::error::limit("degree, with non-negative variables squared", 2 * DEGREE, factor.degree())?;
        Ok((factor, *exponent))
    });
    Ok(Product { factors: factors.collect::<Result<_, PolynomialError>>()?, ..k.clone() })
}

/// Converts the result of a search to its public form.
fn result(
    found: Found,
    variables: Vec<String>,
    spent: Option<u64>,
) -> Result<PolynomialCoefficient, PolynomialError> {
    let narrow = |x: &BigInt| {
        x.to_i128().ok_or(PolynomialError::TooLarge {
            what: "bits of λ",
            limit: 127,
            given: x.bits() as usize,
        })
    };
    let lambda = Rational::new(narrow(found.lambda.numer())?, narrow(found.lambda.denom())?);
    let sign = match found.signs {
        Signs::Unknown => Some("it is not proved that it is never negative near the origin".to_owned()),
        _ => None,
    };
    let (multiplicity, certainty) = match (found.doubt.or(sign), spent) {
        (None, _) => (found.multiplicity, Certainty::Certified),
        (Some(_), Some(work)) => {
            (1, Certainty::UpperBound { reason: format!("the limit of {work} steps of work was reached") })
        }
        (Some(reason), None) => (1, Certainty::UpperBound { reason }),
    };
    let coefficient = LearningCoefficient::new(lambda, multiplicity);
    Ok(PolynomialCoefficient { coefficient, certainty, variables })
}
