//! Points near the origin at which a polynomial is negative.

use super::certificate::{self, Sign};
use super::newton::Newton;
use crate::polynomial::Polynomial;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive};

/// Returns a point at which the polynomial is negative, in words. It is found on a face of the Newton polyhedron and checked.
pub(super) fn negative_point(polynomial: &Polynomial) -> Option<String> {
    let newton = Newton::of(polynomial);
    for face in newton.compact_faces()? {
        let terms = certificate::terms(polynomial, &newton, &face);
        if let Sign::Negative(direction) = certificate::sign(&terms, face.dimension) {
            return near_origin(polynomial, &direction, &face.weight);
        }
    }
    None
}

/// Returns a point on the curve `x_i = c_i t^{w_i}` at which the polynomial is negative, in words.
pub(super) fn near_origin(
    polynomial: &Polynomial,
    direction: &[BigRational],
    weight: &[BigInt],
) -> Option<String> {
    let weight: Vec<i32> = weight.iter().map(|w| w.to_i32().filter(|&w| w <= 200)).collect::<Option<_>>()?;
    (1..60).find_map(|halvings| {
        let t = BigRational::new(BigInt::one(), BigInt::one() << halvings);
        let point: Vec<BigRational> = direction.iter().zip(&weight).map(|(c, &w)| c * t.pow(w)).collect();
        let value = polynomial.at(&point);
        let coordinates = polynomial.variables.iter().zip(&point).map(|(name, x)| format!("{name} = {x}"));
        let near = point.iter().all(|x| x.abs() < BigRational::one());
        (near && value.is_negative())
            .then(|| format!("K = {value} at {}", coordinates.collect::<Vec<_>>().join(", ")))
    })
}
