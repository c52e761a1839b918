//! The splitting lemma: a variable with a square in the lowest terms is removed, by power series.

use super::substitute::replace;
use crate::arithmetic::work::Work;
use crate::polynomial::{Polynomial, Terms};
use crate::rational::whole;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

/// Returns the coefficient of the square of a variable.
pub(super) fn square(k: &Polynomial, axis: usize) -> BigRational {
    let e: Vec<u32> = (0..k.variables.len()).map(|i| if i == axis { 2 } else { 0 }).collect();
    k.terms.get(&e).cloned().unwrap_or_else(BigRational::zero)
}

/// The least values of a function along one variable.
pub(super) struct Rest {
    /// A polynomial without the variable.
    pub(super) rest: Polynomial,
    /// The total degree from which its terms are not known, or `None` if it is exact.
    pub(super) below: Option<u32>,
}

/// Returns the values of K at its minimum along z, if the coefficient of z² is positive and K has no linear terms.
///
/// ```text
/// ∂K/∂z (z*(y), y) = 0,   rest(y) = K(z*(y), y),   K = (z − z*)² · positive + rest
/// ```
///
/// `z*` is computed below the degree `order`, and then the rest is correct below twice that degree. If `below` is given, K
/// itself is only known below this degree.
pub(super) fn split(k: &Polynomial, z: usize, below: Option<u32>, order: u32, work: &Work) -> Option<Rest> {
    let second = square(k, z) * whole(2);
    if !second.is_positive() {
        return None;
    }
    let slope = k.partial(z);
    let order = below.map_or(order, |below| order.min(below - 1));
    let mut minimum = Polynomial::of(k.variables.clone(), Terms::new());
    // Each step is correct to one degree more.
    for degree in 2..=order {
        let error = replace(&slope, z, &minimum, Some(degree), work)?;
        minimum = minimum.plus(&error.scaled(&-second.recip())).ok()?;
    }
    let exact = below.is_none()
        && work
            .within(4, || replace(&slope, z, &minimum, None, work))
            .flatten()
            .is_some_and(|s| s.terms.is_empty());
    if exact && let Some(rest) = replace(k, z, &minimum, None, work) {
        return Some(Rest { rest, below: None });
    }
    let known = below.map_or(2 * order, |below| below.min(2 * order));
    Some(Rest { rest: replace(k, z, &minimum, Some(known), work)?, below: Some(known) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_the_minimum_along_the_variable() {
        let parse = |text: &str| text.parse::<Polynomial>().unwrap();
        // The minimum along z is at z = x y exactly.
        let k = parse("(z - x*y)^2*(1 + z) + x^4");
        let found = split(&k, 0, None, 4, &Work::default()).unwrap();
        assert_eq!((found.rest, found.below), (parse("x^4"), None));
        // z² − 2 z x² + z³: z* = x² − 3x⁴/2 + …, and the value there is −x⁴ + x⁶ + ….
        let k = parse("z^2 - 2*z*x^2 + z^3");
        let found = split(&k, 0, None, 4, &Work::default()).unwrap();
        assert_eq!((found.rest, found.below), (parse("-x^4 + x^6"), Some(8)));
    }
}
