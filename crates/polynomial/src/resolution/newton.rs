//! The Newton polyhedron, its value for λ, and its compact faces.

use super::bits::Bits;
use crate::arithmetic::simplex::{Solution, maximise};
use crate::arithmetic::work::Work;
use crate::polynomial::Polynomial;
use crate::rational::whole;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};
use std::collections::HashSet;

/// The largest number of facets.
const FACETS: usize = 3000;
/// The largest number of faces.
const FACES: usize = 20_000;

/// The convex hull of the exponents of a polynomial and of all points above them.
pub(super) struct Newton {
    /// The exponents that lie above no other exponent.
    pub(super) exponents: Vec<Vec<u32>>,
    dimension: usize,
}

/// A facet: a weight with no common divisor, and the least value of the weight on the exponents.
pub(super) struct Facet {
    pub(super) weight: Vec<BigInt>,
    /// Bit i means that the weight of variable i is 0. Bit n is not used. Higher bits belong to the exponents.
    tight: Bits,
}

/// A compact face.
pub(super) struct Face {
    /// Positions in [`Newton::exponents`].
    pub(super) members: Vec<usize>,
    /// A positive weight whose minimum is attained exactly on this face.
    pub(super) weight: Vec<BigInt>,
    /// The positions of the facets that contain the face.
    pub(super) facets: Vec<usize>,
    /// The dimension of the face.
    pub(super) dimension: usize,
}

impl Newton {
    /// Returns the polyhedron of a polynomial, or `None` if the work was spent.
    pub(super) fn of(polynomial: &Polynomial, work: &Work) -> Option<Self> {
        let all: Vec<&Vec<u32>> = polynomial.terms.keys().collect();
        let above = |a: &[u32], b: &[u32]| a != b && a.iter().zip(b).all(|(a, b)| a >= b);
        let mut exponents = Vec::new();
        for a in &all {
            if !work.spend(all.len() as u64 / 50) {
                return None;
            }
            if !all.iter().any(|b| above(a, b)) {
                exponents.push(a.to_vec());
            }
        }
        Some(Self { exponents, dimension: polynomial.variables.len() })
    }

    /// Returns λ of the sum of the monomials under a prior with the exponents `tau − 1`, or `None` if the work was spent.
    ///
    /// ```text
    /// λ = max { Σ y : Σ_α y_α α ≤ τ, y ≥ 0 }
    /// ```
    pub(super) fn lambda(&self, tau: &[u32], work: &Work) -> Option<BigRational> {
        let column = |i: usize| self.exponents.iter().map(move |e| whole(e[i]));
        let rows: Vec<Vec<BigRational>> = (0..self.dimension).map(|i| column(i).collect()).collect();
        let tau: Vec<BigRational> = tau.iter().map(|&t| whole(t)).collect();
        let ones = vec![BigRational::one(); self.exponents.len()];
        match maximise(&ones, &rows, &tau, work) {
            Solution::Optimal { value, .. } => Some(value),
            Solution::Stopped => None,
            _ => unreachable!("zero is feasible, and every exponent has a positive entry"),
        }
    }

    /// Returns the codimension of the face whose interior contains τ/λ, or `None` if the work was spent.
    pub(super) fn multiplicity(&self, tau: &[u32], lambda: &BigRational, work: &Work) -> Option<u32> {
        let n = self.dimension;
        // τ/λ = Σ μ_α α + Σ ν_i e_i with Σ μ = 1. The face is spanned by the points whose weight can be positive.
        let (points, generators) = (self.exponents.len(), self.exponents.len() + n);
        let mut equations: Vec<Vec<BigRational>> = Vec::new();
        let mut constants: Vec<BigRational> = Vec::new();
        for i in 0..=n {
            let entry = |g: usize| match (g < points, i < n) {
                (true, true) => whole(self.exponents[g][i]),
                (false, true) if g - points == i => BigRational::one(),
                (true, false) => BigRational::one(),
                _ => BigRational::zero(),
            };
            let row: Vec<BigRational> = (0..generators).map(entry).collect();
            let constant = if i < n { whole(tau[i]) / lambda } else { BigRational::one() };
            equations.push(row.iter().map(|a| -a).collect());
            constants.push(-&constant);
            equations.push(row);
            constants.push(constant);
        }
        let mut wanted = vec![BigRational::one(); generators];
        loop {
            let (value, point) = match maximise(&wanted, &equations, &constants, work) {
                Solution::Optimal { value, point } => (value, point),
                Solution::Stopped => return None,
                _ => unreachable!("τ/λ lies in the polyhedron, and all weights are bounded"),
            };
            if value.is_zero() {
                break;
            }
            for (wanted, weight) in wanted.iter_mut().zip(&point) {
                if weight.is_positive() {
                    *wanted = BigRational::zero();
                }
            }
        }
        let in_face: Vec<usize> = (0..generators).filter(|&g| wanted[g].is_zero()).collect();
        let first = &self.exponents[in_face[0]];
        let direction = |&g: &usize| -> Vec<BigRational> {
            match g.checked_sub(points) {
                None => self.exponents[g].iter().zip(first).map(|(&a, &b)| whole(a) - whole(b)).collect(),
                Some(i) => (0..n).map(|j| whole(u8::from(i == j))).collect(),
            }
        };
        let dimension = rank(in_face.iter().map(direction).collect());
        Some((n - dimension) as u32)
    }

    /// Returns the compact faces, vertices first, or `None` if there are too many.
    pub(super) fn compact_faces(&self, facets: &[Facet], work: &Work) -> Option<Vec<Face>> {
        let n = self.dimension;
        let mut seen: HashSet<Bits> = HashSet::new();
        let mut open: Vec<Bits> = facets.iter().map(|facet| facet.tight).collect();
        while let Some(set) = open.pop() {
            if !set.any_from(n + 1) || !seen.insert(set) {
                continue;
            }
            if seen.len() > FACES || !work.spend(facets.len() as u64 / 4 + 1) {
                return None;
            }
            open.extend(facets.iter().map(|facet| set.and(&facet.tight)).filter(|next| *next != set));
        }
        let mut compact: Vec<Bits> = seen.into_iter().filter(|set| !set.any_below(n)).collect();
        compact.sort_unstable();
        let mut faces = Vec::new();
        for set in compact {
            let members: Vec<usize> = (0..self.exponents.len()).filter(|k| set.contains(n + 1 + k)).collect();
            let around: Vec<usize> = (0..facets.len()).filter(|&f| set.is_within(&facets[f].tight)).collect();
            let mut weight = vec![BigInt::zero(); n];
            for &facet in &around {
                weight.iter_mut().zip(&facets[facet].weight).for_each(|(w, f)| *w += f);
            }
            if !work.spend((members.len() * n * n / 4 + facets.len() / 4) as u64) {
                return None;
            }
            let dimension = dimension(members.iter().map(|&k| &self.exponents[k]));
            faces.push(Face { members, weight, facets: around, dimension });
        }
        faces.sort_by_key(|face| face.dimension);
        Some(faces)
    }

    /// Returns the facets as extreme rays of the cone `{(w, s): w ≥ 0, s ≥ 0, α·w ≥ s}`, by double description. Returns
    /// `None` if there are too many.
    pub(super) fn facets(&self, work: &Work) -> Option<Vec<Facet>> {
        struct Ray {
            vector: Vec<BigInt>,
            tight: Bits,
        }
        let n = self.dimension;
        if n + 1 + self.exponents.len() > Bits::SIZE {
            return None;
        }
        let unit = |j: usize| Ray {
            vector: (0..=n).map(|i| BigInt::from(u8::from(i == j))).collect(),
            tight: (0..=n).filter(|&i| i != j).fold(Bits::default(), Bits::with),
        };
        let mut rays: Vec<Ray> = (0..=n).map(unit).collect();
        // Pure powers come first, because they cut most.
        let mut order: Vec<usize> = (0..self.exponents.len()).collect();
        order.sort_by_key(|&k| self.exponents[k].iter().filter(|e| **e > 0).count());
        for k in order {
            let (exponent, bit) = (&self.exponents[k], n + 1 + k);
            let height = |ray: &Ray| -> BigInt {
                let sum: BigInt = exponent.iter().zip(&ray.vector).map(|(&a, w)| w * a).sum();
                sum - &ray.vector[n]
            };
            let heights: Vec<BigInt> = rays.iter().map(height).collect();
            let mut made = Vec::new();
            for (i, above) in heights.iter().enumerate().filter(|(_, h)| h.is_positive()) {
                for (j, below) in heights.iter().enumerate().filter(|(_, h)| h.is_negative()) {
                    let shared = rays[i].tight.and(&rays[j].tight);
                    if shared.count() < n - 1 {
                        continue;
                    }
                    if !work.spend(rays.len() as u64 / 16 + 1) {
                        return None;
                    }
                    let blocked = |l: usize| l != i && l != j && shared.is_within(&rays[l].tight);
                    if (0..rays.len()).any(blocked) {
                        continue;
                    }
                    let mix = |(a, b): (&BigInt, &BigInt)| b * above - a * below;
                    let mut vector: Vec<BigInt> =
                        rays[i].vector.iter().zip(&rays[j].vector).map(mix).collect();
                    let divisor = vector.iter().fold(BigInt::zero(), |g, x| g.gcd(x));
                    vector.iter_mut().for_each(|x| *x /= &divisor);
                    made.push(Ray { vector, tight: shared.with(bit) });
                }
            }
            let mut heights = heights.into_iter();
            rays.retain_mut(|ray| {
                let height = heights.next().expect("one for each ray");
                if height.is_zero() {
                    ray.tight = ray.tight.with(bit);
                }
                !height.is_negative()
            });
            rays.extend(made);
            if rays.len() > FACETS {
                return None;
            }
        }
        rays.retain(|ray| ray.tight.any_from(n + 1));
        let facet = |ray: Ray| Facet { weight: ray.vector[..n].to_vec(), tight: ray.tight };
        Some(rays.into_iter().map(facet).collect())
    }
}

/// Returns λ, m and the facets that attain λ, for the orders of a function along the facets of its polyhedron.
///
/// ```text
/// λ = min_w τ·w / order(w),   m = the dimension of the space that the minimisers w span
/// ```
pub(super) fn smallest_pole(
    facets: &[Facet],
    tau: &[u32],
    order: impl Fn(&[BigInt]) -> BigInt,
) -> Option<(BigRational, u32, Vec<usize>)> {
    let pole = |facet: &Facet| {
        let order = order(&facet.weight);
        let weight: BigInt = facet.weight.iter().zip(tau).map(|(w, &t)| w * t).sum();
        order.is_positive().then(|| BigRational::new(weight, order))
    };
    let poles: Vec<Option<BigRational>> = facets.iter().map(pole).collect();
    let lambda = poles.iter().flatten().min()?.clone();
    let best: Vec<usize> = (0..facets.len()).filter(|&k| poles[k].as_ref() == Some(&lambda)).collect();
    let vector = |&k: &usize| facets[k].weight.iter().cloned().map(BigRational::from).collect();
    Some((lambda, rank(best.iter().map(vector).collect()) as u32, best))
}

/// Returns bounds of λ from a few weights: `Σ τ w / order(w)` for equal weights and for each variable alone.
pub(super) fn quick_bound(factors: &[(Polynomial, u32)], tau: &[u32]) -> BigRational {
    let order = |weight: &dyn Fn(&[u32]) -> u64| -> u64 {
        let least = |k: &Polynomial| k.terms.keys().map(|e| weight(e)).min().unwrap_or(0);
        factors.iter().map(|(k, e)| least(k) * u64::from(*e)).sum()
    };
    let total: u64 = tau.iter().map(|&t| u64::from(t)).sum();
    let mut bound = whole(total) / whole(order(&|e| e.iter().map(|&e| u64::from(e)).sum()).max(1));
    for (i, &t) in tau.iter().enumerate() {
        let order = order(&|e| u64::from(e[i]));
        if order > 0 {
            bound = bound.min(whole(t) / whole(order));
        }
    }
    bound
}

/// Returns the dimension of the affine hull of points.
pub(super) fn dimension<'a>(points: impl IntoIterator<Item = &'a Vec<u32>>) -> usize {
    let mut points = points.into_iter();
    let Some(first) = points.next() else { return 0 };
    rank(points.map(|e| e.iter().zip(first).map(|(&a, &b)| whole(a) - whole(b)).collect()).collect())
}

/// Returns the rank of a matrix.
pub(super) fn rank(mut rows: Vec<Vec<BigRational>>) -> usize {
    let columns = rows.first().map_or(0, Vec::len);
    let mut rank = 0;
    for column in 0..columns {
        let Some(pivot) = (rank..rows.len()).find(|&i| !rows[i][column].is_zero()) else { continue };
        rows.swap(rank, pivot);
        let (done, rest) = rows.split_at_mut(rank + 1);
        let top = &done[rank];
        for row in rest.iter_mut().filter(|row| !row[column].is_zero()) {
            let factor = &row[column] / &top[column];
            row.iter_mut().zip(top).for_each(|(x, t)| *x -= &factor * t);
        }
        rank += 1;
    }
    rank
}
