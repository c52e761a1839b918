//! Divides polynomials into sums and products over disjoint variables.

use crate::arithmetic::work::Work;
use crate::polynomial::{Polynomial, Terms};
use num_traits::Zero;
use std::collections::BTreeMap;

/// Splits K into a sum over groups of variables that share no term.
pub(super) fn disjoint_sums(k: &Polynomial) -> Vec<Polynomial> {
    let n = k.variables.len();
    let mut group: Vec<usize> = (0..n).collect();
    for e in k.terms.keys() {
        let joined: Vec<usize> = (0..n).filter(|&i| e[i] > 0).map(|i| group[i]).collect();
        if let Some(&first) = joined.first() {
            group.iter_mut().filter(|g| joined.contains(g)).for_each(|g| *g = first);
        }
    }
    let mut parts: BTreeMap<usize, Terms> = BTreeMap::new();
    for (e, c) in &k.terms {
        let key = (0..n).find(|&i| e[i] > 0).map_or(n, |i| group[i]);
        parts.entry(key).or_default().insert(e.clone(), c.clone());
    }
    parts.into_values().map(|terms| Polynomial::of(k.variables.clone(), terms)).collect()
}

/// Splits K into two factors over disjoint groups of variables, if there are such factors.
pub(super) fn disjoint_product(k: &Polynomial, work: &Work) -> Option<[Polynomial; 2]> {
    let n = k.variables.len();
    let (lead, c) = k.terms.first_key_value()?;
    let slice = |keep: &dyn Fn(usize) -> bool| {
        // Keeps the terms whose other exponents are those of the lead.
        let belongs = |e: &&Vec<u32>| (0..n).all(|i| keep(i) || e[i] == lead[i]);
        let part = |e: &Vec<u32>| (0..n).map(|i| if keep(i) { e[i] } else { 0 }).collect::<Vec<u32>>();
        let terms = k.terms.iter().filter(|(e, _)| belongs(e)).map(|(e, c)| (part(e), c.clone())).collect();
        Polynomial::of(k.variables.clone(), terms)
    };
    // The last variable is always in the second group. For more than ten variables, only single variables are tried.
    let groups: Vec<u32> =
        if n <= 10 { (1..1 << (n - 1)).collect() } else { (0..n).map(|i| 1 << i).collect() };
    groups.into_iter().find_map(|group| {
        if !work.spend(k.terms.len() as u64 / 8 + 1) {
            return None;
        }
        let first = slice(&|i| group >> i & 1 == 1);
        let second = slice(&|i| group >> i & 1 == 0);
        if first.terms.len() * second.terms.len() != k.terms.len() {
            return None;
        }
        let second = second.scaled(&c.recip());
        let product = first.times(&second).ok()?;
        let constant =
            |k: &Polynomial| k.degree() == 0 || k.terms.is_empty() || k.variables.iter().len().is_zero();
        (product.terms == k.terms && !constant(&first) && !constant(&second)).then_some([first, second])
    })
}
