//! Points near the origin at which a polynomial is negative, in the variables of the user.

use super::newton::Newton;
use super::signs;
use crate::arithmetic::field::{Field, Number};
use crate::arithmetic::work::Work;
use crate::polynomial::{Polynomial, Product};
use crate::rational::{simplest_between, whole};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};
use std::rc::Rc;

/// The relation of the local coordinates to the variables of the user.
pub(super) struct Place<'a> {
    pub(super) names: &'a [String],
    pub(super) point: &'a [BigRational],
    /// True if the local coordinate is squared.
    pub(super) squared: &'a [bool],
}

/// Returns "x = 1, y = 1/2".
pub(super) fn coordinates(names: &[String], point: &[BigRational]) -> String {
    let named: Vec<String> = names.iter().zip(point).map(|(name, x)| format!("{name} = {x}")).collect();
    named.join(", ")
}

/// Returns a point at which a product is negative, in words. The point is small, and its value is exact.
pub(super) fn negative_point(k: &Product, place: &Place<'_>, work: &Rc<Work>) -> Option<String> {
    // Only the factors with odd exponents have a sign.
    let odd = k.factors.iter().filter(|(_, e)| e % 2 == 1).map(|(factor, _)| (factor.clone(), 1)).collect();
    let sign = Product { factors: odd, ..k.clone() }.expand().ok()?;
    let is_negative =
        |point: &[BigRational]| sign.value_at(point).is_negative() && k.value_at(point).is_negative();
    let point = work
        .within(3, || on_faces(&sign, &is_negative, work))
        .flatten()
        .or_else(|| {
            work.within(2, || on_grid(k.variables.len(), &is_negative, sign.terms.len(), work)).flatten()
        })
        .or_else(|| on_lines(&sign, &is_negative, work))?;
    let there: Vec<BigRational> = (0..point.len())
        .map(|i| &place.point[i] + if place.squared[i] { &point[i] * &point[i] } else { point[i].clone() })
        .collect();
    let value = k.value_at(&point).to_string();
    let shown = if value.len() <= 60 { format!("K = {value}") } else { "K < 0".to_owned() };
    Some(format!("{shown} at {}", coordinates(place.names, &there)))
}

/// Seeks a point on a curve `x_i = c_i t^{w_i}` that belongs to a face of the Newton polyhedron.
fn on_faces(
    k: &Polynomial,
    is_negative: &dyn Fn(&[BigRational]) -> bool,
    work: &Rc<Work>,
) -> Option<Vec<BigRational>> {
    let newton = Newton::of(k, work)?;
    let facets = newton.facets(work)?;
    for face in newton.compact_faces(&facets, work)? {
        let terms: Vec<_> = face
            .members
            .iter()
            .map(|&m| (&newton.exponents[m], k.terms[&newton.exponents[m]].clone()))
            .collect();
        if let Some(direction) = signs::negative(&terms, face.dimension, work)
            && let Some(point) = near_origin(&direction, &face.weight, is_negative)
        {
            return Some(point);
        }
        if work.is_spent() {
            return None;
        }
    }
    None
}

/// Returns the first point on the curve from which on K stays negative for three halvings of t.
fn near_origin(
    direction: &[BigRational],
    weight: &[BigInt],
    is_negative: &dyn Fn(&[BigRational]) -> bool,
) -> Option<Vec<BigRational>> {
    let largest = weight.iter().max()?.to_i32().filter(|&w| w <= 400)?;
    let weight: Vec<i32> = weight.iter().map(|w| w.to_i32().unwrap_or(largest)).collect();
    let at = |halvings: u32| -> Vec<BigRational> {
        let t = BigRational::new(1.into(), BigInt::from(1) << halvings);
        direction.iter().zip(&weight).map(|(c, &w)| c * t.pow(w)).collect()
    };
    (0..60).find(|&h| (h..h + 3).all(|h| is_negative(&at(h)))).map(at)
}

/// Tries points whose coordinates are 0, ±s, ±s/2 for falling s.
fn on_grid(
    n: usize,
    is_negative: &dyn Fn(&[BigRational]) -> bool,
    terms: usize,
    work: &Work,
) -> Option<Vec<BigRational>> {
    let steps = [(0, 1), (1, 1), (-1, 1), (1, 2), (-1, 2)];
    for halvings in 1..6u32 {
        let mut index = vec![0usize; n];
        for _ in 0..2000 {
            let Some(place) = index.iter().position(|&k| k + 1 < steps.len()) else { break };
            index[place] += 1;
            index[..place].fill(0);
            if !work.spend(4 * terms as u64) {
                return None;
            }
            let coordinate =
                |&k: &usize| BigRational::new(steps[k].0.into(), BigInt::from(steps[k].1) << halvings);
            let point: Vec<BigRational> = index.iter().map(coordinate).collect();
            if is_negative(&point) {
                return Some(point);
            }
        }
    }
    None
}

/// Seeks a point between the roots of K along one coordinate, with the others at small values.
fn on_lines(
    k: &Polynomial,
    is_negative: &dyn Fn(&[BigRational]) -> bool,
    work: &Rc<Work>,
) -> Option<Vec<BigRational>> {
    let n = k.variables.len();
    for halvings in 1..8u32 {
        for signs in 0..1u32 << n.saturating_sub(1).min(5) {
            for axis in 0..n {
                let fixed: Vec<BigRational> = (0..n)
                    .map(|i| {
                        let size = BigRational::new(1.into(), BigInt::from(1) << halvings);
                        if signs >> (i.min(n.saturating_sub(2))) & 1 == 1 { -size } else { size }
                    })
                    .collect();
                if let Some(point) = on_line(k, axis, &fixed, is_negative, work) {
                    return Some(point);
                }
                if work.is_spent() {
                    return None;
                }
            }
        }
    }
    None
}

fn on_line(
    k: &Polynomial,
    axis: usize,
    fixed: &[BigRational],
    is_negative: &dyn Fn(&[BigRational]) -> bool,
    work: &Rc<Work>,
) -> Option<Vec<BigRational>> {
    let degree = k.terms.keys().map(|e| e[axis]).max()? as usize;
    let mut coefficients = vec![BigRational::zero(); degree + 1];
    for (e, c) in &k.terms {
        work.spend(e.len() as u64);
        let others = (0..e.len()).filter(|&i| i != axis).map(|i| fixed[i].pow(e[i] as i32));
        coefficients[e[axis] as usize] += others.fold(c.clone(), |product, x| product * x);
    }
    let field = Field::rationals(work);
    let p = field.trim(coefficients.into_iter().map(Number::from).collect());
    let mut ends: Vec<(BigRational, BigRational)> = Vec::new();
    for (part, _) in field.square_free(&p) {
        ends.extend(field.real_roots(&part).iter().map(|(field, root)| field.interval(root)));
    }
    if field.is_spent() {
        return None;
    }
    ends.push((whole(-1), whole(-1)));
    ends.push((whole(1), whole(1)));
    ends.sort();
    ends.windows(2).find_map(|pair| {
        if pair[0].1 >= pair[1].0 {
            return None;
        }
        let mut point = fixed.to_vec();
        point[axis] = simplest_between(&pair[0].1, &pair[1].0);
        let near = point[axis].abs() < whole(1);
        (near && is_negative(&point)).then_some(point)
    })
}
