//! The square-free parts of a polynomial in two variables over ℚ.

use super::work::Work;
use crate::polynomial::Polynomial;
use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{One, Signed, ToPrimitive, Zero};
use std::collections::BTreeMap;

/// Exponents and whole coefficients. No coefficient is zero.
pub(crate) type Terms = BTreeMap<(u32, u32), BigInt>;

/// The number of points that the heuristic greatest common divisor may try.
const TRIES: usize = 8;
/// The largest number of bits of a value at such a point.
const BITS: u64 = 1_000_000;

/// Returns square-free polynomials without common factors, and their exponents. Their product is K up to a constant.
/// Returns `None` if the numbers become too large.
pub(crate) fn square_free(k: &Polynomial, work: &Work) -> Option<Vec<(Terms, u32)>> {
    let denominator = k.terms.values().fold(BigInt::one(), |l, c| l.lcm(c.denom()));
    let whole = |c: &num_rational::BigRational| (c * &denominator).to_integer();
    let f = primitive(k.terms.iter().map(|(e, c)| ((e[0], e[1]), whole(c))).collect());
    if is_plainly_square_free(&f) {
        return Some(vec![(f, 1)]);
    }
    // With f = Π f_i^i, the common factor with its derivatives is Π f_i^{i−1}, and so on.
    let (mut rest, mut parts) = (f, Vec::new());
    let mut product: Option<Terms> = None;
    for exponent in 0.. {
        let repeated = gcd(&rest, &gcd(&derivative(&rest, true), &derivative(&rest, false), work)?, work)?;
        let of_all = divide(&rest, &repeated)?;
        if let Some(before) = product.replace(of_all.clone()) {
            let part = divide(&before, &of_all)?;
            if !is_constant(&part) {
                parts.push((part, exponent));
            }
        }
        if is_constant(&of_all) {
            break;
        }
        rest = repeated;
    }
    Some(parts)
}

/// Divides polynomials without multiple factors into polynomials without common factors. Exponents of common factors add.
/// Returns `None` if the numbers become too large.
pub(crate) fn without_common_factors(mut parts: Vec<(Terms, u32)>, work: &Work) -> Option<Vec<(Terms, u32)>> {
    let (mut i, mut j) = (0, 1);
    while i < parts.len() {
        if j >= parts.len() {
            (i, j) = (i + 1, i + 2);
            continue;
        }
        let common = gcd(&parts[i].0, &parts[j].0, work)?;
        if is_constant(&common) {
            j += 1;
            continue;
        }
        let exponent = parts[i].1 + parts[j].1;
        for k in [i, j] {
            parts[k].0 = divide(&parts[k].0, &common)?;
        }
        parts.push((common, exponent));
        parts.retain(|(part, _)| !is_constant(part));
        (i, j) = (0, 1);
    }
    Some(parts)
}

fn is_constant(f: &Terms) -> bool {
    f.keys().all(|e| *e == (0, 0))
}

/// Divides by the common factor of the coefficients, and by −1 if the last one is negative.
fn primitive(mut f: Terms) -> Terms {
    f.retain(|_, c| !c.is_zero());
    let content = f.values().fold(BigInt::zero(), |g, c| g.gcd(c));
    let negative = f.values().next_back().is_some_and(Signed::is_negative);
    let content = if negative { -content } else { content };
    f.values_mut().for_each(|c| *c /= &content);
    f
}

fn derivative(f: &Terms, first: bool) -> Terms {
    let term = |(&(i, j), c): (&(u32, u32), &BigInt)| match (first, i, j) {
        (true, 0, _) | (false, _, 0) => None,
        (true, _, _) => Some(((i - 1, j), c * i)),
        (false, _, _) => Some(((i, j - 1), c * j)),
    };
    f.iter().filter_map(term).collect()
}

/// Returns the exact quotient, if there is one.
fn divide(f: &Terms, by: &Terms) -> Option<Terms> {
    let (mut rest, mut quotient) = (f.clone(), Terms::new());
    let (lead, scale) = by.last_key_value()?;
    while let Some((&(i, j), c)) = rest.last_key_value() {
        let (power, (factor, remainder)) =
            ((i.checked_sub(lead.0)?, j.checked_sub(lead.1)?), c.div_rem(scale));
        if !remainder.is_zero() {
            return None;
        }
        for ((i, j), c) in by {
            let place = (power.0 + i, power.1 + j);
            let value = rest.remove(&place).unwrap_or_default() - &factor * c;
            if !value.is_zero() {
                rest.insert(place, value);
            }
        }
        quotient.insert(power, factor);
    }
    Some(quotient)
}

/// Returns the primitive greatest common divisor. It is read from the digits of the greatest common divisor of two
/// values and checked by division.
fn gcd(f: &Terms, g: &Terms, work: &Work) -> Option<Terms> {
    if f.is_empty() || g.is_empty() {
        return Some(primitive(if f.is_empty() { g.clone() } else { f.clone() }));
    }
    let (f, g) = (primitive(f.clone()), primitive(g.clone()));
    let norm = |f: &Terms| f.values().map(|c| c.magnitude().bits()).max().unwrap_or(0);
    let width = |f: &Terms, axis: fn(&(u32, u32)) -> u32| f.keys().map(axis).max().unwrap_or(0);
    let columns = width(&f, |e| e.0).min(width(&g, |e| e.0)) + 1;
    let rows = width(&f, |e| e.1).max(width(&g, |e| e.1)) + 1;
    let depth = width(&f, |e| e.0).max(width(&g, |e| e.0)) + 1;
    let mut bits = norm(&f).min(norm(&g)) + 20;
    for attempt in 0..TRIES {
        // The points are no powers of two, because values with many factors would have common factors by accident.
        let x: BigInt = (BigInt::one() << bits) + 2 * attempt + 29;
        let y: BigInt = x.pow(depth + 2) + 2 * attempt + 71;
        // The binary algorithm for whole numbers takes time that grows as the square of the bits.
        let size = y.bits() * u64::from(rows);
        if size > BITS || !work.spend(size * (size / 64 + 1) / 200) {
            return None;
        }
        let value = |f: &Terms| -> BigInt {
            let mut out = BigInt::zero();
            for row in (0..=width(f, |e| e.1)).rev() {
                let mut inner = BigInt::zero();
                for column in (0..=width(f, |e| e.0)).rev() {
                    inner = inner * &x + f.get(&(column, row)).cloned().unwrap_or_default();
                }
                out = out * &y + inner;
            }
            out
        };
        let mut left = value(&f).gcd(&value(&g));
        let mut candidate = Terms::new();
        for row in 0..rows {
            let mut inner = digit(&mut left, &y);
            for column in 0..=columns {
                let c = digit(&mut inner, &x);
                candidate.insert((column, row), c);
            }
            if !inner.is_zero() {
                candidate.clear();
                break;
            }
        }
        let candidate = primitive(candidate);
        if !candidate.is_empty() && divide(&f, &candidate).is_some() && divide(&g, &candidate).is_some() {
            return Some(candidate);
        }
        bits += bits / 2 + 11;
    }
    None
}

/// Removes the last digit of a number and returns it. Digits have the least absolute value.
fn digit(x: &mut BigInt, base: &BigInt) -> BigInt {
    let mut digit = x.mod_floor(base);
    if &digit + &digit > *base {
        digit -= base;
    }
    *x = (&*x - &digit) / base;
    digit
}

/// Returns true if one point modulo a prime shows, in each variable, that a polynomial is square-free.
fn is_plainly_square_free(f: &Terms) -> bool {
    const P: u64 = (1 << 31) - 1;
    [false, true].into_iter().all(|swap| {
        let degree = f.keys().map(|e| if swap { e.1 } else { e.0 }).max().unwrap_or(0) as usize;
        let mut p = vec![0u64; degree + 1];
        for (&(i, j), c) in f {
            let (power, other) = if swap { (j, i) } else { (i, j) };
            let c = c.mod_floor(&BigInt::from(P)).to_u64().expect("below the prime");
            p[power as usize] = (p[power as usize] + c * modular_power(1_234_577, u64::from(other), P)) % P;
        }
        let slope: Vec<u64> = p.iter().enumerate().skip(1).map(|(k, c)| k as u64 * c % P).collect();
        p[degree] != 0 && modular_gcd_degree(p, slope, P) == 0
    })
}

fn modular_power(base: u64, exponent: u64, p: u64) -> u64 {
    let (mut out, mut square, mut left) = (1, base % p, exponent);
    while left > 0 {
        if left % 2 == 1 {
            out = out * square % p;
        }
        square = square * square % p;
        left /= 2;
    }
    out
}

fn modular_gcd_degree(mut a: Vec<u64>, mut b: Vec<u64>, p: u64) -> usize {
    let trim = |x: &mut Vec<u64>| {
        while x.last() == Some(&0) {
            x.pop();
        }
    };
    trim(&mut a);
    trim(&mut b);
    while !b.is_empty() {
        let inverse = modular_power(b[b.len() - 1], p - 2, p);
        while a.len() >= b.len() {
            let (factor, shift) = (a[a.len() - 1] * inverse % p, a.len() - b.len());
            for (k, c) in b.iter().enumerate() {
                a[shift + k] = (a[shift + k] + (p - factor) * c) % p;
            }
            trim(&mut a);
        }
        std::mem::swap(&mut a, &mut b);
    }
    a.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rational::whole;

    #[test]
    fn the_product_of_the_parts_is_the_polynomial() {
        for (text, expected) in [
            ("x^2*(x - 2*y)^3*(x + y^2)^3*(y - 1)", vec![1, 2, 3]),
            ("(x^5 + 7*x*y^3 - 1/3*y^4)^4", vec![4]),
            ("(x^2 - 2*y^2)^2 + y^6", vec![1]),
            ("(1 + x)^2*(y - x - x^2 - x^3)^2", vec![2]),
            ("x^6*y^5*(x^7 - y^9 + x*y)^2*(x + 3*y^4)^5", vec![2, 5, 5, 6]),
        ] {
            let k: Polynomial = text.parse().unwrap();
            let parts = square_free(&k, &Work::default()).unwrap();
            let mut exponents: Vec<u32> = parts.iter().map(|part| part.1).collect();
            exponents.dedup();
            let mut expected = expected;
            expected.dedup();
            assert_eq!(exponents, expected, "{text}");
            // The product, divided out of K, leaves a constant.
            let mut rest = primitive(
                k.clone()
                    .scaled(&whole(3u32.pow(4)))
                    .terms
                    .iter()
                    .map(|(e, c)| ((e[0], e[1]), c.to_integer()))
                    .collect(),
            );
            for (part, exponent) in &parts {
                for _ in 0..*exponent {
                    rest = divide(&rest, part).unwrap();
                }
            }
            assert!(is_constant(&rest), "{text}");
        }
    }
}
