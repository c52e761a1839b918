//! Points at which a face polynomial is negative.

use super::certificate::{Terms, along, is_even};
use crate::arithmetic::field::{Field, Number};
use crate::arithmetic::work::Work;
use crate::rational::{simplest_between, whole};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use std::rc::Rc;

/// The coordinates of the points that are tried first, in this order.
const SIMPLE: [(i64, i64); 10] =
    [(1, 1), (-1, 1), (2, 1), (-2, 1), (1, 2), (-1, 2), (3, 1), (-3, 1), (1, 3), (-1, 3)];
/// The largest number of points with simple coordinates.
const POINTS: usize = 4000;

/// Returns a point where no coordinate is zero and the terms of a face have a negative sum.
///
/// On vertices and edges such a point is found if there is one. On larger faces it is sought among simple points and by
/// descent, so it may be missed.
pub(super) fn negative(terms: &Terms<'_>, dimension: usize, work: &Rc<Work>) -> Option<Vec<BigRational>> {
    if terms.iter().all(|(e, c)| c.is_positive() && is_even(e)) {
        return None;
    }
    let used: Vec<usize> = (0..terms[0].0.len()).filter(|&i| terms.iter().any(|(e, _)| e[i] > 0)).collect();
    let (found, best) = simple_point(terms, &used, work);
    if found.is_some() || dimension == 0 {
        return found;
    }
    if dimension == 1 { edge(terms, work) } else { descend(terms, &used, best, work) }
}

/// Returns the exact sum of terms.
fn value(terms: &Terms<'_>, point: &[BigRational]) -> BigRational {
    let term = |(e, c): &(&Vec<u32>, BigRational)| {
        e.iter().zip(point).fold(c.clone(), |product, (&e, x)| product * x.pow(e as i32))
    };
    terms.iter().map(term).sum()
}

/// The terms in floating point, which only propose points.
struct Rounded {
    terms: Vec<(Vec<i32>, f64)>,
}

impl Rounded {
    fn new(terms: &Terms<'_>, used: &[usize]) -> Self {
        let term = |(e, c): &(&Vec<u32>, BigRational)| {
            (used.iter().map(|&i| e[i] as i32).collect(), c.to_f64().unwrap_or(f64::NAN))
        };
        Self { terms: terms.iter().map(term).collect() }
    }

    /// Returns the sum of the terms divided by the sum of their absolute values.
    fn share(&self, point: &[f64]) -> f64 {
        let (mut sum, mut size) = (0.0, 0.0);
        for (e, c) in &self.terms {
            let term = c * e.iter().zip(point).map(|(&e, x)| x.powi(e)).product::<f64>();
            (sum, size) = (sum + term, size + term.abs());
        }
        sum / size
    }
}

/// Tries points with simple coordinates. Returns a negative one, or the one with the least share.
fn simple_point(terms: &Terms<'_>, used: &[usize], work: &Work) -> (Option<Vec<BigRational>>, Vec<f64>) {
    let rounded = Rounded::new(terms, used);
    let mut best = (f64::INFINITY, vec![1.0; used.len()]);
    let mut tried = 0;
    // More and more simple coordinates are combined, so that the first point found is among the smallest.
    for (from, width) in [(0, 2), (2, 6), (6, 10)] {
        let mut index = vec![0usize; used.len()];
        loop {
            if from == 0 || index.iter().any(|&k| k >= from) {
                tried += 1;
                if tried > POINTS || !work.spend(terms.len() as u64 / 8 + 1) {
                    return (None, best.1);
                }
                let point: Vec<f64> =
                    index.iter().map(|&k| SIMPLE[k].0 as f64 / SIMPLE[k].1 as f64).collect();
                let share = rounded.share(&point);
                if share < best.0 {
                    best = (share, point);
                }
                if share < 1e-12 {
                    let mut exact = vec![BigRational::one(); terms[0].0.len()];
                    for (&axis, &k) in used.iter().zip(&index) {
                        exact[axis] = BigRational::new(SIMPLE[k].0.into(), SIMPLE[k].1.into());
                    }
                    if value(terms, &exact).is_negative() {
                        return (Some(exact), best.1);
                    }
                }
            }
            // The next combination, with the first coordinate running fastest.
            let Some(place) = index.iter().position(|&k| k + 1 < width) else { break };
            index[place] += 1;
            index[..place].fill(0);
        }
    }
    (None, best.1)
}

/// Moves single coordinates by factors while the share falls, and rounds the result to simple fractions.
fn descend(terms: &Terms<'_>, used: &[usize], mut point: Vec<f64>, work: &Work) -> Option<Vec<BigRational>> {
    let rounded = Rounded::new(terms, used);
    let mut best = rounded.share(&point);
    for factor in [2.0, 1.5, 1.2, 1.05, 1.01, 1.002] {
        for _ in 0..40 {
            let before = best;
            for axis in 0..point.len() {
                for step in [factor, 1.0 / factor, -1.0] {
                    if !work.spend(terms.len() as u64 / 8 + 1) {
                        return None;
                    }
                    let old = point[axis];
                    point[axis] *= step;
                    let share = rounded.share(&point);
                    if share < best {
                        best = share;
                    } else {
                        point[axis] = old;
                    }
                }
            }
            if best >= before {
                break;
            }
        }
    }
    if best >= 0.0 || best.is_nan() {
        return None;
    }
    [0.2, 0.05, 0.01, 1e-3, 1e-4, 1e-6].iter().find_map(|width| {
        let mut exact = vec![BigRational::one(); terms[0].0.len()];
        for (&axis, x) in used.iter().zip(&point) {
            let [low, high] = [x - x.abs() * width, x + x.abs() * width].map(BigRational::from_float);
            exact[axis] = simplest_between(&low?, &high?);
        }
        value(terms, &exact).is_negative().then_some(exact)
    })
}

/// Finds a negative point on an edge, where the polynomial depends on one monomial u that takes all values except zero.
fn edge(terms: &Terms<'_>, work: &Rc<Work>) -> Option<Vec<BigRational>> {
    let (direction, coefficients) = along(terms);
    let field = Field::rationals(work);
    let p: Vec<Number> = coefficients.iter().cloned().map(Number::from).collect();
    let negative = |field: &Field, u: &BigRational| !u.is_zero() && field.sign(&field.value(&p, u)) < 0;
    for (part, exponent) in field.square_free(&p) {
        if exponent % 2 == 0 {
            continue;
        }
        for (field, root) in field.real_roots(&part) {
            // The sign is negative on one side of a root of odd order.
            for step in 0..200 {
                let (low, high) = field.interval(&root);
                let offset = BigRational::new(1.into(), BigInt::one() << step);
                for u in [&low - &offset, &high + &offset] {
                    if field.is_spent() {
                        return None;
                    }
                    if negative(&field, &u) {
                        let u = simpler(&u, |u| negative(&field, u));
                        return Some(direction.iter().map(|&e| u.pow(e)).collect());
                    }
                }
                field.refine_all();
            }
        }
    }
    None
}

/// Returns a fraction with a smaller denominator near `x` with the same property, or `x`.
fn simpler(x: &BigRational, holds: impl Fn(&BigRational) -> bool) -> BigRational {
    let mut width = x.abs();
    for _ in 0..64 {
        let near = simplest_between(&(x - &width), &(x + &width));
        if holds(&near) {
            return near;
        }
        width /= whole(2);
    }
    x.clone()
}
