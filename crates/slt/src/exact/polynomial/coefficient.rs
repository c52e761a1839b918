//! λ and m of a polynomial: the parts it splits into, and what each kind of part needs.

use super::certificate::{self, Sign};
use super::newton::Newton;
use super::{Polynomial, plane, reduce, root, whole, witness};
use crate::{LearningCoefficient, Rational, SltError};
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive};
use std::collections::BTreeMap;
use std::fmt;

/// Whether a value is proved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// λ and m are exact.
    Certified,
    /// λ is at most the given value, which the Newton polyhedron shows; m is what the polyhedron alone would give.
    UpperBound {
        /// What could not be proved.
        reason: String,
    },
}

/// The learning coefficient of a polynomial, and whether it is proved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolynomialCoefficient {
    /// λ and m, or the bound.
    pub coefficient: LearningCoefficient,
    /// Which of the two.
    pub certainty: Certainty,
}

impl PolynomialCoefficient {
    /// Whether λ and m are proved.
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

/// λ and m of a polynomial K ≥ 0 at the origin under a prior that is positive there.
///
/// ```text
/// K = K₁(u) + K₂(v) and K = K₁(u) K₂(v) are split
/// one variable     λ = 1/order, m = 1
/// two variables    resolved completely: weighted blow-ups along the edges of the Newton polygon, translation to the
///                  real roots of the edge polynomials, again
/// more             λ = max { Σ y : Σ_α y_α α ≤ 1, y ≥ 0 } over the exponents α, m the codimension of the face that holds
///                  (1, …, 1)/λ; certified if every compact face polynomial is proved positive where no variable is 0.
///                  Failing that: a variable that a flow or a completed square takes away (K constant along a vector field
///                  that does not vanish at the origin; K = A z² + 2Bz + C with A(0) > 0), and what is left again; a
///                  perfect square K = c f²: half of what f has, when f has no singular zero there
/// ```
///
/// All arithmetic is rational or in real algebraic numbers; nothing is rounded. A K that is not certified gets the value
/// of its Newton polyhedron, which is an upper bound of λ.
///
/// # Errors
/// [`SltError::NotALoss`] when K takes negative values near the origin (with a point, where one was found), does not
/// vanish there or is zero everywhere; [`SltError::TooLarge`] when λ does not fit into 128 bits.
///
/// # Examples
/// ```
/// use collimate_slt::{Polynomial, learning_coefficient};
/// let found = |text: &str| -> Result<String, collimate_slt::SltError> {
///     Ok(learning_coefficient(&text.parse::<Polynomial>()?)?.to_string())
/// };
/// assert_eq!(found("(x*y)^2 + (z*w)^2")?, "λ = 1, multiplicity 3, certified");
/// // Degenerate on its edge, with branches that only √2 tells apart.
/// assert_eq!(found("(x^2 - 2*y^2)^2 + y^6")?, "λ = 1/2, multiplicity 2, certified");
/// assert!(found("x^2 - y^2").unwrap_err().to_string().contains("negative"));
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
///
/// # References
/// Varchenko (1976) and Arnold, Gusein-Zade & Varchenko (1988), chapter 8; Watanabe (2009), chapter 3; Collins (2018) on
/// two real variables.
pub fn learning_coefficient(k: &Polynomial) -> Result<PolynomialCoefficient, SltError> {
    learning_coefficient_with_prior(k, &vec![0; k.variables.len()])
}

/// The same under a prior `φ(w) ∝ Π |w_i|^{h_i}`, times anything positive.
///
/// # Errors
/// As [`learning_coefficient`], and [`SltError::Length`] for another number of `h_i` than of variables.
pub fn learning_coefficient_with_prior(
    k: &Polynomial,
    prior: &[u32],
) -> Result<PolynomialCoefficient, SltError> {
    crate::error::same_length("prior", k.variables.len(), prior.len())?;
    if k.terms.is_empty() {
        return Err(refuse("it is zero everywhere"));
    }
    if let Some(value) = k.terms.get(&vec![0; k.variables.len()]) {
        return Err(refuse(format!("it is {value} at the origin, where it should vanish")));
    }
    let tau: Vec<u32> = prior.iter().map(|h| h.saturating_add(1)).collect();
    let found = analyse(k, &tau)?;
    let narrow = |x: &num_bigint::BigInt| {
        x.to_i128().ok_or(SltError::TooLarge { what: "bits of λ", limit: 127, given: x.bits() as usize })
    };
    let lambda = Rational::new(narrow(found.lambda.numer())?, narrow(found.lambda.denom())?);
    let certainty = match found.doubt {
        None => Certainty::Certified,
        Some(reason) => Certainty::UpperBound { reason },
    };
    Ok(PolynomialCoefficient { coefficient: LearningCoefficient::new(lambda, found.multiplicity), certainty })
}

fn refuse(reason: impl Into<String>) -> SltError {
    SltError::NotALoss { reason: reason.into() }
}

/// λ and m, or a bound with what is in doubt.
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

/// K vanishes at the origin and somewhere does not.
fn analyse(k: &Polynomial, tau: &[u32]) -> Result<Found, SltError> {
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

/// Without the variables that do not occur.
fn restricted(k: &Polynomial, tau: &[u32]) -> (Polynomial, Vec<u32>) {
    let used: Vec<usize> = (0..k.variables.len()).filter(|&i| k.terms.keys().any(|e| e[i] > 0)).collect();
    let keep = |e: &Vec<u32>| used.iter().map(|&i| e[i]).collect::<Vec<u32>>();
    let variables = used.iter().map(|&i| k.variables[i].clone()).collect();
    let terms = k.terms.iter().map(|(e, c)| (keep(e), c.clone())).collect();
    (Polynomial { variables, terms }, used.iter().map(|&i| tau[i]).collect())
}

/// The sums over groups of variables that never meet in a term.
fn disjoint_sums(k: &Polynomial) -> Vec<Polynomial> {
    let n = k.variables.len();
    let mut group: Vec<usize> = (0..n).collect();
    for e in k.terms.keys() {
        let met: Vec<usize> = (0..n).filter(|&i| e[i] > 0).map(|i| group[i]).collect();
        if let Some(&first) = met.first() {
            group.iter_mut().filter(|g| met.contains(g)).for_each(|g| *g = first);
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

/// Two factors over disjoint groups of variables, if there are such.
fn disjoint_product(k: &Polynomial) -> Option<(Polynomial, Polynomial)> {
    let n = k.variables.len();
    let (lead, c) = k.terms.first_key_value()?;
    let slice = |keep: &dyn Fn(usize) -> bool| {
        // The terms whose other exponents are those of the lead.
        let belongs = |e: &&Vec<u32>| (0..n).all(|i| keep(i) || e[i] == lead[i]);
        let part = |e: &Vec<u32>| (0..n).map(|i| if keep(i) { e[i] } else { 0 }).collect::<Vec<u32>>();
        let terms = k.terms.iter().filter(|(e, _)| belongs(e)).map(|(e, c)| (part(e), c.clone())).collect();
        Polynomial { variables: k.variables.clone(), terms }
    };
    // The last variable is always in the second group; beyond ten variables only single ones are tried.
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

fn factors(first: Polynomial, second: Polynomial, tau: &[u32]) -> Result<Found, SltError> {
    // Both must have one sign, and the same: the first coefficient is that of a vertex.
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
    product.ok_or_else(|| refuse("it does not vanish at the origin"))
}

fn negative(k: &Polynomial) -> SltError {
    match witness::negative_point(k) {
        Some(point) => {
            refuse(format!("it takes negative values as near to the origin as one likes: {point}"))
        }
        None => refuse(
            "it takes negative values as near to the origin as one likes, across a branch of odd order",
        ),
    }
}

fn one_variable(k: &Polynomial, tau: u32) -> Result<Found, SltError> {
    let (order, c) = k.terms.first_key_value().expect("not zero");
    if order[0] % 2 == 1 || c.is_negative() {
        return Err(negative(k));
    }
    Ok(Found::certain(whole(tau) / whole(order[0]), 1))
}

fn two_variables(k: &Polynomial, tau: &[u32]) -> Result<Found, SltError> {
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

/// What is left after a change of coordinates that takes a variable away, where that decides λ.
fn reduced(k: &Polynomial, tau: &[u32]) -> Result<Option<Found>, SltError> {
    let inside = |error| match error {
        SltError::NotALoss { reason } => {
            refuse(format!("in coordinates that complete a square the rest of it is none: {reason}"))
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

/// The value of the Newton polyhedron, after all that shows negative values.
fn bound(k: &Polynomial, tau: &[u32], reason: String) -> Result<Found, SltError> {
    let (lambda, multiplicity) = Newton::of(k).coefficient(tau);
    Ok(Found { lambda, multiplicity, doubt: Some(reason) })
}

fn many_variables(k: &Polynomial, tau: &[u32]) -> Result<Found, SltError> {
    let newton = Newton::of(k);
    let Some(faces) = newton.compact_faces() else {
        return bound(k, tau, "its Newton polyhedron has too many faces to go through".to_owned());
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
                return Err(refuse(format!(
                    "it takes negative values as near to the origin as one likes: {point}"
                )));
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

/// `K = c g²`: half of what `|g|` has.
fn perfect_square(k: &Polynomial, tau: &[u32]) -> Result<Option<Found>, SltError> {
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
