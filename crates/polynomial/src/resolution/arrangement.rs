//! λ and m of products of powers of linear forms, by the combinatorial formula for central arrangements.

use super::bits::Bits;
use super::found::{Found, Signs};
use crate::arithmetic::work::Work;
use crate::polynomial::Polynomial;
use num_rational::BigRational;
use num_traits::{One, Zero};
use std::collections::BTreeSet;

/// A hyperplane: its form, its exponent in K, and the exponent of the prior along it.
struct Hyperplane {
    form: Vec<BigRational>,
    exponent: u64,
    prior: u64,
}

/// An intersection of hyperplanes that is no transversal intersection of two larger ones.
struct Edge {
    members: Bits,
    rank: usize,
}

/// Returns λ and m of `Π |ℓ_i|^{e_i}` for linear forms ℓ_i, or `None` if a factor is no linear form or the work was spent.
///
/// ```text
/// λ = min over the irreducible intersections X of   (codim X + Σ_{i ⊇ X} h_i) / Σ_{i ⊇ X} e_i
/// m = the largest number of minimisers in a nested set
/// ```
///
/// The wonderful compactification blows up the irreducible intersections. Its divisors cross normally, and they meet if and
/// only if they form a nested set.
pub(super) fn arrangement(factors: &[(Polynomial, u32)], tau: &[u32], work: &Work) -> Option<Found> {
    let n = tau.len();
    let mut hyperplanes = Vec::new();
    for (factor, exponent) in factors {
        let mut form = vec![BigRational::zero(); n];
        for (e, c) in &factor.terms {
            if e.iter().sum::<u32>() != 1 {
                return None;
            }
            form[e.iter().position(|e| *e == 1)?] = c.clone();
        }
        hyperplanes.push(Hyperplane { form, exponent: u64::from(*exponent), prior: 0 });
    }
    for (i, &tau) in tau.iter().enumerate().filter(|(_, tau)| **tau > 1) {
        let form: Vec<BigRational> =
            (0..n).map(|j| if i == j { BigRational::one() } else { BigRational::zero() }).collect();
        match hyperplanes.iter_mut().find(|h| h.form == form) {
            Some(known) => known.prior = u64::from(tau) - 1,
            None => hyperplanes.push(Hyperplane { form, exponent: 0, prior: u64::from(tau) - 1 }),
        }
    }
    if hyperplanes.len() > Bits::SIZE {
        return None;
    }
    let edges = edges(&hyperplanes, work)?;
    let ratio = |edge: &Edge| {
        let of = |value: fn(&Hyperplane) -> u64| -> u64 {
            (0..hyperplanes.len()).filter(|&i| edge.members.contains(i)).map(|i| value(&hyperplanes[i])).sum()
        };
        let order = of(|h| h.exponent);
        (order > 0).then(|| BigRational::new((edge.rank as u64 + of(|h| h.prior)).into(), order.into()))
    };
    let lambda = edges.iter().filter_map(ratio).min()?;
    let best: Vec<&Edge> = edges.iter().filter(|edge| ratio(edge).as_ref() == Some(&lambda)).collect();
    let nested = Nested { hyperplanes: &hyperplanes, best: &best, work };
    let multiplicity = nested.largest(&mut Vec::new(), 0)?;
    let odd = factors.iter().any(|(_, e)| e % 2 == 1);
    Some(Found::certain(lambda, multiplicity as u32, if odd { Signs::Both } else { Signs::Positive }))
}

/// Reduced rows with their leading places.
type Rows = Vec<(usize, Vec<BigRational>)>;

/// Subtracts rows so that the form is zero at their leading places.
fn reduced(rows: &Rows, form: &[BigRational]) -> Vec<BigRational> {
    let mut form = form.to_vec();
    for (lead, row) in rows {
        if !form[*lead].is_zero() {
            let factor = form[*lead].clone();
            form.iter_mut().zip(row).for_each(|(x, r)| *x -= &factor * r);
        }
    }
    form
}

/// Adds a form to the rows. Returns false if it is in their span.
fn extend(rows: &mut Rows, form: &[BigRational]) -> bool {
    let mut form = reduced(rows, form);
    let Some(lead) = form.iter().position(|x| !x.is_zero()) else { return false };
    let scale = form[lead].recip();
    form.iter_mut().for_each(|x| *x *= &scale);
    rows.push((lead, form));
    true
}

/// Returns the set of all hyperplanes whose forms lie in the span of some of them, and the rank of the span.
fn closure(hyperplanes: &[Hyperplane], of: &[usize], work: &Work) -> (Bits, usize) {
    let mut rows = Rows::new();
    for &i in of {
        extend(&mut rows, &hyperplanes[i].form);
    }
    work.spend((hyperplanes.len() * rows.len()) as u64 * 2);
    let inside = |i: &usize| reduced(&rows, &hyperplanes[*i].form).iter().all(Zero::is_zero);
    ((0..hyperplanes.len()).filter(inside).fold(Bits::default(), Bits::with), rows.len())
}

/// Returns all irreducible intersections, or `None` if the work was spent.
fn edges(hyperplanes: &[Hyperplane], work: &Work) -> Option<Vec<Edge>> {
    let mut out = Vec::new();
    let mut level: BTreeSet<Bits> = (0..hyperplanes.len()).map(|i| Bits::default().with(i)).collect();
    while !level.is_empty() {
        let mut next = BTreeSet::new();
        for set in level {
            let members: Vec<usize> = (0..hyperplanes.len()).filter(|&i| set.contains(i)).collect();
            let (_, rank) = closure(hyperplanes, &members, work);
            for i in (0..hyperplanes.len()).filter(|&i| !set.contains(i)) {
                let mut more = members.clone();
                more.push(i);
                next.insert(closure(hyperplanes, &more, work).0);
                if work.is_spent() {
                    return None;
                }
            }
            if is_irreducible(hyperplanes, &members) {
                out.push(Edge { members: set, rank });
            }
        }
        level = next;
    }
    Some(out)
}

/// Returns true if forms cannot be divided into two groups whose spans meet only in zero.
fn is_irreducible(hyperplanes: &[Hyperplane], members: &[usize]) -> bool {
    // Each form outside a basis joins the basis forms that it needs.
    let mut basis: Vec<usize> = Vec::new();
    let mut rows = Rows::new();
    let mut others = Vec::new();
    for &i in members {
        if extend(&mut rows, &hyperplanes[i].form) { basis.push(i) } else { others.push(i) }
    }
    let mut group: Vec<usize> = (0..basis.len()).collect();
    for i in others {
        // A basis form is needed if the others alone do not span this form.
        let needed: Vec<usize> = (0..basis.len())
            .filter(|&skip| {
                let mut rows = Rows::new();
                for (k, &b) in basis.iter().enumerate() {
                    if k != skip {
                        extend(&mut rows, &hyperplanes[b].form);
                    }
                }
                !reduced(&rows, &hyperplanes[i].form).iter().all(Zero::is_zero)
            })
            .collect();
        let joined: Vec<usize> = needed.iter().map(|&k| group[k]).collect();
        group.iter_mut().filter(|g| joined.contains(g)).for_each(|g| *g = joined[0]);
    }
    group.iter().all(|g| *g == group[0])
}

/// The search for the largest nested set among the minimisers.
struct Nested<'a> {
    hyperplanes: &'a [Hyperplane],
    best: &'a [&'a Edge],
    work: &'a Work,
}

impl Nested<'_> {
    /// Returns the size of the largest nested set that contains `chosen` and others from `start` on.
    fn largest(&self, chosen: &mut Vec<usize>, start: usize) -> Option<usize> {
        let mut most = chosen.len();
        for next in start..self.best.len() {
            if !self.work.spend(16) {
                return None;
            }
            if self.fits(chosen, next)? {
                chosen.push(next);
                most = most.max(self.largest(chosen, next + 1)?);
                chosen.pop();
            }
        }
        Some(most)
    }

    /// Returns true if every set of two or more incomparable members that contains `next` spans a reducible intersection.
    fn fits(&self, chosen: &[usize], next: usize) -> Option<bool> {
        let edge = |k: usize| self.best[k].members;
        let comparable = |a: usize, b: usize| edge(a).is_within(&edge(b)) || edge(b).is_within(&edge(a));
        let apart: Vec<usize> = chosen.iter().copied().filter(|&k| !comparable(k, next)).collect();
        for set in 1u64..1 << apart.len().min(16) {
            let mut group: Vec<usize> =
                (0..apart.len().min(16)).filter(|k| set >> k & 1 == 1).map(|k| apart[k]).collect();
            group.push(next);
            if !self.work.spend(8) {
                return None;
            }
            let antichain = (0..group.len()).all(|i| (0..i).all(|j| !comparable(group[i], group[j])));
            if !antichain {
                continue;
            }
            let forms: Vec<usize> =
                (0..self.hyperplanes.len()).filter(|&i| group.iter().any(|&k| edge(k).contains(i))).collect();
            let (joined, _) = closure(self.hyperplanes, &forms, self.work);
            let members: Vec<usize> = (0..self.hyperplanes.len()).filter(|&i| joined.contains(i)).collect();
            if is_irreducible(self.hyperplanes, &members) {
                return Some(false);
            }
        }
        Some(true)
    }
}
