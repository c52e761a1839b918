//! Polynomials that are powers of other polynomials.

use crate::arithmetic::work::Work;
use crate::polynomial::{Polynomial, Terms};
use crate::rational::whole;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Zero};
use std::collections::BTreeMap;

/// The largest number of terms of a root.
const TERMS: usize = 400;

/// Writes a polynomial that is not zero as `c g^m` with the largest m that is found. The first coefficient of g is 1.
pub(super) fn root(k: &Polynomial, work: &Work) -> (Polynomial, u32, BigRational) {
    let (lead, c) = k.terms.first_key_value().expect("not zero");
    let n = k.variables.len();
    let degree = |i: usize| k.terms.keys().map(|e| e[i]).max().unwrap_or(0);
    let degrees: Vec<u32> = (0..n).map(degree).collect();
    let common = lead.iter().chain(&degrees).fold(0, |g: u32, e| g.gcd(e));
    if k.terms.len() > 1 {
        for m in (2..=common).rev().filter(|m| common % m == 0) {
            if let Some(terms) = exact_root(k, m, &degrees, work) {
                return (Polynomial::of(k.variables.clone(), terms), m, c.clone());
            }
        }
    }
    let unit = k.clone().scaled(&c.recip());
    // A single term is a power of its variables; the caller divides them out.
    (Polynomial::of(unit.variables, unit.terms), 1, c.clone())
}

/// Returns g with first coefficient 1 and `K = c g^m`, if there is one.
///
/// With the derivation D that multiplies `x^e` by `w·e`, the powers satisfy `m K Dg = g DK`. If no two exponents have equal
/// weight, this determines the terms of g one after the other, and a g that satisfies it is a root.
fn exact_root(k: &Polynomial, m: u32, degrees: &[u32], work: &Work) -> Option<Terms> {
    let (lead, c) = k.terms.first_key_value()?;
    let weight = |e: &[i64]| -> BigInt { e.iter().fold(BigInt::zero(), |sum, &e| sum * 10_007 + e) };
    // The terms of K relative to its first term.
    let relative: Vec<(Vec<i64>, BigInt, BigRational)> = k
        .terms
        .iter()
        .skip(1)
        .map(|(e, coefficient)| {
            let e: Vec<i64> = e.iter().zip(lead).map(|(&a, &b)| i64::from(a) - i64::from(b)).collect();
            (e.clone(), weight(&e), coefficient / c)
        })
        .collect();
    let start: Vec<u32> = lead.iter().map(|e| e / m).collect();
    let mut root = Terms::from([(start.clone(), BigRational::one())]);
    let mut open: BTreeMap<Vec<i64>, BigRational> = BTreeMap::new();
    let extend = |at: &[i64], value: &BigRational, open: &mut BTreeMap<Vec<i64>, BigRational>| {
        for (e, of_k, coefficient) in &relative {
            let n: Vec<i64> = at.iter().zip(e).map(|(a, b)| a + b).collect();
            let factor = of_k * (m + 1) - weight(&n) * m;
            *open.entry(n).or_insert_with(BigRational::zero) += coefficient * value * whole(factor);
        }
        work.spend(4 * relative.len() as u64)
    };
    if !extend(&vec![0; lead.len()], &BigRational::one(), &mut open) {
        return None;
    }
    while let Some((n, sum)) = open.pop_first() {
        if sum.is_zero() {
            continue;
        }
        let value = sum / whole(weight(&n) * m);
        let exponents: Option<Vec<u32>> = start
            .iter()
            .zip(&n)
            .zip(degrees)
            .map(|((&s, &n), &most)| u32::try_from(i64::from(s) + n).ok().filter(|e| *e <= most / m))
            .collect();
        root.insert(exponents?, value.clone());
        if root.len() > TERMS || !extend(&n, &value, &mut open) {
            return None;
        }
    }
    Some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_have_a_root_and_other_polynomials_have_none() {
        for (text, m) in
            [("x*y - z*w", 2), ("x + y^2 - 3*x*y*z", 3), ("2*x - 3*y", 41), ("x^2 - y", 1), ("y^2 + x^3", 6)]
        {
            let f: Polynomial = text.parse().unwrap();
            let k = f.power(m).unwrap().scaled(&whole(-7));
            let (g, found, c) = root(&k, &Work::default());
            assert_eq!(found, m, "{text}");
            assert_eq!(g.power(m).unwrap().scaled(&c), k, "{text}");
        }
        // A square plus a small term, or times a unit, is no square.
        for text in ["(x + y)^2 + y^6", "(x + y)^2*(1 + x)", "(x - y)^2*(x + y)^4 + x^3*y^3"] {
            assert_eq!(root(&text.parse().unwrap(), &Work::default()).1, 1, "{text}");
        }
    }
}
