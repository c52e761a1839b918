//! The sign of a polynomial on one compact face of its Newton polyhedron.

use super::newton::{Face, Newton};
use crate::arithmetic::field::{Field, Number};
use crate::arithmetic::simplex::{Solution, maximise};
use crate::polynomial::Polynomial;
use crate::rational::whole;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

/// The sign of a face polynomial where no variable is zero.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sign {
    /// Positive everywhere.
    Positive,
    /// Negative at this point.
    Negative(Vec<BigRational>),
    /// Never negative, but zero somewhere.
    Zero,
    /// Undecided.
    Unknown,
}

/// The exponents and coefficients of the terms on a face.
pub(super) type Terms<'a> = Vec<(&'a Vec<u32>, &'a BigRational)>;

pub(super) fn terms<'a>(polynomial: &'a Polynomial, newton: &Newton, face: &Face) -> Terms<'a> {
    let term = |&k: &usize| polynomial.terms.get_key_value(&newton.exponents[k]).expect("an exponent of it");
    face.members.iter().map(term).collect()
}

fn is_even(exponents: &[u32]) -> bool {
    exponents.iter().all(|e| e % 2 == 0)
}

/// Decides the sign on one face. The vertices of the face are known to be positive.
pub(super) fn sign(terms: &Terms<'_>, dimension: usize) -> Sign {
    if terms.iter().all(|(e, c)| c.is_positive() && is_even(e)) {
        return Sign::Positive;
    }
    match dimension {
        0 => vertex(terms[0]),
        1 => edge(terms),
        _ if by_means(terms) => Sign::Positive,
        _ => Sign::Unknown,
    }
}

/// Returns the sign of a single term that is not an even monomial with a positive coefficient.
fn vertex((exponents, coefficient): (&Vec<u32>, &BigRational)) -> Sign {
    let mut point = vec![BigRational::one(); exponents.len()];
    if coefficient.is_positive() {
        let odd = exponents.iter().position(|e| e % 2 == 1).expect("not an even monomial");
        point[odd] = -BigRational::one();
    }
    Sign::Negative(point)
}

/// Decides the sign on an edge, where the polynomial depends on one monomial u that takes all values except zero.
fn edge(terms: &Terms<'_>) -> Sign {
    let (direction, coefficients) = along(terms);
    let field = Field::default();
    let p: Vec<Number> = coefficients.iter().cloned().map(Number::from).collect();
    if field.count_real_roots(&p) == 0 {
        return Sign::Positive;
    }
    for (part, exponent) in field.square_free(&p) {
        if exponent % 2 == 0 {
            continue;
        }
        for (field, root) in field.real_roots(&part) {
            // The sign is negative on one side of a root of odd order.
            for step in 0..200 {
                let (low, high) = field.interval(&root);
                let offset = BigRational::new(1.into(), num_bigint::BigInt::one() << step);
                for u in [&low - &offset, &high + &offset] {
                    if !u.is_zero() && field.sign(&field.value(&p, &u)) < 0 {
                        return Sign::Negative(direction.iter().map(|&e| u.pow(e)).collect());
                    }
                }
                field.refine_all();
            }
        }
    }
    Sign::Zero
}

/// Returns, for an edge with the primitive direction δ, integers e with e·δ = 1, and the coefficients along δ.
pub(super) fn along(terms: &Terms<'_>) -> (Vec<i32>, Vec<BigRational>) {
    let (first, last) = (terms[0].0, terms[terms.len() - 1].0);
    let difference: Vec<i64> = last.iter().zip(first).map(|(&a, &b)| i64::from(a) - i64::from(b)).collect();
    let divisor = difference.iter().fold(0, |g: i64, d| g.gcd(d));
    let primitive: Vec<i64> = difference.iter().map(|d| d / divisor).collect();
    let axis = primitive.iter().position(|&d| d != 0).expect("an edge has a direction");
    // The terms are sorted, so they run along the edge from its first end to its last.
    let mut coefficients = vec![BigRational::zero(); divisor as usize + 1];
    for (e, c) in terms {
        let place = (i64::from(e[axis]) - i64::from(first[axis])) / primitive[axis];
        coefficients[place as usize] = (*c).clone();
    }
    // Bézout coefficients, entry by entry.
    let (mut gcd, mut bezout) = (0i64, vec![0i64; primitive.len()]);
    for i in 0..primitive.len() {
        let step = gcd.extended_gcd(&primitive[i]);
        bezout[..i].iter_mut().for_each(|b| *b *= step.x);
        bezout[i] = step.y;
        gcd = step.gcd;
    }
    let sign = gcd.signum();
    (bezout.iter().map(|&b| (b * sign) as i32).collect(), coefficients)
}

/// Returns whether weighted means of the positive even terms are proved to outweigh all other terms.
///
/// ```text
/// |c_β| |x^β| ≤ Σ_i z_i x^{α_i}   when   Σ z_i = |c_β|,  Σ z_i α_i = |c_β| β,  z ≥ 0
/// ```
fn by_means(terms: &Terms<'_>) -> bool {
    let (even, other): (Terms<'_>, Terms<'_>) =
        terms.iter().partition(|(e, c)| c.is_positive() && is_even(e));
    let total = |terms: &Terms<'_>| -> BigRational { terms.iter().map(|(_, c)| c.abs()).sum() };
    // The sum is positive only if the even terms have more weight in total than the others.
    if total(&even) <= total(&other) || even.len() * other.len() > 400 {
        return false;
    }
    let variables = even.len() * other.len();
    let n = terms[0].0.len();
    let (mut rows, mut bounds) = (Vec::new(), Vec::new());
    for (j, (beta, c)) in other.iter().enumerate() {
        for axis in 0..=n {
            let mut row = vec![BigRational::zero(); variables];
            for (i, (alpha, _)) in even.iter().enumerate() {
                row[j * even.len() + i] = if axis < n { whole(alpha[axis]) } else { BigRational::one() };
            }
            let bound = c.abs() * if axis < n { whole(beta[axis]) } else { BigRational::one() };
            rows.push(row.iter().map(|a| -a).collect());
            bounds.push(-&bound);
            rows.push(row);
            bounds.push(bound);
        }
    }
    for (i, (_, c)) in even.iter().enumerate() {
        let mut row = vec![BigRational::zero(); variables];
        (0..other.len()).for_each(|j| row[j * even.len() + i] = BigRational::one());
        rows.push(row);
        bounds.push((*c).clone());
    }
    maximise(&vec![BigRational::zero(); variables], &rows, &bounds) != Solution::Infeasible
}
