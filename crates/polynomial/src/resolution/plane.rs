//! The complete resolution in two variables, by weighted blow-ups and translations to the real roots of edge polynomials.

use crate::arithmetic::field::{Field, Number};
use crate::arithmetic::squarefree;
use crate::arithmetic::work::Work;
use crate::polynomial::Polynomial;
use crate::rational::whole;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, ToPrimitive, Zero};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The largest number of blow-ups in a row.
const DEPTH: usize = 40;
/// The largest degree of a field over ℚ.
const FIELD: usize = 64;
/// The largest number of terms of a transformed factor.
const TERMS: usize = 5000;
/// The powers of each coordinate up to which transformed factors are computed. If a cap is too low, the next one is tried.
const CAPS: [u64; 4] = [12, 30, 64, ALL];
/// A power that is never reached, so that no term is left out.
const ALL: u64 = u64::MAX;

/// The result of the resolution of `|K|` at the origin.
pub(super) struct Resolved {
    pub(super) lambda: BigRational,
    pub(super) multiplicity: u32,
    /// True if K takes both signs near the origin.
    pub(super) changes_sign: bool,
}

type Plane = BTreeMap<(u32, u32), Number>;

/// A square-free factor of K and its exponent.
///
/// A resolution needs finitely many terms only, but their number grows with every translation. So terms of high powers are
/// left out, and `known` stores the lowest powers that may be missing. Every term below them is correct. If the factor has
/// a pure power of each coordinate, the missing terms lie beyond these two and on no compact edge.
#[derive(Clone)]
struct Factor {
    terms: Plane,
    exponent: u32,
    /// The lowest powers of the two coordinates from which terms may be missing.
    known: [u64; 2],
}

impl Factor {
    /// Returns true if the compact edges of the Newton polygon are certain.
    fn is_clear(&self) -> bool {
        let exact = self.known == [ALL; 2];
        exact || (self.terms.keys().any(|e| e.1 == 0) && self.terms.keys().any(|e| e.0 == 0))
    }
}

/// The reason why a resolution was stopped.
enum Limit {
    /// Too many terms were left out. A higher cap may be enough.
    Truncated,
    /// A size is too large, in words.
    Size(String),
}

impl From<String> for Limit {
    fn from(words: String) -> Self {
        Self::Size(words)
    }
}

/// A coordinate axis: the order of K along it, and the order of the Jacobian plus one.
#[derive(Clone)]
struct Axis {
    order: BigInt,
    jacobian: BigInt,
}

impl Axis {
    fn ratio(&self) -> Option<BigRational> {
        (!self.order.is_zero()).then(|| BigRational::new(self.jacobian.clone(), self.order.clone()))
    }
}

/// K near a point, as powers of the two coordinates times powers of factors that no coordinate divides.
struct Node {
    field: Field,
    axes: [Axis; 2],
    factors: Vec<Factor>,
}

/// Resolves the absolute value of a product of powers at the origin under a prior with the exponents `tau − 1`. The error
/// names the limit that was reached.
pub(super) fn resolve(
    product: &[(Polynomial, u32)],
    tau: &[u32],
    work: &Rc<Work>,
) -> Result<Resolved, String> {
    let mut orders = [0u32; 2];
    let mut parts = Vec::new();
    for (k, exponent) in product {
        let low = |axis: usize| k.terms.keys().map(|e| e[axis]).min().unwrap_or(0);
        let shift = [low(0), low(1)];
        orders.iter_mut().zip(shift).for_each(|(order, low)| *order += low * exponent);
        let divided = |(e, c): (&Vec<u32>, &BigRational)| (vec![e[0] - shift[0], e[1] - shift[1]], c.clone());
        let rest = Polynomial::of(k.variables.clone(), k.terms.iter().map(divided).collect());
        let found = squarefree::square_free(&rest, work).ok_or(TOO_LARGE)?;
        parts.extend(found.into_iter().map(|(part, power)| (part, power * exponent)));
    }
    let parts = squarefree::without_common_factors(parts, work).ok_or(TOO_LARGE)?;
    let factor = |(terms, exponent): (squarefree::Terms, u32)| Factor {
        terms: terms.into_iter().map(|(e, c)| (e, whole(c).into())).collect(),
        exponent,
        known: [ALL; 2],
    };
    let factors: Vec<Factor> =
        parts.into_iter().map(factor).filter(|f| !f.terms.contains_key(&(0, 0))).collect();
    search(&factors, orders, tau, work)
}

const TOO_LARGE: &str = "its square-free parts have coefficients that are too large";

/// Resolves the absolute value of a power series of which only the terms below a total degree are known.
pub(super) fn resolve_series(
    k: &Polynomial,
    below: u32,
    tau: &[u32],
    work: &Rc<Work>,
) -> Result<Resolved, String> {
    // A term of this degree has at least half of it in one of the two coordinates.
    let known = u64::from(below).div_ceil(2);
    let terms = k.terms.iter().map(|(e, c)| ((e[0], e[1]), c.clone().into()));
    let factor = Factor { terms: terms.collect(), exponent: 1, known: [known; 2] };
    if factor.terms.is_empty() {
        return Err("only its terms of high degree are not zero".to_owned());
    }
    search(&[factor], [0; 2], tau, work)
}

/// Resolves a product, with low caps first.
fn search(factors: &[Factor], orders: [u32; 2], tau: &[u32], work: &Rc<Work>) -> Result<Resolved, String> {
    let axis = |i: usize| Axis { order: orders[i].into(), jacobian: tau[i].into() };
    let mut reason = String::new();
    for cap in CAPS {
        let mut search = Search { best: None, changes_sign: false, cap };
        let node =
            Node { field: Field::rationals(work), axes: [axis(0), axis(1)], factors: factors.to_vec() };
        let result = search.visit(node, 0);
        if work.is_spent() {
            return Err("the work was spent".to_owned());
        }
        match result {
            Ok(()) => {
                let (lambda, multiplicity) = search.best.ok_or("K is not zero at the origin".to_owned())?;
                return Ok(Resolved { lambda, multiplicity, changes_sign: search.changes_sign });
            }
            Err(Limit::Truncated) => {
                reason = "its terms of high degree decide, and they are not known".to_owned();
            }
            // The next cap is tried as well, and the last reason is reported.
            Err(Limit::Size(words)) => reason = words,
        }
    }
    Err(reason)
}

/// A search for the smallest pole.
struct Search {
    best: Option<(BigRational, u32)>,
    changes_sign: bool,
    /// The lowest power of a coordinate whose terms are left out.
    cap: u64,
}

impl Search {
    /// Adds the pole at the crossing of two divisors.
    fn crossing(&mut self, a: &Axis, b: &Axis) {
        let ratios = [a.ratio(), b.ratio()];
        let Some(lambda) = ratios.iter().flatten().min().cloned() else { return };
        let multiplicity = ratios.iter().flatten().filter(|r| **r == lambda).count() as u32;
        self.best = match self.best.take() {
            Some((best, m)) if best < lambda => Some((best, m)),
            Some((best, m)) if best == lambda => Some((best, m.max(multiplicity))),
            _ => Some((lambda, multiplicity)),
        };
    }

    fn visit(&mut self, node: Node, depth: usize) -> Result<(), Limit> {
        if node.field.is_spent() {
            return Err("the work was spent".to_owned().into());
        }
        if depth > DEPTH {
            return Err(format!("its resolution takes more than {DEPTH} blow-ups in a row").into());
        }
        if !node.factors.iter().all(Factor::is_clear) {
            return Err(Limit::Truncated);
        }
        let rays = rays(&node);
        let divisor = |&(a, b): &(u32, u32)| {
            let strict = |f: &Factor| BigInt::from(f.exponent) * lowest(f, (a, b));
            Axis {
                order: &node.axes[0].order * a
                    + &node.axes[1].order * b
                    + node.factors.iter().map(strict).sum::<BigInt>(),
                jacobian: &node.axes[0].jacobian * a + &node.axes[1].jacobian * b,
            }
        };
        let divisors: Vec<Axis> = rays.iter().map(divisor).collect();
        for (pair, cone) in divisors.windows(2).zip(rays.windows(2)) {
            self.crossing(&pair[0], &pair[1]);
            self.changes_sign |= !vertex_is_even(&node, (cone[0].0 + cone[1].0, cone[0].1 + cone[1].1));
        }
        for (ray, divisor) in rays.iter().zip(&divisors).filter(|(ray, _)| ray.0 > 0 && ray.1 > 0) {
            self.roots(&node, *ray, divisor, depth)?;
        }
        Ok(())
    }

    /// Visits the points where factors cross the divisor of a weighted blow-up.
    fn roots(&mut self, node: &Node, ray: (u32, u32), divisor: &Axis, depth: usize) -> Result<(), Limit> {
        let field = &node.field;
        let chart = Chart::of(ray);
        let edges: Vec<Vec<Number>> = node.factors.iter().map(|f| chart.edge(f)).collect();
        let product = edges.iter().fold(vec![Number::one()], |p, e| field.multiply_polynomials(&p, e));
        for (part, order) in field.square_free(&product) {
            if order == 1 {
                // A simple root: one smooth branch crosses the divisor.
                for (edge, factor) in edges.iter().zip(&node.factors) {
                    if field.count_real_roots(&field.gcd(&part, edge)) > 0 {
                        self.changes_sign |= factor.exponent % 2 == 1;
                        self.crossing(
                            divisor,
                            &Axis { order: factor.exponent.into(), jacobian: BigInt::one() },
                        );
                    }
                }
                continue;
            }
            for (field, root) in field.real_roots(&part) {
                if field.degree() > FIELD {
                    return Err(format!("its branches need a field of degree above {FIELD}").into());
                }
                let mut axes = [divisor.clone(), Axis { order: BigInt::zero(), jacobian: BigInt::one() }];
                let mut factors = Vec::new();
                for factor in &node.factors {
                    let mut moved = chart.transform(&field, factor, &root, self.cap)?;
                    // A branch may be the new axis itself. If terms are missing, this cannot be decided.
                    let along = moved.terms.keys().map(|e| e.1).min().unwrap_or(0);
                    if along > 0 && moved.known != [ALL; 2] {
                        return Err(Limit::Truncated);
                    }
                    axes[1].order += BigInt::from(along * factor.exponent);
                    moved.terms = moved.terms.into_iter().map(|((i, j), c)| ((i, j - along), c)).collect();
                    if !moved.terms.contains_key(&(0, 0)) {
                        factors.push(moved);
                    }
                }
                self.visit(Node { field, axes, factors }, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// Returns the smallest value of a weight on a factor.
fn lowest(factor: &Factor, (a, b): (u32, u32)) -> u64 {
    let value = |&(i, j): &(u32, u32)| u64::from(a) * u64::from(i) + u64::from(b) * u64::from(j);
    factor.terms.keys().map(value).min().unwrap_or(0)
}

/// Returns true if the lowest term of K, under a weight inside a cone of the fan, has even exponents.
fn vertex_is_even(node: &Node, weight: (u32, u32)) -> bool {
    let (mut x, mut y) = (node.axes[0].order.clone(), node.axes[1].order.clone());
    for factor in &node.factors {
        let low = lowest(factor, weight);
        let at = |&&(i, j): &&(u32, u32)| {
            u64::from(weight.0) * u64::from(i) + u64::from(weight.1) * u64::from(j) == low
        };
        let (i, j) = factor.terms.keys().find(at).expect("the minimum is attained");
        x += BigInt::from(i * factor.exponent);
        y += BigInt::from(j * factor.exponent);
    }
    x.is_even() && y.is_even()
}

/// Returns the normals of the compact edges of all factors in order, with the normals of the two axes at the ends.
fn rays(node: &Node) -> Vec<(u32, u32)> {
    let mut normals = BTreeSet::new();
    for factor in &node.factors {
        // The lower left boundary, from the left.
        let mut hull: Vec<(i64, i64)> = Vec::new();
        for &(i, j) in factor.terms.keys() {
            let point = (i64::from(i), i64::from(j));
            if hull.last().is_some_and(|last| point.1 >= last.1) {
                continue;
            }
            while let [.., a, b] = hull[..] {
                if (b.0 - a.0) * (point.1 - a.1) > (b.1 - a.1) * (point.0 - a.0) {
                    break;
                }
                hull.pop();
            }
            hull.push(point);
        }
        for pair in hull.windows(2) {
            let (run, fall) = (pair[1].0 - pair[0].0, pair[0].1 - pair[1].1);
            let divisor = run.gcd(&fall);
            let normal = ((fall / divisor) as u32, (run / divisor) as u32);
            normals.insert((BigRational::new(normal.1.into(), normal.0.into()), normal));
        }
    }
    let inner = normals.into_iter().map(|(_, normal)| normal);
    [(1, 0)].into_iter().chain(inner).chain([(0, 1)]).collect()
}

/// The coordinates `x = e^a s^c, y = e^b s^d` with `ad − bc = 1`. They cover all points without a zero coordinate once.
struct Chart {
    a: u32,
    b: u32,
    c: u32,
    d: u32,
}

impl Chart {
    fn of((a, b): (u32, u32)) -> Self {
        let d = (1..=b).find(|d| (u64::from(a) * u64::from(*d)) % u64::from(b) == 1 % u64::from(b));
        let d = d.expect("the normal is primitive");
        Self { a, b, c: ((u64::from(a) * u64::from(d) - 1) / u64::from(b)) as u32, d }
    }

    fn powers(&self, &(i, j): &(u32, u32)) -> (u64, u64) {
        let [i, j] = [i, j].map(u64::from);
        (u64::from(self.a) * i + u64::from(self.b) * j, u64::from(self.c) * i + u64::from(self.d) * j)
    }

    /// Restricts a factor to the divisor. The result is a polynomial in s that is not zero at 0.
    fn edge(&self, factor: &Factor) -> Vec<Number> {
        let low = lowest(factor, (self.a, self.b));
        let on: Vec<(u64, &Number)> = factor
            .terms
            .iter()
            .map(|(e, c)| (self.powers(e), c))
            .filter(|(powers, _)| powers.0 == low)
            .map(|(powers, c)| (powers.1, c))
            .collect();
        let first = on.iter().map(|t| t.0).min().unwrap_or(0);
        let degree = on.iter().map(|t| t.0 - first).max().unwrap_or(0) as usize;
        let mut out = vec![Number::zero(); degree + 1];
        for (power, c) in on {
            out[(power - first) as usize] = c.clone();
        }
        out
    }

    /// Writes a factor in the coordinates `(e, s − root)`, without its powers of e and s, below the power `cap` of each.
    fn transform(&self, field: &Field, factor: &Factor, root: &Number, cap: u64) -> Result<Factor, Limit> {
        let low = lowest(factor, (self.a, self.b));
        let first = factor.terms.keys().map(|e| self.powers(e).1).min().unwrap_or(0);
        let most = factor.terms.keys().map(|e| self.powers(e).1 - first).max().unwrap_or(0);
        if most > 500 {
            return Err("its blow-ups reach a degree above 500".to_owned().into());
        }
        // The missing terms of the factor have at least this power of e.
        let inherited = (factor.known[0].saturating_mul(self.a.into()))
            .min(factor.known[1].saturating_mul(self.b.into()))
            .saturating_sub(if factor.known == [ALL; 2] { 0 } else { low });
        let mut known = [inherited, ALL];
        let mut powers = vec![Number::one()];
        for k in 0..most as usize {
            powers.push(field.multiply(&powers[k], root));
        }
        let mut terms = Plane::new();
        for (e, c) in &factor.terms {
            let (x, s) = self.powers(e);
            let (x, s) = (x - low, (s - first) as usize);
            if x >= inherited.min(cap) {
                known[0] = known[0].min(cap);
                continue;
            }
            let x = x.to_u32().ok_or_else(|| "its blow-ups reach a degree above 2³²".to_owned())?;
            let mut binomial = BigInt::one();
            for l in 0..=s {
                if l as u64 >= cap {
                    known[1] = cap;
                    break;
                }
                let weight = Number::Rational(whole(binomial.clone()));
                let term = field.multiply(&field.multiply(c, &weight), &powers[s - l]);
                let sum = terms.remove(&(x, l as u32)).unwrap_or_else(Number::zero);
                terms.insert((x, l as u32), field.add(&sum, &term));
                binomial = binomial * (s - l) / (l + 1);
            }
            if terms.len() > TERMS {
                return Err(format!("its blow-ups reach more than {TERMS} terms").into());
            }
        }
        terms.retain(|_, c| !field.is_zero(c));
        Ok(Factor { terms, exponent: factor.exponent, known })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_factors_give_the_result_of_all_terms() {
        // A contact of high order needs terms beyond the first caps. The result with all terms is the same.
        for text in [
            "(y - x^2)^2 + x^30",
            "(y - x - x^2)^2 + x^16",
            "(y^2 - x^3)^2 + x^5*y^5",
            "(y - x - x^2)^4*(y - x)^2",
            "(x^2 - 2*y^2 + x^3*y)^4*(y - x^3)^2 + x^20*y^20",
        ] {
            let k: Polynomial = text.parse().unwrap();
            let found = resolve(&[(k.clone(), 1)], &[1, 1], &Rc::default())
                .unwrap_or_else(|reason| panic!("{text}: {reason}"));
            let exact = all_terms(&k).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((&found.lambda, found.multiplicity), (&exact.0, exact.1), "{text}");
        }
    }

    #[test]
    fn factors_with_common_factors_give_the_result_of_the_product() {
        let parse = |text: &str| text.parse::<Polynomial>().unwrap();
        for (first, second) in [("(x - y)*(x + y^2)", "(x - y)*(x - y^2)^2"), ("x*(x - y)", "y*(x - y)^3")] {
            let k = parse(&format!("(({first})*({second}))^2 + 0*x"));
            let factors = [(parse(&format!("{first} + 0*x")), 2), (parse(&format!("0*x + {second}")), 2)];
            let [one, other] = [&[(k, 1)][..], &factors].map(|f| resolve(f, &[1, 1], &Rc::default()).ok());
            let [one, other] = [one.unwrap(), other.unwrap()];
            assert_eq!((one.lambda, one.multiplicity), (other.lambda, other.multiplicity), "{first}");
            assert_eq!(one.changes_sign, other.changes_sign);
        }
    }

    #[test]
    fn a_series_has_the_result_of_its_polynomial_or_none() {
        let k: Polynomial = "(y - x - x^2)^4 + x^6 + x^3*y^9".parse().unwrap();
        let k = k.in_variables(&["x".to_owned(), "y".to_owned()]);
        let exact = resolve(&[(k.clone(), 1)], &[1, 1], &Rc::default()).ok().unwrap();
        let of = |below| resolve_series(&k, below, &[1, 1], &Rc::default()).ok();
        assert_eq!(of(40).unwrap().lambda, exact.lambda);
        assert!(of(4).is_none());
    }

    fn all_terms(k: &Polynomial) -> Option<(BigRational, u32)> {
        let parts = squarefree::square_free(k, &Work::default()).unwrap();
        let factor = |(terms, exponent): (squarefree::Terms, u32)| Factor {
            terms: terms.into_iter().map(|(e, c)| (e, whole(c).into())).collect(),
            exponent,
            known: [ALL; 2],
        };
        let one = || Axis { order: BigInt::zero(), jacobian: BigInt::one() };
        let factors = parts.into_iter().map(factor).collect();
        let mut search = Search { best: None, changes_sign: false, cap: ALL };
        let node = Node { field: Field::default(), axes: [one(), one()], factors };
        search.visit(node, 0).ok()?;
        search.best
    }
}
