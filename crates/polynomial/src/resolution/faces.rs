//! λ of a product of powers, if its factors have no singular zeros on the faces of their Newton polyhedron.

use super::certificate::{Terms, Zeros, is_even, negated, zeros};
use super::found::{Found, Signs};
use super::newton::{Face, Newton, dimension, quick_bound, smallest_pole};
use super::signs;
use crate::arithmetic::work::Work;
use crate::polynomial::{Polynomial, Product};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed};
use std::rc::Rc;

/// The largest number of face polynomials that are kept because of their zeros.
const KEPT: usize = 12;

/// The result of the faces, with the face polynomials that have zeros of higher order or were not decided.
pub(super) struct ByFaces {
    pub(super) found: Found,
    pub(super) open: Vec<Polynomial>,
}

/// Computes λ and m of `Π |f_i|^{e_i}` from the compact faces of the Newton polyhedron of `Π f_i`.
///
/// After the toric resolution, smooth zeros of a factor cross the exceptional divisors transversally and add the pole
/// `1/e_i`. Two factors must not vanish on one face. If `below` is given, the factor is a power series of which only the
/// terms below this total degree are known.
pub(super) fn by_faces(
    factors: &[(Polynomial, u32)],
    tau: &[u32],
    below: Option<u32>,
    work: &Rc<Work>,
) -> ByFaces {
    let quick = quick_bound(factors, tau);
    let stop = |lambda: BigRational, reason: &str| ByFaces {
        found: Found::bound(lambda, reason, Signs::Unknown),
        open: Vec::new(),
    };
    let all = if let [(only, _)] = factors {
        Ok(only.clone())
    } else {
        let once = factors.iter().map(|(factor, _)| (factor.clone(), 1)).collect();
        let one = Product::constant(&factors[0].0.variables, BigRational::one());
        Product { factors: once, ..one }.expand()
    };
    let Ok(all) = all else { return stop(quick, "its product has too many terms") };
    let Some(newton) = Newton::of(&all, work) else { return stop(quick, SPENT) };
    if let Some(below) = below {
        let pure = |i: usize| {
            newton.exponents.iter().any(|e| (0..e.len()).all(|j| e[j] == 0 || (j == i && e[j] < below)))
        };
        if !(0..tau.len()).all(pure) {
            return stop(quick, "its terms of high degree decide, and they are not known");
        }
    }
    if factors.len() == 1 {
        // Sums of even monomials are positive on every face.
        let (k, e) = &factors[0];
        let sign = |positive: bool| {
            newton.exponents.iter().all(|e| is_even(e) && k.terms[e].is_positive() == positive)
        };
        if sign(true) || sign(false) {
            let Some(lambda) = newton.lambda(tau, work) else { return stop(quick, SPENT) };
            let lambda_of_power = &lambda / BigRational::from(BigInt::from(*e));
            let Some(m) = newton.multiplicity(tau, &lambda, work) else {
                return stop(lambda_of_power, SPENT);
            };
            let signs = if sign(true) || e % 2 == 0 { Signs::Positive } else { Signs::Negative };
            return ByFaces { found: Found::certain(lambda_of_power, m, signs), open: Vec::new() };
        }
    }
    let Some(Some(facets)) = work.within(2, || newton.facets(work)) else {
        // The linear program is smaller than the list of facets.
        let lambda = match factors {
            [(_, e)] => work
                .within(4, || newton.lambda(tau, work))
                .flatten()
                .map(|l| l / BigRational::from(BigInt::from(*e))),
            _ => None,
        };
        return stop(lambda.unwrap_or(quick), "its Newton polyhedron has too many facets");
    };
    let order = |w: &[BigInt]| -> BigInt { factors.iter().map(|(k, e)| least(k, w) * *e).sum() };
    let Some((lambda, multiplicity, best)) = smallest_pole(&facets, tau, order) else {
        return stop(quick, SPENT);
    };
    let Some(faces) = newton.compact_faces(&facets, work) else {
        return stop(lambda, "its Newton polyhedron has too many faces");
    };
    let mut state = State {
        factors,
        tau,
        zeros: vec![Seen::default(); factors.len()],
        doubt: None,
        open: Vec::new(),
        work,
    };
    for face in &faces {
        state.look(face, face.facets.len() >= best.len() && best.iter().all(|f| face.facets.contains(f)));
        if work.is_spent() {
            return stop(lambda, SPENT);
        }
    }
    state.finish(lambda, multiplicity)
}

const SPENT: &str = "the limit of work was reached";

/// Returns the least value of a weight on the exponents.
fn least(k: &Polynomial, weight: &[BigInt]) -> BigInt {
    let value = |e: &Vec<u32>| -> BigInt { e.iter().zip(weight).map(|(&e, w)| w * e).sum() };
    k.terms.keys().map(value).min().unwrap_or_default()
}

/// Returns the exponents of terms after division by the greatest common monomial.
fn quotient(terms: &Terms<'_>) -> Vec<Vec<u32>> {
    let low = |i: usize| terms.iter().map(|(e, _)| e[i]).min().unwrap_or(0);
    let low: Vec<u32> = (0..terms[0].0.len()).map(low).collect();
    terms.iter().map(|(e, _)| e.iter().zip(&low).map(|(e, low)| e - low).collect()).collect()
}

/// The zeros of a factor on the faces so far.
#[derive(Clone, Default)]
struct Seen {
    /// True if the factor has a zero on some face.
    any: bool,
    /// True if it has one on a face that belongs to the smallest pole.
    at_pole: bool,
    /// True if it may have one on a face that was not decided.
    unknown: bool,
    /// True if it may have one on a face that was not decided and that belongs to the smallest pole.
    unknown_at_pole: bool,
    /// True if the factor is negative somewhere.
    negative: bool,
}

struct State<'a> {
    factors: &'a [(Polynomial, u32)],
    tau: &'a [u32],
    zeros: Vec<Seen>,
    doubt: Option<String>,
    open: Vec<Polynomial>,
    work: &'a Rc<Work>,
}

impl State<'_> {
    /// Decides about the zeros of every factor on one face.
    fn look(&mut self, face: &Face, at_pole: bool) {
        let mut vanishing = 0;
        for (i, (k, _)) in self.factors.iter().enumerate() {
            let low = least(k, &face.weight);
            let on = |e: &Vec<u32>| e.iter().zip(&face.weight).map(|(&e, w)| w * e).sum::<BigInt>() == low;
            self.work.spend(k.terms.len() as u64 / 4);
            let terms: Terms<'_> =
                k.terms.iter().filter(|(e, _)| on(e)).map(|(e, c)| (e, c.clone())).collect();
            let dimension = dimension(terms.iter().map(|(e, _)| *e));
            // Where no variable is zero, the quotient by the variables that divide the face polynomial has the same zeros.
            let exponents = quotient(&terms);
            let divided: Terms<'_> = exponents.iter().zip(&terms).map(|(e, (_, c))| (e, c.clone())).collect();
            let mut found = zeros(&divided, dimension, self.work);
            if !self.zeros[i].negative && (dimension == 0 || found != Zeros::None) {
                self.zeros[i].negative = signs::negative(&terms, dimension, self.work).is_some();
            }
            if found == Zeros::Smooth(None) {
                // The vertices have one sign and even exponents: some vertex lacks each variable, and all agree. A point with the other
                // sign has a zero between it and a vertex.
                let positive = if divided[0].1.is_positive() { divided.clone() } else { negated(&divided) };
                found = Zeros::Smooth(signs::negative(&positive, dimension, self.work).map(|_| true));
            }
            let shown = || {
                let part = terms.iter().map(|(e, c)| ((*e).clone(), c.clone())).collect();
                Polynomial::of(k.variables.clone(), part)
            };
            match found {
                Zeros::None => {}
                Zeros::Smooth(exists) => {
                    vanishing += 1;
                    self.zeros[i].any |= exists == Some(true);
                    self.zeros[i].unknown |= exists.is_none();
                    self.zeros[i].unknown_at_pole |= exists.is_none() && at_pole;
                    self.zeros[i].at_pole |= exists == Some(true) && at_pole;
                    if vanishing > 1 && self.doubt.is_none() {
                        self.doubt = Some("two of its factors vanish on one face".to_owned());
                    }
                }
                Zeros::Unknown => {
                    if self.doubt.is_none() {
                        self.doubt = Some(format!(
                            "its face polynomial {} may have singular zeros",
                            shortened(&shown())
                        ));
                    }
                    if self.open.len() < KEPT {
                        self.open.push(shown());
                    }
                    self.zeros[i].unknown = true;
                }
            }
        }
    }

    /// Joins the pole of the polyhedron with the poles of the zeros.
    fn finish(self, newton: BigRational, of_newton: u32) -> ByFaces {
        let pole = |e: u32| BigRational::new(BigInt::one(), e.into());
        let with_poles = || self.zeros.iter().zip(self.factors).map(|(seen, (_, e))| (seen, pole(*e)));
        // A factor that changes sign vanishes on a hypersurface. The poles of single variables belong to the polyhedron, and they
        // are others where the prior vanishes too.
        let flat = |k: &Polynomial| {
            (0..self.tau.len()).all(|i| self.tau[i] == 1 || k.terms.keys().any(|e| e[i] == 0))
        };
        let zeros = |(k, _): &(Polynomial, u32), seen: &Seen| {
            seen.any || (seen.negative && k.terms.len() > 1 && flat(k))
        };
        let known = self.zeros.iter().zip(self.factors).filter(|(seen, factor)| zeros(factor, seen));
        let known = known.map(|(_, (_, e))| pole(*e)).min();
        let lambda = known.clone().map_or(newton.clone(), |known| known.min(newton.clone()));
        let crosses = with_poles().any(|(seen, pole)| seen.at_pole && pole == newton);
        let multiplicity = if lambda < newton { 1 } else { of_newton + u32::from(crosses) };
        let open = with_poles().any(|(seen, pole)| {
            (seen.unknown && pole < lambda)
                || (seen.unknown_at_pole && pole == newton && lambda == newton && !crosses)
        });
        let doubt = self
            .doubt
            .or_else(|| open.then(|| "it is not known whether one of its factors has zeros".to_owned()));
        let odd: Vec<&Seen> = self
            .zeros
            .iter()
            .zip(self.factors)
            .filter(|(_, (_, e))| e % 2 == 1)
            .map(|(seen, _)| seen)
            .collect();
        // A factor changes sign at a smooth zero.
        let changes = |seen: &Seen| seen.negative || seen.any;
        let positive = |seen: &Seen| !changes(seen) && !seen.unknown;
        let signs = if odd.iter().all(|seen| positive(seen)) {
            Signs::Positive
        } else if odd.iter().filter(|seen| changes(seen)).count() == 1
            && odd.iter().all(|seen| changes(seen) || positive(seen))
        {
            Signs::Both
        } else {
            Signs::Unknown
        };
        let found = Found { lambda, multiplicity, doubt, signs };
        ByFaces { found, open: self.open }
    }
}

/// Returns the text of a polynomial, or its beginning.
fn shortened(k: &Polynomial) -> String {
    let text = k.to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rational::whole;

    #[test]
    fn a_prior_that_vanishes_on_a_divisor_of_a_factor_raises_its_pole() {
        // f = x (x² + y² + z²) changes sign where x = 0 and nowhere else. Under the prior |x|^h the pole there is h + 1, and the pole at
        // the exceptional divisor of the origin is (h + 3)/3.
        let f: Polynomial = "x^3 + x*y^2 + x*z^2".parse().unwrap();
        for (h, lambda, m) in [(0, whole(1), 2), (1, whole(4) / whole(3), 1), (2, whole(5) / whole(3), 1)] {
            for exponent in [1, 3] {
                let found =
                    by_faces(&[(f.clone(), exponent)], &[h + 1, 1, 1], None, &Rc::new(Work::default())).found;
                assert_eq!(found.lambda, &lambda / whole(exponent), "h = {h}");
                assert_eq!((found.multiplicity, found.doubt), (m, None), "h = {h}");
                assert_eq!(found.signs, Signs::Both);
            }
        }
    }
}
