//! The Newton polyhedron, its value for λ, and its compact faces.

use crate::arithmetic::simplex::{Solution, maximise};
use crate::polynomial::Polynomial;
use crate::rational::whole;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};
use std::collections::HashSet;

/// The largest number of constraints of a double description, with one bit each.
const CONSTRAINTS: usize = 128;
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

/// A compact face.
pub(super) struct Face {
    /// Positions in [`Newton::exponents`].
    pub(super) members: Vec<usize>,
    /// A positive weight whose minimum is attained exactly on this face.
    pub(super) weight: Vec<BigInt>,
    /// The dimension of the face.
    pub(super) dimension: usize,
}

struct Ray {
    vector: Vec<BigInt>,
    tight: u128,
}

impl Newton {
    pub(super) fn of(polynomial: &Polynomial) -> Self {
        let all: Vec<&Vec<u32>> = polynomial.terms.keys().collect();
        let above = |a: &[u32], b: &[u32]| a != b && a.iter().zip(b).all(|(a, b)| a >= b);
        let lowest = all.iter().filter(|a| !all.iter().any(|b| above(a, b)));
        Self { exponents: lowest.map(|e| e.to_vec()).collect(), dimension: polynomial.variables.len() }
    }

    /// Returns λ and m of the sum of the monomials under a prior with the exponents `tau − 1`.
    ///
    /// ```text
    /// λ = max { Σ y : Σ_α y_α α ≤ τ, y ≥ 0 },   m = the codimension of the face whose interior contains τ/λ
    /// ```
    pub(super) fn coefficient(&self, tau: &[u32]) -> (BigRational, u32) {
        let n = self.dimension;
        let column = |i: usize| self.exponents.iter().map(move |e| whole(e[i]));
        let rows: Vec<Vec<BigRational>> = (0..n).map(|i| column(i).collect()).collect();
        let tau: Vec<BigRational> = tau.iter().map(|&t| whole(t)).collect();
        let ones = vec![BigRational::one(); self.exponents.len()];
        let Solution::Optimal { value: lambda, .. } = maximise(&ones, &rows, &tau) else {
            unreachable!("zero is feasible, and every exponent has a positive entry");
        };
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
            let constant = if i < n { &tau[i] / &lambda } else { BigRational::one() };
            equations.push(row.iter().map(|a| -a).collect());
            constants.push(-&constant);
            equations.push(row);
            constants.push(constant);
        }
        let mut wanted = vec![BigRational::one(); generators];
        loop {
            let Solution::Optimal { value, point } = maximise(&wanted, &equations, &constants) else {
                unreachable!("τ/λ lies in the polyhedron, and all weights are bounded");
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
        (lambda, (n - dimension) as u32)
    }

    /// Returns the compact faces, vertices first, or `None` if there are too many.
    pub(super) fn compact_faces(&self) -> Option<Vec<Face>> {
        let n = self.dimension;
        let facets = self.facets()?;
        let points = u128::MAX << (n + 1);
        let mut seen: HashSet<u128> = HashSet::new();
        let mut open: Vec<u128> = facets.iter().map(|facet| facet.tight).collect();
        while let Some(set) = open.pop() {
            if set & points == 0 || !seen.insert(set) {
                continue;
            }
            if seen.len() > FACES {
                return None;
            }
            open.extend(facets.iter().map(|facet| set & facet.tight).filter(|next| *next != set));
        }
        let directions = (1u128 << n) - 1;
        let mut compact: Vec<u128> = seen.into_iter().filter(|set| set & directions == 0).collect();
        compact.sort_unstable();
        let face = |set: u128| {
            let members: Vec<usize> =
                (0..self.exponents.len()).filter(|k| set >> (n + 1 + k) & 1 == 1).collect();
            let mut weight = vec![BigInt::zero(); n];
            for facet in facets.iter().filter(|facet| facet.tight & set == set) {
                weight.iter_mut().zip(&facet.vector).for_each(|(w, f)| *w += f);
            }
            let first = &self.exponents[members[0]];
            let difference = |&k: &usize| -> Vec<BigRational> {
                self.exponents[k].iter().zip(first).map(|(&a, &b)| whole(a) - whole(b)).collect()
            };
            let dimension = rank(members.iter().map(difference).collect());
            Face { members, weight, dimension }
        };
        let mut faces: Vec<Face> = compact.into_iter().map(face).collect();
        faces.sort_by_key(|face| face.dimension);
        Some(faces)
    }

    /// Returns the facets as extreme rays of the cone `{(w, s): w ≥ 0, s ≥ 0, α·w ≥ s}`, by double description.
    ///
    /// Bit i of `tight` means `w_i = 0`, bit n means `s = 0`, and the higher bits belong to the exponents.
    fn facets(&self) -> Option<Vec<Ray>> {
        let n = self.dimension;
        if n + 1 + self.exponents.len() > CONSTRAINTS {
            return None;
        }
        let start = (1u128 << (n + 1)) - 1;
        let unit = |j: usize| Ray {
            vector: (0..=n).map(|i| BigInt::from(u8::from(i == j))).collect(),
            tight: start & !(1 << j),
        };
        let mut rays: Vec<Ray> = (0..=n).map(unit).collect();
        for (k, exponent) in self.exponents.iter().enumerate() {
            let bit = 1u128 << (n + 1 + k);
            let height = |ray: &Ray| -> BigInt {
                let sum: BigInt = exponent.iter().zip(&ray.vector).map(|(&a, w)| w * a).sum();
                sum - &ray.vector[n]
            };
            let heights: Vec<BigInt> = rays.iter().map(height).collect();
            let mut made = Vec::new();
            for (i, above) in heights.iter().enumerate().filter(|(_, h)| h.is_positive()) {
                for (j, below) in heights.iter().enumerate().filter(|(_, h)| h.is_negative()) {
                    let shared = rays[i].tight & rays[j].tight;
                    if (shared.count_ones() as usize) < n - 1 {
                        continue;
                    }
                    let blocked = |l: usize| l != i && l != j && rays[l].tight & shared == shared;
                    if (0..rays.len()).any(blocked) {
                        continue;
                    }
                    let mix = |(a, b): (&BigInt, &BigInt)| b * above - a * below;
                    let mut vector: Vec<BigInt> =
                        rays[i].vector.iter().zip(&rays[j].vector).map(mix).collect();
                    let divisor = vector.iter().fold(BigInt::zero(), |g, x| g.gcd(x));
                    vector.iter_mut().for_each(|x| *x /= &divisor);
                    made.push(Ray { vector, tight: shared | bit });
                }
            }
            let mut heights = heights.into_iter();
            rays.retain_mut(|ray| {
                let height = heights.next().expect("one for each ray");
                if height.is_zero() {
                    ray.tight |= bit;
                }
                !height.is_negative()
            });
            rays.extend(made);
            if rays.len() > FACETS {
                return None;
            }
        }
        rays.retain(|ray| ray.tight >> (n + 1) != 0);
        Some(rays)
    }
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
