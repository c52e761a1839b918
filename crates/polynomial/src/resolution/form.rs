//! Products of powers in a normal form.

use super::linear::linear_factors;
use super::power;
use crate::arithmetic::work::Work;
use crate::polynomial::{Polynomial, Terms};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::Signed;
use std::rc::Rc;

/// A product of powers near the origin, up to a factor that is positive there.
///
/// Every factor vanishes at the origin, is no power of another polynomial, is a single variable or no multiple of one, and
/// has first coefficient 1. No factor occurs twice.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) factors: Vec<(Polynomial, u32)>,
    /// True if the factor that was left out is negative.
    pub(super) negative: bool,
}

impl Form {
    /// Brings a product into its normal form. No factor may be zero.
    pub(super) fn new(
        product: impl IntoIterator<Item = (Polynomial, u32)>,
        negative: bool,
        work: &Rc<Work>,
    ) -> Self {
        let mut out = Self { factors: Vec::new(), negative };
        for (factor, exponent) in product {
            out.add(factor, exponent, work);
        }
        out
    }

    /// Brings a single polynomial into its normal form.
    pub(super) fn of(k: &Polynomial, work: &Rc<Work>) -> Self {
        Self::new([(k.clone(), 1)], false, work)
    }

    fn add(&mut self, factor: Polynomial, exponent: u32, work: &Rc<Work>) {
        let n = factor.variables.len();
        let low: Vec<u32> = (0..n).map(|i| factor.terms.keys().map(|e| e[i]).min().unwrap_or(0)).collect();
        for (i, &order) in low.iter().enumerate().filter(|(_, order)| **order > 0) {
            self.push(Polynomial::variable(&factor.variables, i), exponent * order);
        }
        let divided = |(e, c): (&Vec<u32>, &BigRational)| {
            (e.iter().zip(&low).map(|(e, l)| e - l).collect::<Vec<u32>>(), c.clone())
        };
        let rest = Polynomial::of(factor.variables.clone(), factor.terms.iter().map(divided).collect());
        let (root, power, constant) = power::root(&rest, work);
        let value = rest.terms.get(&vec![0; n]);
        // Near the origin a factor without a zero there has the sign of its value.
        self.negative ^= value.unwrap_or(&constant).is_negative() && exponent % 2 == 1;
        if value.is_some() {
            return;
        }
        let (forms, rest) = linear_factors(&root, work);
        if forms.is_empty() {
            self.push(root, exponent * power);
            return;
        }
        // The factors of the root have signs of their own, so each is brought into its normal form.
        for factor in forms.into_iter().chain([rest]) {
            self.add(factor, exponent * power, work);
        }
    }

    fn push(&mut self, factor: Polynomial, exponent: u32) {
        match self.factors.iter_mut().find(|(known, _)| known.terms == factor.terms) {
            Some((_, known)) => *known += exponent,
            None => self.factors.push((factor, exponent)),
        }
    }

    /// Returns the greatest common divisor of the exponents.
    pub(super) fn common_exponent(&self) -> u32 {
        self.factors.iter().fold(0, |g, (_, e)| g.gcd(e))
    }

    /// Divides the factors into groups that share no variable.
    pub(super) fn groups(self) -> Vec<Vec<(Polynomial, u32)>> {
        let mut groups: Vec<(Vec<bool>, Vec<(Polynomial, u32)>)> = Vec::new();
        for (factor, exponent) in self.factors {
            let mut uses = occurring(&factor);
            let mut members = vec![(factor, exponent)];
            let (joined, others) = groups
                .into_iter()
                .partition(|(used, _): &(Vec<bool>, _)| used.iter().zip(&uses).any(|(a, b)| *a && *b));
            groups = others;
            for (used, more) in joined {
                uses.iter_mut().zip(used).for_each(|(a, b)| *a |= b);
                members.extend(more);
            }
            groups.push((uses, members));
        }
        groups.into_iter().map(|(_, members)| members).collect()
    }
}

/// Returns, for each variable, whether it occurs.
fn occurring(k: &Polynomial) -> Vec<bool> {
    (0..k.variables.len()).map(|i| k.terms.keys().any(|e| e[i] > 0)).collect()
}

/// Removes the variables that occur in no factor.
pub(super) fn restricted(factors: &[(Polynomial, u32)], tau: &[u32]) -> (Vec<(Polynomial, u32)>, Vec<u32>) {
    let used: Vec<usize> =
        (0..tau.len()).filter(|&i| factors.iter().any(|(k, _)| k.terms.keys().any(|e| e[i] > 0))).collect();
    let keep = |e: &Vec<u32>| used.iter().map(|&i| e[i]).collect::<Vec<u32>>();
    let smaller = |(k, exponent): &(Polynomial, u32)| {
        let variables = used.iter().map(|&i| k.variables[i].clone()).collect();
        let terms: Terms = k.terms.iter().map(|(e, c)| (keep(e), c.clone())).collect();
        (Polynomial::of(variables, terms), *exponent)
    };
    (factors.iter().map(smaller).collect(), used.iter().map(|&i| tau[i]).collect())
}
