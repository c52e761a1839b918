//! Changes of coordinates that leave fewer variables: flows that keep K, and completed squares.

use super::{Polynomial, whole};
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};
use std::collections::BTreeMap;

impl Polynomial {
    /// The partial derivative by one variable.
    fn partial(&self, axis: usize) -> Self {
        let term = |(e, c): (&Vec<u32>, &BigRational)| {
            let mut lower = e.clone();
            lower[axis] = lower[axis].checked_sub(1)?;
            Some((lower, c * whole(e[axis])))
        };
        Self { variables: self.variables.clone(), terms: self.terms.iter().filter_map(term).collect() }
    }

    /// The exact quotient, if there is one.
    fn divided_by(&self, by: &Self) -> Option<Self> {
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

    /// With one variable set to zero.
    fn without(&self, axis: usize) -> Self {
        let terms = self.terms.iter().filter(|(e, _)| e[axis] == 0);
        Self {
            variables: self.variables.clone(),
            terms: terms.map(|(e, c)| (e.clone(), c.clone())).collect(),
        }
    }

    fn constant_term(&self) -> BigRational {
        self.terms.get(&vec![0; self.variables.len()]).cloned().unwrap_or_default()
    }
}

/// K on a hyperplane, if a vector field that does not vanish at the origin is seen to annihilate K.
///
/// K is constant along the flow of the field, so in the coordinates (hyperplane, time) it does not depend on the time. Tried
/// are fields with constant coefficients (K depends on fewer linear forms), and `∂_y − r ∂_z` with r free of z (K depends on
/// `z + ∫r dy` and the others). The prior must be flat in every coordinate that the flow moves, but for the one that is set
/// to zero.
pub(super) fn along_a_flow(k: &Polynomial, tau: &[u32]) -> Option<Polynomial> {
    let partials: Vec<Polynomial> = (0..tau.len()).map(|i| k.partial(i)).collect();
    if let Some(field) = dependence(&partials) {
        let moves = |i: usize| !field[i].is_zero();
        let flat = |axis: usize| (0..tau.len()).all(|j| j == axis || tau[j] == 1 || !moves(j));
        if let Some(axis) = (0..tau.len()).find(|&axis| moves(axis) && flat(axis)) {
            return Some(k.without(axis));
        }
    }
    for (z, by) in partials.iter().enumerate().filter(|(z, by)| tau[*z] == 1 && !by.terms.is_empty()) {
        for (y, slope) in partials.iter().enumerate().filter(|(y, _)| *y != z) {
            if slope.divided_by(by).is_some_and(|r| r.terms.keys().all(|e| e[z] == 0)) {
                return Some(k.without(y));
            }
        }
    }
    None
}

/// Numbers, not all zero, with which the sum of some polynomials vanishes.
fn dependence(of: &[Polynomial]) -> Option<Vec<BigRational>> {
    // Each row with the combination of polynomials that it is.
    let mut done: Vec<(BTreeMap<Vec<u32>, BigRational>, Vec<BigRational>)> = Vec::new();
    for (i, polynomial) in of.iter().enumerate() {
        let mut row = polynomial.terms.clone();
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

/// D, without powers of A, with `A K = (A z + B)² + D` where `K = A z² + 2 B z + C` with a positive A(0), if some variable z enters like that.
///
/// A is bounded from both sides near the origin and `z + B/A` is a coordinate, so K is as small as `z² + D`: λ is more than
/// that of D by the ½ of z², which needs a prior that is flat in z.
pub(super) fn completed_square(k: &Polynomial, tau: &[u32]) -> Option<Polynomial> {
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
            Polynomial { variables: k.variables.clone(), terms: terms.collect() }
        };
        let half = BigRational::one() / whole(2);
        let (a, b, c) = (coefficient(2, whole(1)), coefficient(1, half), coefficient(0, whole(1)));
        // With B(0) ≠ 0 there is a linear term, and K is no loss.
        if !a.constant_term().is_positive() || !b.constant_term().is_zero() {
            return None;
        }
        let mut rest = a.times(&c).ok()?.plus(&b.times(&b).ok()?.scaled(&whole(-1))).ok()?;
        // A is a factor that does not vanish; with it the next square could not be seen.
        while a.degree() > 0
            && !rest.terms.is_empty()
            && let Some(quotient) = rest.divided_by(&a)
        {
            rest = quotient;
        }
        Some(rest)
    })
}
