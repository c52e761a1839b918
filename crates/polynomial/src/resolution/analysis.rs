//! λ and m of the absolute value of a product of powers, by the methods of this chapter in order.

use super::adapt::{changed, changes, graph};
use super::arrangement::arrangement;
use super::faces::by_faces;
use super::form::{Form, restricted};
use super::found::{Found, Signs};
use super::newton::quick_bound;
use super::parts::{disjoint_product, disjoint_sums};
use super::plane;
use super::reduce::{along_a_flow, completed_square};
use super::series::{split, square};
use crate::arithmetic::work::Work;
use crate::polynomial::{Polynomial, Terms};
use crate::rational::whole;
use num_rational::BigRational;
use num_traits::{One, Signed};
use std::rc::Rc;

/// The largest number of changes of coordinates in a row.
const CHANGES: usize = 8;
/// The orders of the power series that are tried one after the other.
const ORDERS: [u32; 3] = [5, 10, 20];

/// A product of powers whose exponents have no common divisor, with the prior exponents plus one.
type Factors = [(Polynomial, u32)];

/// The search for λ and m.
pub(super) struct Search<'a> {
    pub(super) work: &'a Rc<Work>,
}

impl Search<'_> {
    /// Analyses a product. Returns `None` if it is not zero at the origin.
    pub(super) fn analyse(&self, form: Form, tau: &[u32], changes: usize) -> Option<Found> {
        let negative = form.negative;
        let groups = form.groups().into_iter().map(|group| self.group(&group, tau, changes));
        let found = groups.reduce(Found::product)?;
        Some(if negative { Found { signs: found.signs.negated(), ..found } } else { found })
    }

    /// Analyses factors that are connected by their variables.
    fn group(&self, factors: &Factors, tau: &[u32], changes: usize) -> Found {
        let (mut factors, tau) = restricted(factors, tau);
        let common = Form { factors: factors.clone(), negative: false }.common_exponent();
        factors.iter_mut().for_each(|(_, e)| *e /= common);
        let found = self.connected(&factors, &tau, changes);
        Found {
            lambda: found.lambda / whole(common),
            signs: if common.is_multiple_of(2) { Signs::Positive } else { found.signs },
            ..found
        }
    }

    fn connected(&self, factors: &Factors, tau: &[u32], changes: usize) -> Found {
        if let [(k, 1)] = factors {
            if tau.len() == 1 {
                return Found::certain(whole(tau[0]), 1, Signs::Both);
            }
            if (0..tau.len()).any(|i| tau[i] == 1 && has_linear_term(k, i)) {
                return Found::certain(BigRational::one(), 1, Signs::Both);
            }
        }
        let mut reason = String::new();
        if tau.len() == 2 {
            match self.work.within(2, || plane::resolve(factors, tau, self.work)) {
                Some(Ok(found)) => {
                    let signs = if found.changes_sign { Signs::Both } else { Signs::Positive };
                    return Found::certain(found.lambda, found.multiplicity, signs);
                }
                Some(Err(words)) => reason = words,
                None => reason = "the limit of work was reached".to_owned(),
            }
        }
        let mut best = Found::bound(quick_bound(factors, tau), reason, Signs::Unknown);
        let steps: [&dyn Fn() -> Option<Found>; 6] = [
            &|| self.flow(factors, tau, changes),
            &|| match factors {
                [(k, 1)] => self.sums(k, tau, changes),
                _ => self.coordinates(factors, tau, changes),
            },
            &|| arrangement(factors, tau, self.work),
            &|| match factors {
                [(k, 1)] => self.squares(k, None, tau, changes),
                _ => None,
            },
            &|| self.faces(factors, None, tau, changes),
            &|| match factors {
                [(k, 1)] => self.product(k, tau, changes),
                _ => self.single_factors(factors, tau, changes),
            },
        ];
        for step in steps {
            if best.doubt.is_none() || self.work.is_spent() {
                break;
            }
            if let Some(found) = step() {
                best = best.or(found);
            }
        }
        if best.doubt.as_deref() == Some("") {
            best.doubt = Some("no method decides it".to_owned());
        }
        best
    }

    /// Analyses the restriction to a hyperplane that a flow makes sufficient.
    fn flow(&self, factors: &Factors, tau: &[u32], changes: usize) -> Option<Found> {
        let fewer = along_a_flow(factors, tau, self.work)?;
        self.analyse(Form::new(fewer, false, self.work), tau, changes)
    }

    /// Analyses a sum over disjoint variables.
    fn sums(&self, k: &Polynomial, tau: &[u32], changes: usize) -> Option<Found> {
        let parts = disjoint_sums(k);
        if parts.len() < 2 {
            return None;
        }
        let mut total: Option<Found> = None;
        for part in parts {
            let found = self.analyse(Form::of(&part, self.work), tau, changes)?;
            total = Some(total.map_or(found.clone(), |before| before.sum(found)));
        }
        let mut total = total?;
        if !matches!(total.signs, Signs::Positive | Signs::Negative) && total.doubt.is_none() {
            total.doubt = Some("it is a sum of functions that are not proved to have one sign".to_owned());
        }
        Some(total)
    }

    /// Analyses a product that was not written as one.
    fn product(&self, k: &Polynomial, tau: &[u32], changes: usize) -> Option<Found> {
        let factors = disjoint_product(k, self.work)?;
        self.analyse(Form::new(factors.map(|k| (k, 1)), false, self.work), tau, changes)
    }

    /// Makes a factor `c x_p + h` a coordinate. If no other factor has `x_p`, this splits the product.
    fn coordinates(&self, factors: &Factors, tau: &[u32], changes: usize) -> Option<Found> {
        for (i, (factor, exponent)) in factors.iter().enumerate() {
            let free = |axis: usize| {
                factors.iter().enumerate().all(|(j, (k, _))| j == i || k.terms.keys().all(|e| e[axis] == 0))
            };
            let private =
                (0..tau.len()).find(|&axis| tau[axis] == 1 && has_linear_term(factor, axis) && free(axis));
            if let Some(axis) = private {
                // The factor is a coordinate, and the others do not depend on it.
                let mut split = factors.to_vec();
                split[i] = (Polynomial::variable(&factor.variables, axis), *exponent);
                return self.analyse(Form::new(split, false, self.work), tau, changes);
            }
        }
        // A variable that is a factor itself is not replaced, so that the number of coordinates grows.
        let taken = |axis: usize| factors.iter().any(|(k, _)| k.terms.len() == 1 && has_linear_term(k, axis));
        let change = factors.iter().find_map(|(factor, _)| {
            (0..tau.len()).filter(|&axis| tau[axis] == 1 && !taken(axis)).find_map(|axis| graph(factor, axis))
        })?;
        let moved = factors.iter().map(|(k, e)| Some((changed(k, &change, None, self.work)?, *e)));
        self.analyse(Form::new(moved.collect::<Option<Vec<_>>>()?, false, self.work), tau, changes)
    }

    /// Returns bounds from single factors: the other factors are bounded.
    fn single_factors(&self, factors: &Factors, tau: &[u32], changes: usize) -> Option<Found> {
        let bound = |(k, e): &(Polynomial, u32)| {
            let found = self.analyse(Form::of(k, self.work), tau, changes)?;
            let reason = "its factors share variables, and their zeros are not proved to cross normally";
            Some(Found::bound(found.lambda / whole(*e), reason, Signs::Unknown))
        };
        factors.iter().filter_map(bound).reduce(Found::or)
    }

    /// Removes a variable with a square, exactly or by power series, and analyses the rest.
    fn squares(&self, k: &Polynomial, below: Option<u32>, tau: &[u32], changes: usize) -> Option<Found> {
        let signs: Vec<bool> = (0..tau.len())
            .map(|i| square(k, i))
            .filter(|c| *c != whole(0))
            .map(|c| c.is_positive())
            .collect();
        if signs.contains(&true) && signs.contains(&false) {
            return Some(Found::bound(quick_bound(&[(k.clone(), 1)], tau), "it changes sign", Signs::Both));
        }
        if signs.contains(&false) {
            let found = self.squares(&k.clone().scaled(&whole(-1)), below, tau, changes)?;
            return Some(Found { signs: found.signs.negated(), ..found });
        }
        let half = Found::certain(BigRational::new(1.into(), 2.into()), 1, Signs::Positive);
        let with_square = |rest: Found| {
            let mut found = half.clone().sum(rest);
            if found.signs != Signs::Positive && found.doubt.is_none() {
                found.doubt =
                    Some("the rest after completing a square is not proved to have one sign".to_owned());
            }
            found
        };
        if below.is_none()
            && let Some(rest) = completed_square(k, tau, self.work)
        {
            if rest.terms.is_empty() {
                return Some(half);
            }
            return Some(with_square(self.analyse(Form::of(&rest, self.work), tau, changes)?));
        }
        let z = (0..tau.len()).find(|&z| tau[z] == 1 && square(k, z).is_positive())?;
        let mut best: Option<Found> = None;
        for order in ORDERS {
            let Some(Some(rest)) = self.work.within(2, || split(k, z, below, order, self.work)) else {
                break;
            };
            let found = match (rest.rest.terms.is_empty(), rest.below) {
                (true, None) => return Some(half),
                (false, None) => with_square(self.analyse(Form::of(&rest.rest, self.work), tau, changes)?),
                (_, Some(below)) => {
                    let (rest, tau) = without_axis(&rest.rest, z, tau);
                    with_square(self.series(&rest, below, &tau, changes))
                }
            };
            let last = rest.below.is_none() || rest.below == below;
            let found = best.map_or(found.clone(), |before| before.or(found));
            if last || found.doubt.is_none() || found.signs == Signs::Both {
                return Some(found);
            }
            best = Some(found);
        }
        best
    }

    /// Analyses a power series of which the terms below a total degree are known.
    fn series(&self, k: &Polynomial, below: u32, tau: &[u32], changes: usize) -> Found {
        // Every term has at least the degree `below` if none is known.
        let total: u64 = tau.iter().map(|&t| u64::from(t)).sum();
        let unknown = "its terms of high degree decide, and they are not known";
        let Some((first, c)) = k.terms.first_key_value() else {
            return Found::bound(whole(total) / whole(below), unknown, Signs::Unknown);
        };
        if c.is_negative() {
            let found = self.series(&k.clone().scaled(&whole(-1)), below, tau, changes);
            return Found { signs: found.signs.negated(), ..found };
        }
        if tau.len() == 1 {
            let signs = if first[0] % 2 == 0 { Signs::Positive } else { Signs::Both };
            return Found::certain(whole(tau[0]) / whole(first[0]), 1, signs);
        }
        let mut best = Found::bound(quick_bound(&[(k.clone(), 1)], tau), unknown, Signs::Unknown);
        if tau.len() == 2
            && let Some(Ok(found)) = self.work.within(2, || plane::resolve_series(k, below, tau, self.work))
        {
            let signs = if found.changes_sign { Signs::Both } else { Signs::Positive };
            return Found::certain(found.lambda, found.multiplicity, signs);
        }
        if let Some(found) = self.squares(k, Some(below), tau, changes) {
            best = best.or(found);
        }
        if best.doubt.is_some()
            && let Some(found) = self.faces(&[(k.clone(), 1)], Some(below), tau, changes)
        {
            best = best.or(found);
        }
        best
    }

    /// Analyses the faces of the Newton polyhedron, here and in coordinates that are read from its face polynomials.
    fn faces(&self, factors: &Factors, below: Option<u32>, tau: &[u32], done: usize) -> Option<Found> {
        let here = by_faces(factors, tau, below, self.work);
        let mut best = here.found;
        if best.doubt.is_none() || done >= CHANGES {
            return Some(best);
        }
        for face in here.open.iter().take(3) {
            for change in changes(face, tau, self.work).into_iter().take(2) {
                let there = self.work.within(3, || {
                    let moved =
                        factors.iter().map(|(k, e)| Some((changed(k, &change, below, self.work)?, *e)));
                    let moved = moved.collect::<Option<Vec<_>>>()?;
                    match (below, &moved[..]) {
                        (Some(below), [(k, _)]) => Some(self.series(k, below, tau, done + 1)),
                        _ => self.analyse(Form::new(moved, false, self.work), tau, done + 1),
                    }
                });
                if let Some(Some(found)) = there {
                    best = best.or(found);
                }
                if best.doubt.is_none() {
                    return Some(best);
                }
            }
        }
        Some(best)
    }
}

/// Returns true if a polynomial has the term `c x_i`.
fn has_linear_term(k: &Polynomial, axis: usize) -> bool {
    let unit: Vec<u32> = (0..k.variables.len()).map(|i| u32::from(i == axis)).collect();
    k.terms.contains_key(&unit)
}

/// Removes a variable that does not occur.
fn without_axis(k: &Polynomial, axis: usize, tau: &[u32]) -> (Polynomial, Vec<u32>) {
    let keep: Vec<usize> = (0..tau.len()).filter(|&i| i != axis).collect();
    let terms: Terms =
        k.terms.iter().map(|(e, c)| (keep.iter().map(|&i| e[i]).collect(), c.clone())).collect();
    let variables = keep.iter().map(|&i| k.variables[i].clone()).collect();
    (Polynomial::of(variables, terms), keep.iter().map(|&i| tau[i]).collect())
}
