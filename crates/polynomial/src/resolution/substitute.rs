//! Replaces variables by polynomials, exactly or below a total degree.

use crate::arithmetic::work::Work;
use crate::polynomial::{Polynomial, Terms};
use num_traits::Zero;

/// The largest number of terms of a result.
const TERMS: usize = 20_000;
/// The largest degree of an exact result.
const DEGREE: u32 = 1200;

/// Returns the product of two polynomials in the same variables, without its terms of total degree `below` or more.
pub(super) fn times(a: &Polynomial, b: &Polynomial, below: Option<u32>, work: &Work) -> Option<Polynomial> {
    let degree = |e: &Vec<u32>| e.iter().sum::<u32>();
    let most = below.unwrap_or(DEGREE);
    let mut out = Terms::new();
    for (x, c) in &a.terms {
        let of_x = degree(x);
        let mut products = 0;
        for (y, d) in &b.terms {
            if of_x + degree(y) >= most {
                below?;
                continue;
            }
            products += 1;
            let e: Vec<u32> = x.iter().zip(y).map(|(x, y)| x + y).collect();
            *out.entry(e).or_default() += c * d;
        }
        if out.len() > TERMS || !work.spend(2 * products + b.terms.len() as u64 / 16) {
            return None;
        }
    }
    out.retain(|_, c| !c.is_zero());
    Some(Polynomial::of(a.variables.clone(), out))
}

/// Returns the polynomial with one variable replaced by `image`, a polynomial in the same variables, without its terms of
/// total degree `below` or more. Returns `None` if the result is too large.
pub(super) fn replace(
    k: &Polynomial,
    axis: usize,
    image: &Polynomial,
    below: Option<u32>,
    work: &Work,
) -> Option<Polynomial> {
    let highest = k.terms.keys().map(|e| e[axis]).max().unwrap_or(0);
    let mut coefficients = vec![Terms::new(); highest as usize + 1];
    for (e, c) in &k.terms {
        let mut lower = e.clone();
        lower[axis] = 0;
        coefficients[e[axis] as usize].insert(lower, c.clone());
    }
    // Horner's scheme. The image vanishes at the origin in all uses, so truncation loses nothing below the limit.
    let mut out = Polynomial::of(k.variables.clone(), Terms::new());
    for terms in coefficients.into_iter().rev() {
        if !out.terms.is_empty() {
            out = times(&out, image, below, work)?;
        }
        for (e, c) in terms {
            if below.is_some_and(|below| e.iter().sum::<u32>() >= below) {
                continue;
            }
            let sum = out.terms.remove(&e).unwrap_or_default() + c;
            if !sum.is_zero() {
                out.terms.insert(e, sum);
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_replaced_exactly_and_below_a_degree() {
        let parse = |text: &str| text.parse::<Polynomial>().unwrap();
        let k = parse("x^3*y + x*y^2 + y");
        let image = parse("0*x + y^2 - x");
        let exact = replace(&k, 0, &image.in_variables(&k.variables), None, &Work::default()).unwrap();
        assert_eq!(exact, parse("(y^2 - x)^3*y + (y^2 - x)*y^2 + y"));
        let below = replace(&k, 0, &image.in_variables(&k.variables), Some(4), &Work::default()).unwrap();
        assert_eq!(below, parse("y - x*y^2"));
    }
}
