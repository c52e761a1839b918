//! The zeros of a polynomial on one compact face of its Newton polyhedron.

use super::newton::rank;
use crate::arithmetic::field::Field;
use crate::arithmetic::simplex::{Solution, maximise};
use crate::arithmetic::work::Work;
use crate::rational::whole;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};
use std::rc::Rc;

/// The zeros of a face polynomial where no variable is zero.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Zeros {
    /// There are none.
    None,
    /// All zeros are smooth points. The truth value says whether there are any, if this is known.
    Smooth(Option<bool>),
    /// There are zeros of higher order, or nothing is proved.
    Unknown,
}

/// The exponents and coefficients of the terms on a face.
pub(super) type Terms<'a> = Vec<(&'a Vec<u32>, BigRational)>;

pub(super) fn is_even(exponents: &[u32]) -> bool {
    exponents.iter().all(|e| e % 2 == 0)
}

/// Returns minus the terms.
pub(super) fn negated<'a>(terms: &Terms<'a>) -> Terms<'a> {
    terms.iter().map(|(e, c)| (*e, -c)).collect()
}

/// Decides about the zeros on one face.
pub(super) fn zeros(terms: &Terms<'_>, dimension: usize, work: &Rc<Work>) -> Zeros {
    let positive = |terms: &Terms<'_>| terms.iter().all(|(e, c)| c.is_positive() && is_even(e));
    let opposite = negated(terms);
    if dimension == 0 || positive(terms) || positive(&opposite) {
        return Zeros::None;
    }
    if dimension == 1 {
        return edge(terms, work);
    }
    if by_means(terms, work) || by_means(&opposite, work) {
        return Zeros::None;
    }
    if !has_no_singular_zero(terms, work) {
        return Zeros::Unknown;
    }
    // Between two vertices of opposite signs in one orthant there is a zero. The first and the last exponent of a face,
    // ordered by any linear function, are vertices of it.
    let n = terms[0].0.len();
    let mut signs: Vec<(Vec<u32>, bool)> = Vec::new();
    for i in 0..n {
        let mut order: Vec<usize> = (0..terms.len()).collect();
        order.sort_by_key(|&k| (terms[k].0[i], terms[k].0));
        for k in [order[0], order[order.len() - 1]] {
            signs.push((terms[k].0.iter().map(|e| e % 2).collect(), terms[k].1.is_positive()));
        }
    }
    signs.dedup();
    Zeros::Smooth((signs.len() > 1).then_some(true))
}

/// Decides about an edge, where the polynomial depends on one monomial u that takes all values except zero.
fn edge(terms: &Terms<'_>, work: &Rc<Work>) -> Zeros {
    let (_, coefficients) = along(terms);
    let field = Field::rationals(work);
    let p: Vec<_> = coefficients.into_iter().map(Into::into).collect();
    let multiple =
        field.square_free(&p).iter().any(|(part, order)| *order > 1 && field.count_real_roots(part) > 0);
    let any = field.count_real_roots(&p) > 0;
    match (field.is_spent() || multiple, any) {
        (true, _) => Zeros::Unknown,
        (_, true) => Zeros::Smooth(Some(true)),
        (_, false) => Zeros::None,
    }
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
        coefficients[place as usize] = c.clone();
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

/// Returns true if the zeros of a face polynomial are proved to be smooth where no variable is zero.
///
/// At a singular zero `Σ ℓ(α) c_α x^α = 0` for every affine function ℓ of the exponents. This is impossible if some ℓ leaves
/// only terms of one sign.
fn has_no_singular_zero(terms: &Terms<'_>, work: &Work) -> bool {
    let n = terms[0].0.len();
    // If a term lies outside the affine hull of the others, some ℓ leaves this term alone.
    let homogeneous = |e: &Vec<u32>| -> Vec<BigRational> {
        e.iter().map(|&a| whole(a)).chain([BigRational::one()]).collect()
    };
    let full = rank(terms.iter().map(|(e, _)| homogeneous(e)).collect());
    for skip in 0..terms.len() {
        if !work.spend((terms.len() * n * n) as u64 / 4) {
            return false;
        }
        let others = terms.iter().enumerate().filter(|(k, _)| *k != skip).map(|(_, (e, _))| homogeneous(e));
        if rank(others.collect()) < full {
            return true;
        }
    }
    // Maximises Σ ℓ(α) c_α ≤ 1 with ℓ(α) c_α ≥ 0 on even exponents and ℓ(α) = 0 on the others.
    let variables = 2 * (n + 1);
    let (mut rows, mut bounds) = (Vec::new(), Vec::new());
    let mut objective = vec![BigRational::zero(); variables];
    for (e, c) in terms {
        let row: Vec<BigRational> =
            homogeneous(e).into_iter().flat_map(|a| [&a * c.signum(), -(a * c.signum())]).collect();
        if is_even(e) {
            objective.iter_mut().zip(&row).for_each(|(o, a)| *o += a);
        } else {
            rows.push(row.clone());
            bounds.push(BigRational::zero());
        }
        rows.push(row.iter().map(|a| -a).collect());
        bounds.push(BigRational::zero());
    }
    rows.push(objective.clone());
    bounds.push(BigRational::from(BigInt::one()));
    matches!(maximise(&objective, &rows, &bounds, work), Solution::Optimal { value, .. } if value.is_positive())
}

/// Returns true if weighted means of the positive even terms are proved to outweigh all other terms.
///
/// ```text
/// |c_β| |x^β| ≤ Σ_i z_i x^{α_i}   when   Σ z_i = |c_β|,  Σ z_i α_i = |c_β| β,  z ≥ 0
/// ```
fn by_means(terms: &Terms<'_>, work: &Work) -> bool {
    let (even, other): (Terms<'_>, Terms<'_>) =
        terms.iter().cloned().partition(|(e, c)| c.is_positive() && is_even(e));
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
        bounds.push(c.clone());
    }
    matches!(maximise(&vec![BigRational::zero(); variables], &rows, &bounds, work), Solution::Optimal { .. })
}
