//! Changes of coordinates that remove a variable: flows along which K is constant, and completed squares.

use crate::arithmetic::work::Work;
use crate::polynomial::Polynomial;
use crate::rational::whole;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};
use std::collections::BTreeMap;

impl Polynomial {
    /// Returns the partial derivative with respect to one variable.
    pub(super) fn partial(&self, axis: usize) -> Self {
        let term = |(e, c): (&Vec<u32>, &BigRational)| {
            let mut lower = e.clone();
            lower[axis] = lower[axis].checked_sub(1)?;
            Some((lower, c * whole(e[axis])))
        };
        Self::of(self.variables.clone(), self.terms.iter().filter_map(term).collect())
    }

    /// Returns the exact quotient, if there is one.
    pub(super) fn divided_by(&self, by: &Self) -> Option<Self> {
        let (lead, scale) = by.terms.last_key_value()?;
        let (mut rest, mut quotient) = (self.clone(), Self::constant(&self.variables, BigRational::zero()));
        while let Some((e, c)) = rest.terms.last_key_value() {
            let power: Vec<u32> =
                e.iter().zip(lead).map(|(a, b)| a.checked_sub(*b)).collect::<Option<_>>()?;
            let mut term = Self::constant(&self.variables, BigRational::zero());
            term.add_term(power, c / scale).ok()?;
            rest = rest.plus(&by.times(&term).ok()?.scaled(&whole(-1))).ok()?;
            quotient = quotient.plus(&term).ok()?;
        }
        Some(quotient)
    }

    /// Sets one variable to zero.
    fn without(&self, axis: usize) -> Self {
        let terms = self.terms.iter().filter(|(e, _)| e[axis] == 0);
        Self::of(self.variables.clone(), terms.map(|(e, c)| (e.clone(), c.clone())).collect())
    }
}

/// Restricts functions to a hyperplane, if a vector field that is not zero at the origin annihilates all of them.
///
/// They are constant along the flow of the field, so in the coordinates (hyperplane, time) they do not depend on the time.
/// Two kinds of fields are tried: constant coefficients (the functions depend on fewer linear forms), and for a single
/// function `∂_y − r ∂_z` with r free of z (it depends on `z + ∫r dy` and the other variables). The prior must be flat in
/// every coordinate that the flow moves, except the one that is set to zero.
pub(super) fn along_a_flow(
    product: &[(Polynomial, u32)],
    tau: &[u32],
    work: &Work,
) -> Option<Vec<(Polynomial, u32)>> {
    let terms: usize = product.iter().map(|(k, _)| k.terms.len()).sum();
    if !work.spend((terms * tau.len() * tau.len()) as u64) {
        return None;
    }
    let without = |axis: usize| {
        let restricted: Vec<(Polynomial, u32)> = product.iter().map(|(k, e)| (k.without(axis), *e)).collect();
        restricted.iter().all(|(k, _)| !k.terms.is_empty()).then_some(restricted)
    };
    let partials = |i: usize| product.iter().map(|(k, _)| k.partial(i)).collect::<Vec<_>>();
    if let Some(field) = dependence(&(0..tau.len()).map(partials).collect::<Vec<_>>()) {
        let moves = |i: usize| !field[i].is_zero();
        let flat = |axis: usize| (0..tau.len()).all(|j| j == axis || tau[j] == 1 || !moves(j));
        if let Some(axis) = (0..tau.len()).find(|&axis| moves(axis) && flat(axis)) {
            return without(axis);
        }
    }
    let [(k, _)] = product else { return None };
    let partials: Vec<Polynomial> = (0..tau.len()).map(|i| k.partial(i)).collect();
    for (z, by) in partials.iter().enumerate().filter(|(z, by)| tau[*z] == 1 && !by.terms.is_empty()) {
        for (y, slope) in partials.iter().enumerate().filter(|(y, _)| *y != z) {
            if !work.spend((slope.terms.len() * by.terms.len()) as u64 / 2) {
                return None;
            }
            if slope.divided_by(by).is_some_and(|r| r.terms.keys().all(|e| e[z] == 0)) {
                return without(y);
            }
        }
    }
    None
}

/// Returns weights, not all zero, for which the weighted sums of lists of polynomials are zero, place by place.
pub(super) fn dependence(of: &[Vec<Polynomial>]) -> Option<Vec<BigRational>> {
    type Row = BTreeMap<(usize, Vec<u32>), BigRational>;
    // The reduced rows, each with the weights of the lists in it.
    let mut done: Vec<(Row, Vec<BigRational>)> = Vec::new();
    for (i, polynomials) in of.iter().enumerate() {
        let mut row = Row::new();
        for (place, polynomial) in polynomials.iter().enumerate() {
            row.extend(polynomial.terms.iter().map(|(e, c)| ((place, e.clone()), c.clone())));
        }
        let mut weights = vec![BigRational::zero(); of.len()];
        weights[i] = BigRational::one();
        for (other, other_weights) in &done {
            let (lead, scale) = other.last_key_value().expect("rows that are kept are not zero");
            let Some(factor) = row.get(lead).map(|c| c / scale) else { continue };
            for (e, c) in other {
                let value = row.remove(e).unwrap_or_default() - &factor * c;
                if !value.is_zero() {
                    row.insert(e.clone(), value);
                }
            }
            weights.iter_mut().zip(other_weights).for_each(|(w, o)| *w -= &factor * o);
        }
        if row.is_empty() {
            return Some(weights);
        }
        done.push((row, weights));
    }
    None
}

/// Completes the square in a variable z with `K = A z² + 2 B z + C` and A(0) > 0, and returns the rest D without powers of A.
///
/// ```text
/// A K = (A z + B)² + D
/// ```
///
/// A is bounded from both sides near the origin, and `z + B/A` is a coordinate. So K is comparable to `z² + D`, and λ is that
/// of D plus ½. The prior must be flat in z.
pub(super) fn completed_square(k: &Polynomial, tau: &[u32], work: &Work) -> Option<Polynomial> {
    (0..tau.len()).filter(|&z| tau[z] == 1).find_map(|z| {
        if k.terms.keys().any(|e| e[z] > 2) {
            return None;
        }
        let coefficient = |power: u32, scale: BigRational| {
            let lower = |e: &Vec<u32>| {
                let mut lower = e.clone();
                lower[z] = 0;
                lower
            };
            let terms = k.terms.iter().filter(|(e, _)| e[z] == power).map(|(e, c)| (lower(e), c * &scale));
            Polynomial::of(k.variables.clone(), terms.collect())
        };
        let half = BigRational::one() / whole(2);
        let (a, b, c) = (coefficient(2, whole(1)), coefficient(1, half), coefficient(0, whole(1)));
        // With B(0) ≠ 0 there is a linear term, and K is not a loss.
        if !a.constant_term().is_positive() || !b.constant_term().is_zero() {
            return None;
        }
        if !work.spend((a.terms.len() * c.terms.len() + b.terms.len() * b.terms.len()) as u64) {
            return None;
        }
        let mut rest = a.times(&c).ok()?.plus(&b.times(&b).ok()?.scaled(&whole(-1))).ok()?;
        // A is a factor without zeros near the origin. It would hide the next square, so it is divided out.
        while a.degree() > 0
            && work.spend((a.terms.len() * rest.terms.len()) as u64)
            && !rest.terms.is_empty()
            && let Some(quotient) = rest.divided_by(&a)
        {
            rest = quotient;
        }
        Some(rest)
    })
}
