//! Perfect squares, and hypersurfaces without singular zeros on the faces of their Newton polyhedron.

use super::certificate::{self, Sign, Terms};
use super::newton::{Newton, rank};
use crate::arithmetic::field::Field;
use crate::arithmetic::simplex::{Solution, maximise};
use crate::polynomial::Polynomial;
use crate::rational::whole;
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

/// Returns `g` and `c` with `K = c g²`, if K is such a square.
pub(super) fn square_root(k: &Polynomial) -> Option<(Polynomial, BigRational)> {
    let (lead, constant) = k.terms.last_key_value()?;
    if lead.iter().any(|e| e % 2 == 1) {
        return None;
    }
    let half: Vec<u32> = lead.iter().map(|e| e / 2).collect();
    let mut rest = k.clone().scaled(&constant.recip());
    let mut root = Polynomial::constant(&k.variables, BigRational::zero());
    let (mut next, mut coefficient) = (half.clone(), BigRational::one());
    loop {
        // rest −= (2 root + t) t
        let mut t = Polynomial::constant(&k.variables, BigRational::zero());
        t.add_term(next, coefficient).ok()?;
        let twice = root.clone().scaled(&whole(2)).plus(&t).ok()?;
        rest = rest.plus(&twice.times(&t).ok()?.scaled(&whole(-1))).ok()?;
        root = root.plus(&t).ok()?;
        let Some((lead, c)) = rest.terms.last_key_value() else { return Some((root, constant.clone())) };
        next = lead.iter().zip(&half).map(|(a, b)| a.checked_sub(*b)).collect::<Option<_>>()?;
        coefficient = c / whole(2);
        // The terms of a root are found in falling order.
        if root.terms.first_key_value().is_some_and(|(last, _)| next >= *last) || root.terms.len() > 400 {
            return None;
        }
    }
}

/// Returns λ and m of `|f|`, if f has no singular zero on any compact face where no variable is zero.
///
/// After the toric resolution the zeros of f are smooth and cross the exceptional divisors transversally. They add the
/// pole 1.
pub(super) fn hypersurface(f: &Polynomial, tau: &[u32]) -> Option<(BigRational, u32)> {
    let newton = Newton::of(f);
    let faces = newton.compact_faces()?;
    let (lambda, multiplicity) = newton.coefficient(tau);
    let vertices: Vec<usize> = faces.iter().filter(|f| f.dimension == 0).map(|f| f.members[0]).collect();
    // Whether any face has a zero, whether a face with the pole of the polyhedron has one, and whether a face is undecided.
    let (mut zeros, mut zeros_at_pole, mut unknown) = (false, false, false);
    for face in &faces {
        let terms = certificate::terms(f, &newton, face);
        let vanishes = match face.dimension {
            0 => Some(false),
            1 => {
                let (_, coefficients) = certificate::along(&terms);
                let field = Field::default();
                let p: Vec<_> = coefficients.into_iter().map(Into::into).collect();
                if field.square_free(&p).iter().any(|(part, k)| *k > 1 && field.count_real_roots(part) > 0) {
                    return None;
                }
                Some(field.count_real_roots(&p) > 0)
            }
            _ if certificate::sign(&terms, face.dimension) == Sign::Positive => Some(false),
            _ if has_no_singular_zero(&terms) => {
                // Between two vertices of opposite signs in one orthant there is a zero.
                let sign = |k: &usize| {
                    let (exponents, c) =
                        f.terms.get_key_value(&newton.exponents[*k]).expect("an exponent of it");
                    (exponents.iter().map(|e| e % 2).collect::<Vec<u32>>(), c.is_positive())
                };
                let mut signs: Vec<_> =
                    vertices.iter().filter(|k| face.members.contains(k)).map(sign).collect();
                signs.dedup();
                (signs.len() > 1).then_some(true)
            }
            _ => return None,
        };
        zeros |= vanishes == Some(true);
        unknown |= vanishes.is_none();
        zeros_at_pole |= vanishes == Some(true) && holds_pole(&newton, &face.members, &lambda, tau);
    }
    let one = BigRational::one();
    match lambda.cmp(&one) {
        std::cmp::Ordering::Less => Some((lambda, multiplicity)),
        _ if unknown => None,
        _ if !zeros => Some((lambda, multiplicity)),
        std::cmp::Ordering::Greater => Some((one, 1)),
        std::cmp::Ordering::Equal => Some((one, multiplicity + u32::from(zeros_at_pole))),
    }
}

/// Returns whether a face belongs to the face whose interior contains τ/λ.
///
/// It does if every optimal weight attains its minimum on it.
fn holds_pole(newton: &Newton, members: &[usize], lambda: &BigRational, tau: &[u32]) -> bool {
    // max α·w over the optimal weights {w ≥ 0: β·w ≥ 1, τ·w ≤ λ} must be 1 for every member α.
    let n = tau.len();
    let mut rows: Vec<Vec<BigRational>> =
        newton.exponents.iter().map(|e| e.iter().map(|&a| -whole(a)).collect()).collect();
    let mut bounds = vec![-BigRational::one(); rows.len()];
    rows.push((0..n).map(|i| whole(tau[i])).collect());
    bounds.push(lambda.clone());
    members.iter().all(|&k| {
        let objective: Vec<BigRational> = newton.exponents[k].iter().map(|&a| whole(a)).collect();
        matches!(maximise(&objective, &rows, &bounds), Solution::Optimal { value, .. } if value.is_one())
    })
}

/// Returns whether the zeros of a face polynomial are proved to be smooth where no variable is zero.
///
/// At a singular zero `Σ ℓ(α) c_α x^α = 0` for every affine function ℓ of the exponents. This is impossible if some ℓ leaves
/// only terms of one sign.
fn has_no_singular_zero(terms: &Terms<'_>) -> bool {
    let n = terms[0].0.len();
    let fixed = |e: &[u32]| e.iter().all(|e| e % 2 == 0);
    // If a term lies outside the affine hull of the others, some ℓ leaves this term alone.
    let homogeneous = |e: &Vec<u32>| -> Vec<BigRational> {
        e.iter().map(|&a| whole(a)).chain([BigRational::one()]).collect()
    };
    let full = rank(terms.iter().map(|(e, _)| homogeneous(e)).collect());
    for skip in 0..terms.len() {
        let others = terms.iter().enumerate().filter(|(k, _)| *k != skip).map(|(_, (e, _))| homogeneous(e));
        if rank(others.collect()) < full {
            return true;
        }
    }
    // Maximises Σ ℓ(α) c_α ≤ 1 with ℓ(α) c_α ≥ 0 on even exponents and ℓ(α) = 0 on the others.
    let variables = 2 * (n + 1);
    let (mut rows, mut bounds) = (Vec::new(), Vec::new());
    let mut objective = vec![BigRational::zero(); variables];
    for (e, c) in terms {
        let row: Vec<BigRational> =
            homogeneous(e).into_iter().flat_map(|a| [&a * c.signum(), -(a * c.signum())]).collect();
        if fixed(e) {
            objective.iter_mut().zip(&row).for_each(|(o, a)| *o += a);
        } else {
            rows.push(row.clone());
            bounds.push(BigRational::zero());
        }
        rows.push(row.iter().map(|a| -a).collect());
        bounds.push(BigRational::zero());
    }
    rows.push(objective.clone());
    bounds.push(BigRational::from(BigInt::one()));
    matches!(maximise(&objective, &rows, &bounds), Solution::Optimal { value, .. } if value.is_positive())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_has_a_root_and_other_polynomials_have_none() {
        for (text, squared) in [("x*y - z*w", true), ("x + y^2 - 3*x*y*z", true), ("x^2 - y", false)] {
            let f: Polynomial = text.parse().unwrap();
            let k = if squared { f.power(2).unwrap().scaled(&whole(7)) } else { f.clone() };
            let found = square_root(&k);
            assert_eq!(found.is_some(), squared, "{text}");
            if let Some((root, c)) = found {
                assert_eq!(root.power(2).unwrap().scaled(&c), k);
            }
        }
        // A square plus a small term is no square.
        let k: Polynomial = "(x + y)^2 + y^6".parse().unwrap();
        assert!(square_root(&k).is_none());
    }
}
