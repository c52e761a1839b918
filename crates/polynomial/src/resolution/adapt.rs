//! Changes of coordinates that are read from a face polynomial with zeros.

use super::certificate::along;
use super::power;
use super::reduce::dependence;
use super::substitute::replace;
use crate::arithmetic::field::{Field, Number};
use crate::arithmetic::work::Work;
use crate::polynomial::{Polynomial, Terms};
use crate::rational::whole;
use num_rational::BigRational;
use num_traits::{One, Zero};
use std::rc::Rc;

/// A change of coordinates: each variable is replaced by a polynomial with the linear part of a coordinate change.
pub(super) type Change = Vec<(usize, Polynomial)>;

/// Applies a change of coordinates, below a total degree if one is given.
pub(super) fn changed(
    k: &Polynomial,
    change: &Change,
    below: Option<u32>,
    work: &Work,
) -> Option<Polynomial> {
    change.iter().try_fold(k.clone(), |k, (axis, image)| replace(&k, *axis, image, below, work))
}

/// Returns changes of coordinates that make a face polynomial simpler, the most promising one first.
///
/// ```text
/// the polynomial is constant along a direction v     x_j → x_j + (v_j / v_p) x_p for j ≠ p
/// it is a monomial times (c x_p + h)^m, h free of x_p    x_p → x_p − h/c
/// it is an edge with a rational root r of x_p / x^β      x_p → x_p + r x^β
/// ```
///
/// A variable is replaced only if the prior is flat in it.
pub(super) fn changes(face: &Polynomial, tau: &[u32], work: &Rc<Work>) -> Vec<Change> {
    let n = tau.len();
    let low: Vec<u32> = (0..n).map(|i| face.terms.keys().map(|e| e[i]).min().unwrap_or(0)).collect();
    let divided = |(e, c): (&Vec<u32>, &BigRational)| {
        (e.iter().zip(&low).map(|(e, l)| e - l).collect::<Vec<u32>>(), c.clone())
    };
    let rest = Polynomial::of(face.variables.clone(), face.terms.iter().map(divided).collect());
    if rest.terms.len() < 2 {
        return Vec::new();
    }
    // A variable that divides the face is a good coordinate already, so it is replaced last.
    let mut axes: Vec<usize> = (0..n).filter(|&i| tau[i] == 1).collect();
    axes.sort_by_key(|&i| low[i] > 0);
    let root = power::root(&rest, work).0;
    let mut out: Vec<Change> = axes.iter().filter_map(|&axis| graph(&root, axis)).collect();
    out.extend(direction(&root, tau));
    out.extend(edge(&rest, &axes, work));
    out
}

/// Returns the change that makes `c x_p + h` a coordinate, if h is free of `x_p` and not zero.
pub(super) fn graph(g: &Polynomial, axis: usize) -> Option<Change> {
    let unit: Vec<u32> = (0..g.variables.len()).map(|i| u32::from(i == axis)).collect();
    let c = g.terms.get(&unit)?;
    let free = g.terms.keys().all(|e| e[axis] == 0 || *e == unit);
    if !free || g.terms.len() < 2 {
        return None;
    }
    let mut image: Terms =
        g.terms.iter().filter(|(e, _)| **e != unit).map(|(e, h)| (e.clone(), -h / c)).collect();
    image.insert(unit, BigRational::one());
    Some(vec![(axis, Polynomial::of(g.variables.clone(), image))])
}

/// Returns the change that removes a variable, if the polynomial is constant along a direction.
fn direction(g: &Polynomial, tau: &[u32]) -> Option<Change> {
    let used: Vec<usize> = (0..tau.len()).filter(|&i| g.terms.keys().any(|e| e[i] > 0)).collect();
    let partials: Vec<Vec<Polynomial>> = used.iter().map(|&i| vec![g.partial(i)]).collect();
    let v = dependence(&partials)?;
    let moved = |p: usize| (0..used.len()).filter(move |&j| j != p).collect::<Vec<_>>();
    let p = (0..used.len())
        .find(|&p| !v[p].is_zero() && moved(p).iter().all(|&j| v[j].is_zero() || tau[used[j]] == 1))?;
    let image = |j: usize| {
        let unit = |i: usize| (0..tau.len()).map(|k| u32::from(k == i)).collect::<Vec<u32>>();
        let terms = Terms::from([(unit(used[j]), BigRational::one()), (unit(used[p]), &v[j] / &v[p])]);
        (used[j], Polynomial::of(g.variables.clone(), terms))
    };
    let change: Change = moved(p).into_iter().filter(|&j| !v[j].is_zero()).map(image).collect();
    (!change.is_empty()).then_some(change)
}

/// Returns the change that moves a rational root of an edge to zero: the root of the highest order.
fn edge(face: &Polynomial, axes: &[usize], work: &Rc<Work>) -> Option<Change> {
    let terms: Vec<(&Vec<u32>, BigRational)> = face.terms.iter().map(|(e, c)| (e, c.clone())).collect();
    if super::newton::dimension(face.terms.keys()) != 1 {
        return None;
    }
    let (first, last) = (terms[0].0, terms[terms.len() - 1].0);
    let step: Vec<i64> = last.iter().zip(first).map(|(&a, &b)| i64::from(a) - i64::from(b)).collect();
    let (_, coefficients) = along(&terms);
    let length = coefficients.len() as i64 - 1;
    let step: Vec<i64> = step.iter().map(|d| d / length).collect();
    let axis = *axes
        .iter()
        .find(|&&p| step[p].abs() == 1 && (0..step.len()).all(|j| j == p || step[j] * step[p] <= 0))?;
    let field = Field::rationals(work);
    let p: Vec<Number> = coefficients.into_iter().map(Number::from).collect();
    let mut parts = field.square_free(&p);
    parts.sort_by_key(|(_, order)| std::cmp::Reverse(*order));
    let u = parts.iter().find_map(|(part, _)| {
        field.real_roots(part).into_iter().find_map(|(_, root)| match root {
            Number::Rational(root) if !root.is_zero() => Some(root),
            _ => None,
        })
    })?;
    // On the edge u = x_p^{±1} x^{∓β} is the root, so x_p = u^{±1} x^β.
    let c = if step[axis] > 0 { u } else { u.recip() };
    let beta: Vec<u32> =
        (0..step.len()).map(|j| if j == axis { 0 } else { step[j].unsigned_abs() as u32 }).collect();
    let unit: Vec<u32> = (0..step.len()).map(|j| u32::from(j == axis)).collect();
    let image = Terms::from([(unit, whole(1)), (beta, c)]);
    Some(vec![(axis, Polynomial::of(face.variables.clone(), image))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_read_from_a_face() {
        let parse = |text: &str| text.parse::<Polynomial>().unwrap();
        for (face, expected) in [
            ("(x + y)^4", "x^4"),
            ("x^2*(x + 2*y)^2", "4*x^2*y^2"),
            ("(z - x*y)^4", "z^4"),
            ("(x + y)^4 + (y + z)^4", "y^4 + (y + z)^4"),
            ("(x^2 - y^2)^2", "x^2*(x - 2*y)^2"),
        ] {
            let face = parse(face);
            let change = &changes(&face, &vec![1; face.variables.len()], &Rc::default())[0];
            let found = changed(&face, change, None, &Work::default()).unwrap();
            assert_eq!(found.terms.len(), parse(expected).terms.len(), "{face} became {found}");
        }
    }
}
