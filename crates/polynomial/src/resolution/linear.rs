//! Linear forms with rational coefficients that divide a polynomial.

use crate::arithmetic::field::{Field, Number};
use crate::arithmetic::work::Work;
use crate::polynomial::{Polynomial, Terms};
use crate::rational::whole;
use num_rational::BigRational;
use num_traits::{One, Zero};
use std::rc::Rc;

/// The largest degree and the largest number of terms of a polynomial that is searched.
const DEGREE: u32 = 40;
const TERMS: usize = 1000;

/// Divides a polynomial by all linear forms that divide it. Returns the forms, each as often as it divides, and the rest.
///
/// A form divides every homogeneous part, so the forms of the lowest part are tried. A form ℓ with `ℓ(q) = 1` at a point q
/// where the part is not zero has `ℓ(e_j) = −1/t` for a root t of `f(q + t e_j)`, or `ℓ(e_j) = 0`.
pub(super) fn linear_factors(k: &Polynomial, work: &Rc<Work>) -> (Vec<Polynomial>, Polynomial) {
    let total = |e: &Vec<u32>| e.iter().sum::<u32>();
    let order = k.terms.keys().map(total).min().unwrap_or(0);
    let highest = k.terms.keys().map(total).max().unwrap_or(0);
    let may_split = (2..=DEGREE).contains(&order) || (order == 1 && highest > 1);
    if !may_split || !(2..=TERMS).contains(&k.terms.len()) {
        return (Vec::new(), k.clone());
    }
    let lowest = k.terms.iter().filter(|(e, _)| total(e) == order);
    let part = Polynomial::of(k.variables.clone(), lowest.map(|(e, c)| (e.clone(), c.clone())).collect());
    let (mut forms, mut rest) = (Vec::new(), k.clone());
    for form in candidates(&part, work).unwrap_or_default() {
        while rest.degree() > 1
            && work.spend(4 * rest.terms.len() as u64)
            && let Some(quotient) = rest.divided_by(&form)
        {
            forms.push(form.clone());
            rest = quotient;
        }
    }
    (forms, rest)
}

/// Returns the linear forms that may divide a homogeneous polynomial.
fn candidates(f: &Polynomial, work: &Rc<Work>) -> Option<Vec<Polynomial>> {
    let n = f.variables.len();
    // A point with large, different coordinates. It lies on no hyperplane with small coefficients.
    let base = [
        1009i64, 2003, 3001, 4001, 5003, 6007, 7001, 8009, 9001, 10_007, 11_003, 12_007, 13_001, 14_009,
        15_013, 16_001,
    ];
    let q: Vec<BigRational> = (0..n).map(|i| whole(base[i])).collect();
    if f.value_at(&q).is_zero() {
        return None;
    }
    // The values of the form on the first coordinate directions.
    let mut partial: Vec<Vec<BigRational>> = vec![Vec::new()];
    for axis in 0..n {
        let values = slopes(f, &q, axis, work)?;
        let mut next = Vec::new();
        for known in &partial {
            for value in &values {
                let mut longer = known.clone();
                longer.push(value.clone());
                if vanishes(f, &q, &longer) {
                    next.push(longer);
                }
                if !work.spend(8 * f.terms.len() as u64) || next.len() > DEGREE as usize * 4 {
                    return None;
                }
            }
        }
        partial = next;
    }
    let form = |a: Vec<BigRational>| {
        let unit = |i: usize| (0..n).map(|j| u32::from(i == j)).collect::<Vec<u32>>();
        let terms: Terms =
            a.into_iter().enumerate().filter(|(_, c)| !c.is_zero()).map(|(i, c)| (unit(i), c)).collect();
        Polynomial::of(f.variables.clone(), terms)
    };
    Some(partial.into_iter().map(form).filter(|form| !form.terms.is_empty()).collect())
}

/// Returns the possible values on one coordinate direction of a form that is 1 at q.
fn slopes(f: &Polynomial, q: &[BigRational], axis: usize, work: &Rc<Work>) -> Option<Vec<BigRational>> {
    let mut moved = q.to_vec();
    moved[axis] = BigRational::zero();
    let degree = f.terms.keys().map(|e| e[axis]).max().unwrap_or(0);
    let mut coefficients = vec![BigRational::zero(); degree as usize + 1];
    for (e, c) in &f.terms {
        let others = (0..e.len()).filter(|&i| i != axis).map(|i| q[i].pow(e[i] as i32));
        coefficients[e[axis] as usize] += others.fold(c.clone(), |product, x| product * x);
    }
    // The roots in x = q + t.
    let field = Field::rationals(work);
    let p = field.trim(coefficients.into_iter().map(Number::from).collect());
    let mut values = vec![BigRational::zero()];
    for (part, _) in field.square_free(&p) {
        for (_, root) in field.real_roots(&part) {
            if let Number::Rational(x) = root {
                values.push(-(x - &q[axis]).recip());
            }
        }
    }
    (!field.is_spent()).then_some(values)
}

/// Returns true if f is zero at a few points of the hyperplane, as far as the form is known.
fn vanishes(f: &Polynomial, q: &[BigRational], form: &[BigRational]) -> bool {
    (0..2u32).all(|trial| {
        // The direction v = Σ r_i e_i with form(v) = −1 leads from q to the hyperplane.
        let r: Vec<BigRational> = (0..form.len())
            .map(|i| whole((i as i64 * 7 + 3) * (i64::from(trial) * 5 + 1) + i64::from(trial)))
            .collect();
        let along: BigRational = r.iter().zip(form).map(|(r, a)| r * a).sum();
        if along.is_zero() {
            return true;
        }
        let t = -BigRational::one() / along;
        let mut point = q.to_vec();
        point.iter_mut().zip(&r).for_each(|(x, r)| *x += &t * r);
        f.value_at(&point).is_zero()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_linear_forms_are_divided_out() {
        for (text, count, rest) in [
            ("(x-y)*(y-z)*(x-z)*(x+2*y-3*z)", 4, 0),
            ("(x^2-y^2)*(x^2+y^2+z^2)", 2, 2),
            ("(2*x-3*y)^2*(x+y+z)", 3, 0),
            ("(x-y)*(x*y-z^2+z^3)", 1, 3),
            ("(x+y)*(1+x)", 1, 1),
            ("x^2+y^2+z^2", 0, 2),
            ("x^2-2*y^2", 0, 2),
            ("x*y*z*(x+y+z)", 4, 0),
        ] {
            // The product is multiplied out.
            let k: Polynomial = text.parse::<Polynomial>().unwrap().to_string().parse().unwrap();
            let (forms, left) = linear_factors(&k, &Rc::default());
            // The last linear factor may stay as the rest.
            let left_forms = usize::from(left.degree() == 1 && rest == 0);
            assert_eq!(forms.len() + left_forms, count, "{text}: {left}");
            assert_eq!(left.degree() - left_forms, rest, "{text}: {left}");
            let product = forms.iter().fold(left, |product, form| product.times(form).unwrap());
            assert_eq!(product, k, "{text}");
        }
    }
}
