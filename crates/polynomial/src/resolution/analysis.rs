//! λ and m of a polynomial. The polynomial is split into parts, and each part is resolved by its number of variables.

use super::certificate::{self, Sign};
use super::newton::Newton;
use super::{plane, reduce, root, witness};
use crate::error::{PolynomialError, same_length};
use crate::learning_coefficient::LearningCoefficient;
use crate::polynomial::Polynomial;
use crate::rational::{Rational, whole};
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive};
use std::collections::BTreeMap;
use std::fmt;

/// The certainty of a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// λ and m are exact.
    Certified,
    /// λ is at most the given value, by the Newton polyhedron. m is the value for the polyhedron alone and proves nothing.
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
    /// Whether the coefficient is exact or a bound.
    pub certainty: Certainty,
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
/// K = K₁(u) + K₂(v) and K = K₁(u) K₂(v) are split
/// one variable     λ = 1/order, m = 1
/// two variables    resolved completely: weighted blow-ups along the edges of the Newton polygon, translations to the
///                  real roots of the edge polynomials, repeated
/// more             λ = max { Σ y : Σ_α y_α α ≤ 1, y ≥ 0 } over the exponents α, m the codimension of the face that
///                  contains (1, …, 1)/λ; certified if every compact face polynomial is proved positive where no
///                  variable is 0. Otherwise, in this order:
///                  K is constant along a vector field that does not vanish at the origin: one variable less;
///                  K = A z² + 2Bz + C with A(0) > 0: the square is completed, one variable less;
///                  K = c f², f without singular zeros on the faces: half of the λ of |f|
/// ```
///
/// All arithmetic is rational or in real algebraic numbers, so nothing is rounded. If the result is not certified, it is
/// the value of the Newton polyhedron, an upper bound of λ.
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
/// assert!(found("x^2 - y^2").unwrap_err().to_string().contains("negative"));
/// # Ok::<(), collimate_polynomial::PolynomialError>(())
/// ```
///
/// # References
/// Varchenko (1976) and Arnold, Gusein-Zade & Varchenko (1988), chapter 8; Watanabe (2009), chapter 3; Collins (2018) on
/// two real variables.
pub fn learning_coefficient(k: &Polynomial) -> Result<PolynomialCoefficient, PolynomialError> {
    learning_coefficient_with_prior(k, &vec![0; k.variables.len()])
}

/// Returns λ and m as [`learning_coefficient`] does, under a prior that is `Π |w_i|^{h_i}` times a positive function.
///
/// # Errors
/// As [`learning_coefficient`], and [`PolynomialError::Length`] if there is not one `h_i` per variable.
pub fn learning_coefficient_with_prior(
    k: &Polynomial,
    prior: &[u32],
) -> Result<PolynomialCoefficient, PolynomialError> {
    same_length("prior", k.variables.len(), prior.len())?;
    if k.terms.is_empty() {
        return Err(refuse("it is zero everywhere"));
    }
    if let Some(value) = k.terms.get(&vec![0; k.variables.len()]) {
        return Err(refuse(format!("it is {value} at the origin, where it must be 0")));
    }
    let tau: Vec<u32> = prior.iter().map(|h| h.saturating_add(1)).collect();
    let found = analyse(k, &tau)?;
    let narrow = |x: &num_bigint::BigInt| {
        x.to_i128().ok_or(PolynomialError::TooLarge {
            what: "bits of λ",
            limit: 127,
            given: x.bits() as usize,
        })
    };
    let lambda = Rational::new(narrow(found.lambda.numer())?, narrow(found.lambda.denom())?);
    let certainty = match found.doubt {
        None => Certainty::Certified,
        Some(reason) => Certainty::UpperBound { reason },
    };
    Ok(PolynomialCoefficient { coefficient: LearningCoefficient::new(lambda, found.multiplicity), certainty })
}

fn refuse(reason: impl Into<String>) -> PolynomialError {
    PolynomialError::NotALoss { reason: reason.into() }
}

/// λ and m, or a bound and the reason why it is no more than that.
struct Found {
    lambda: BigRational,
    multiplicity: u32,
    doubt: Option<String>,
}

impl Found {
    fn certain(lambda: BigRational, multiplicity: u32) -> Self {
        Self { lambda, multiplicity, doubt: None }
    }

    fn sum(self, other: Self) -> Self {
        Self {
            lambda: self.lambda + other.lambda,
            multiplicity: self.multiplicity + other.multiplicity - 1,
            doubt: self.doubt.or(other.doubt),
        }
    }

    fn product(self, other: Self) -> Self {
        let doubt = self.doubt.or(other.doubt);
        let multiplicity = match self.lambda.cmp(&other.lambda) {
            std::cmp::Ordering::Less => self.multiplicity,
            std::cmp::Ordering::Greater => other.multiplicity,
            std::cmp::Ordering::Equal => self.multiplicity + other.multiplicity,
        };
        Self { lambda: self.lambda.min(other.lambda), multiplicity, doubt }
    }
}

/// Analyses a K that is zero at the origin and not zero everywhere.
fn analyse(k: &Polynomial, tau: &[u32]) -> Result<Found, PolynomialError> {
    let parts = disjoint_sums(k);
    if parts.len() > 1 {
        let mut total: Option<Found> = None;
        for part in parts {
            let (part, tau) = restricted(&part, tau);
            let found = analyse(&part, &tau)?;
            total = Some(match total {
                None => found,
                Some(before) => before.sum(found),
            });
        }
        return Ok(total.expect("two parts or more"));
    }
    let (k, tau) = restricted(k, tau);
    match k.variables.len() {
        1 => one_variable(&k, tau[0]),
        2 => two_variables(&k, &tau),
        _ => match disjoint_product(&k) {
            Some((first, second)) => factors(first, second, &tau),
            None => many_variables(&k, &tau),
        },
    }
}

/// Removes the variables that do not occur.
fn restricted(k: &Polynomial, tau: &[u32]) -> (Polynomial, Vec<u32>) {
    let used: Vec<usize> = (0..k.variables.len()).filter(|&i| k.terms.keys().any(|e| e[i] > 0)).collect();
    let keep = |e: &Vec<u32>| used.iter().map(|&i| e[i]).collect::<Vec<u32>>();
    let variables = used.iter().map(|&i| k.variables[i].clone()).collect();
    let terms = k.terms.iter().map(|(e, c)| (keep(e), c.clone())).collect();
    (Polynomial { variables, terms }, used.iter().map(|&i| tau[i]).collect())
}

/// Splits K into a sum over groups of variables that share no term.
fn disjoint_sums(k: &Polynomial) -> Vec<Polynomial> {
    let n = k.variables.len();
    let mut group: Vec<usize> = (0..n).collect();
    for e in k.terms.keys() {
        let joined: Vec<usize> = (0..n).filter(|&i| e[i] > 0).map(|i| group[i]).collect();
        if let Some(&first) = joined.first() {
            group.iter_mut().filter(|g| joined.contains(g)).for_each(|g| *g = first);
        }
    }
    let mut parts: BTreeMap<usize, Polynomial> = BTreeMap::new();
    for (e, c) in &k.terms {
        let key = (0..n).find(|&i| e[i] > 0).map_or(n, |i| group[i]);
        let empty = || Polynomial { variables: k.variables.clone(), terms: BTreeMap::new() };
        parts.entry(key).or_insert_with(empty).terms.insert(e.clone(), c.clone());
    }
    parts.into_values().collect()
}

/// Splits K into two factors over disjoint groups of variables, if there are such factors.
fn disjoint_product(k: &Polynomial) -> Option<(Polynomial, Polynomial)> {
    let n = k.variables.len();
    let (lead, c) = k.terms.first_key_value()?;
    let slice = |keep: &dyn Fn(usize) -> bool| {
        // Keeps the terms whose other exponents are those of the lead.
        let belongs = |e: &&Vec<u32>| (0..n).all(|i| keep(i) || e[i] == lead[i]);
        let part = |e: &Vec<u32>| (0..n).map(|i| if keep(i) { e[i] } else { 0 }).collect::<Vec<u32>>();
        let terms = k.terms.iter().filter(|(e, _)| belongs(e)).map(|(e, c)| (part(e), c.clone())).collect();
        Polynomial { variables: k.variables.clone(), terms }
    };
    // The last variable is always in the second group. For more than ten variables, only single variables are tried.
    let groups: Vec<u32> =
        if n <= 10 { (1..1 << (n - 1)).collect() } else { (0..n).map(|i| 1 << i).collect() };
    groups.into_iter().find_map(|group| {
        let first = slice(&|i| group >> i & 1 == 1);
        let second = slice(&|i| group >> i & 1 == 0);
        if first.terms.len() * second.terms.len() != k.terms.len() {
            return None;
        }
        let product = first.times(&second).ok()?.scaled(&c.recip());
        (product == *k).then(|| (first, second.scaled(&c.recip())))
    })
}

/// Analyses a product over disjoint groups of variables.
fn factors(first: Polynomial, second: Polynomial, tau: &[u32]) -> Result<Found, PolynomialError> {
    // Both factors must have one and the same sign. The first coefficient belongs to a vertex, so it has that sign.
    let negative = first.terms.values().next().is_some_and(|c| c.is_negative());
    let sign = whole(if negative { -1 } else { 1 });
    let mut product: Option<Found> = None;
    for factor in [first, second] {
        let (factor, tau) = restricted(&factor.scaled(&sign), tau);
        let found = match factor.terms.get(&vec![0; factor.variables.len()]) {
            Some(c) if c.is_positive() => continue,
            Some(_) => return Err(refuse("one of its factors is negative at the origin")),
            None => analyse(&factor, &tau)?,
        };
        product = Some(match product {
            None => found,
            Some(before) => before.product(found),
        });
    }
    product.ok_or_else(|| refuse("it is not zero at the origin"))
}

fn negative_at(point: &str) -> PolynomialError {
    refuse(format!("it is negative arbitrarily close to the origin, for example {point}"))
}

/// Returns the error for a K that is negative near the origin.
fn negative(k: &Polynomial) -> PolynomialError {
    match witness::negative_point(k) {
        Some(point) => negative_at(&point),
        None => refuse("it is negative arbitrarily close to the origin, across a branch of odd order"),
    }
}

fn one_variable(k: &Polynomial, tau: u32) -> Result<Found, PolynomialError> {
    let (order, c) = k.terms.first_key_value().expect("not zero");
    if order[0] % 2 == 1 || c.is_negative() {
        return Err(negative(k));
    }
    Ok(Found::certain(whole(tau) / whole(order[0]), 1))
}

fn two_variables(k: &Polynomial, tau: &[u32]) -> Result<Found, PolynomialError> {
    match plane::resolve(k, tau) {
        Ok(found) if found.changes_sign || k.terms.values().next().is_some_and(|c| c.is_negative()) => {
            Err(negative(k))
        }
        Ok(found) => Ok(Found::certain(found.lambda, found.multiplicity)),
        Err(limit) => match reduced(k, tau)? {
            Some(found) => Ok(found),
            None => bound(k, tau, limit),
        },
    }
}

/// Analyses K after a change of coordinates that removes a variable. Returns `None` if that does not decide λ.
fn reduced(k: &Polynomial, tau: &[u32]) -> Result<Option<Found>, PolynomialError> {
    let inside = |error| match error {
        PolynomialError::NotALoss { reason } => {
            refuse(format!("after completing a square, the rest is not a loss: {reason}"))
        }
        other => other,
    };
    let found = if let Some(fewer) = reduce::along_a_flow(k, tau) {
        analyse(&fewer, tau)?
    } else if let Some(rest) = reduce::completed_square(k, tau) {
        let square = Found::certain(whole(1) / whole(2), 1);
        match rest.terms.is_empty() {
            true => square,
            false => square.sum(analyse(&rest, tau).map_err(inside)?),
        }
    } else {
        return Ok(None);
    };
    Ok(found.doubt.is_none().then_some(found))
}

/// Returns the value of the Newton polyhedron as a bound.
fn bound(k: &Polynomial, tau: &[u32], reason: String) -> Result<Found, PolynomialError> {
    let (lambda, multiplicity) = Newton::of(k).coefficient(tau);
    Ok(Found { lambda, multiplicity, doubt: Some(reason) })
}

fn many_variables(k: &Polynomial, tau: &[u32]) -> Result<Found, PolynomialError> {
    let newton = Newton::of(k);
    let Some(faces) = newton.compact_faces() else {
        return bound(k, tau, "its Newton polyhedron has too many faces".to_owned());
    };
    let mut doubt = None;
    for face in &faces {
        let terms = certificate::terms(k, &newton, face);
        let shown = || {
            let part = terms.iter().map(|(e, c)| ((*e).clone(), (*c).clone())).collect();
            Polynomial { variables: k.variables.clone(), terms: part }
        };
        match certificate::sign(&terms, face.dimension) {
            Sign::Positive => {}
            Sign::Negative(direction) => {
                let point =
                    witness::near_origin(k, &direction, &face.weight).unwrap_or_else(|| shown().to_string());
                return Err(negative_at(&point));
            }
            Sign::Zero => {
                doubt = doubt.or_else(|| Some(format!("its face polynomial {} has zeros", shown())))
            }
            Sign::Unknown => {
                doubt =
                    doubt.or_else(|| Some(format!("its face polynomial {} is not proved positive", shown())));
            }
        }
    }
    let (lambda, multiplicity) = newton.coefficient(tau);
    let Some(doubt) = doubt else { return Ok(Found::certain(lambda, multiplicity)) };
    if let Some(found) = reduced(k, tau)? {
        return Ok(found);
    }
    match perfect_square(k, tau)? {
        Some(found) => Ok(found),
        None => Ok(Found { lambda, multiplicity, doubt: Some(doubt) }),
    }
}

/// Analyses `K = c g²`, whose λ is half of that of `|g|`.
fn perfect_square(k: &Polynomial, tau: &[u32]) -> Result<Option<Found>, PolynomialError> {
    let Some((g, c)) = root::square_root(k) else { return Ok(None) };
    if c.is_negative() {
        return Err(refuse("it is minus a square"));
    }
    let half = BigRational::one() / whole(2);
    for sign in [1, -1] {
        if let Ok(found) = analyse(&g.clone().scaled(&whole(sign)), tau)
            && found.doubt.is_none()
        {
            return Ok(Some(Found::certain(found.lambda * half, found.multiplicity)));
        }
    }
    Ok(root::hypersurface(&g, tau).map(|(lambda, m)| Found::certain(lambda * half, m)))
}
