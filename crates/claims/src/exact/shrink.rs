//! Making a counterexample smaller: dimensions first, then number by number.

use super::search::{Judged, Search, violates};
use crate::context::Context;
use collimate_stream::RngStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The number of seeds tried at each candidate for the dimensions.
const SEEDS: u64 = 48;
/// The number of panics that end the search, because each prints a message.
const PANICS: u64 = 24;
/// The largest number of smaller dimensions that are all tried, smallest first.
const EXHAUSTIVE: u64 = 2_000;

/// Returns the smallest violation found, and the number of accepted steps that led to it.
pub(super) fn shrink(claim: &Search, violation: Judged, budget: u64, context: &Context) -> (Judged, u64) {
    let base = context.named_stream("shrink");
    context.progress(0, budget, "shrinking");
    let mut work =
        Work { claim, context, left: budget, steps: 0, best: violation, seeds: base, drawn: 0, panics: 0 };
    work.dimensions();
    if claim.admits.is_some() {
        work.numbers();
    }
    (work.best, work.steps)
}

struct Work<'a> {
    claim: &'a Search,
    context: &'a Context,
    left: u64,
    steps: u64,
    best: Judged,
    seeds: RngStream,
    drawn: u64,
    panics: u64,
}

impl Work<'_> {
    /// Takes one evaluation from the budget. Returns false if none is left.
    fn spend(&mut self) -> bool {
        if self.left == 0 || self.context.interrupted() {
            return false;
        }
        self.left -= 1;
        true
    }

    /// Returns the violation that an evaluation finds. A panic counts as no violation.
    fn violation(&mut self, evaluate: impl FnOnce(&Search) -> Option<Judged>) -> Option<Judged> {
        let claim = self.claim;
        let judged = catch_unwind(AssertUnwindSafe(|| evaluate(claim))).unwrap_or_else(|_| {
            self.panics += 1;
            None
        });
        if self.panics >= PANICS {
            self.left = 0;
        }
        judged.filter(|next| violates(next.margin))
    }

    /// Tries several seeds at these dimensions, and returns true if one gives a violation.
    fn try_dims(&mut self, dims: &[usize]) -> bool {
        for _ in 0..SEEDS {
            if !self.spend() {
                return false;
            }
            self.drawn += 1;
            let panics = self.panics;
            let mut stream = self.seeds.child(self.drawn);
            if let Some(next) = self.violation(|claim| claim.judge_at(dims.to_vec(), &mut stream)) {
                self.best = next;
                self.steps += 1;
                return true;
            }
            if self.panics > panics {
                return false;
            }
        }
        false
    }

    /// Makes the dimensions smaller.
    fn dimensions(&mut self) {
        let low: Vec<usize> = self.claim.dims.iter().map(|(_, range)| *range.start()).collect();
        // Large dimensions are lowered by halving the distance; half of the budget is kept for the numbers.
        let reserve = self.left / 2;
        let mut improved = true;
        while improved && self.left > reserve {
            improved = false;
            for i in 0..low.len() {
                let now = self.best.dims[i];
                let mut gap = now - low[i];
                while gap > 0 && self.left > reserve {
                    let mut dims = self.best.dims.clone();
                    dims[i] = now - gap;
                    if self.try_dims(&dims) {
                        improved = true;
                        break;
                    }
                    gap /= 2;
                }
            }
        }
        // Lowering one dimension at a time can fail where two must change together. Try all smaller dimensions if they are few.
        let spans: Vec<u64> = low.iter().zip(&self.best.dims).map(|(l, d)| (d - l + 1) as u64).collect();
        let total = spans.iter().try_fold(1u64, |product, &span| product.checked_mul(span));
        if total.is_some_and(|total| total <= EXHAUSTIVE) {
            let mut candidates = boxed(&low, &self.best.dims);
            candidates.sort_by_key(|dims| (dims.iter().sum::<usize>(), dims.clone()));
            let target: usize = self.best.dims.iter().sum();
            for dims in candidates.into_iter().filter(|dims| dims.iter().sum::<usize>() < target) {
                if self.left <= reserve || self.try_dims(&dims) {
                    break;
                }
            }
        }
    }

    /// Tries other numbers in the current shape, and returns true if they give a violation.
    fn try_numbers(&mut self, numbers: &[f64]) -> bool {
        let Some(input) = self.best.input.with_coordinates(numbers) else { return false };
        if !self.spend() {
            return false;
        }
        let dims = self.best.dims.clone();
        let Some(next) = self.violation(|claim| claim.judge(input, dims)) else { return false };
        self.best = next;
        self.steps += 1;
        true
    }

    /// Makes the numbers simpler.
    fn numbers(&mut self) {
        let count = self.best.input.coordinates().len();
        // Whole blocks are set to zero first, which is cheap if most numbers do not matter.
        let mut block = count;
        while block > 1 {
            for from in (0..count).step_by(block) {
                let mut numbers = self.best.input.coordinates();
                let part = &mut numbers[from..(from + block).min(count)];
                if part.iter().any(|&x| x != 0.0) {
                    part.fill(0.0);
                    self.try_numbers(&numbers);
                }
            }
            block /= 2;
        }
        loop {
            let before = self.steps;
            for i in 0..count {
                let numbers = self.best.input.coordinates();
                for simpler in simpler(numbers[i]) {
                    let mut numbers = numbers.clone();
                    numbers[i] = simpler;
                    if self.try_numbers(&numbers) {
                        break;
                    }
                }
            }
            if self.steps == before || self.left == 0 {
                return;
            }
        }
    }
}

/// Returns all dimensions between two corners of a box.
fn boxed(low: &[usize], high: &[usize]) -> Vec<Vec<usize>> {
    low.iter().zip(high).fold(vec![Vec::new()], |all, (&l, &h)| {
        let grow = |dims: &Vec<usize>| (l..=h).map(|d| [dims.as_slice(), &[d]].concat()).collect::<Vec<_>>();
        all.iter().flat_map(grow).collect()
    })
}

/// Returns numbers that are simpler than `x`, simplest first.
fn simpler(x: f64) -> Vec<f64> {
    let mut out = vec![0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0];
    if x.is_finite() {
        let halves = (2.0 * x).round() / 2.0;
        out.extend([x.round(), halves, x.trunc(), x.trunc() + x.signum()]);
        // Large integers are halved.
        if x.abs() > 2.0 {
            out.extend([(x / 2.0).round(), x.trunc() - x.signum()]);
        }
        for digits in 1..=6 {
            let scale = 10f64.powi(digits);
            out.push((x * scale).round() / scale);
        }
    }
    let own = complexity(x);
    out.retain(|&y| complexity(y) < own);
    out.sort_by_key(|&y| complexity(y));
    out.dedup();
    out
}

/// Returns the key that orders numbers: 0 first, then ±1, ±½, ±2, integers by size, halves by size, then by written length.
fn complexity(x: f64) -> (u8, u64, bool) {
    let sign = x < 0.0;
    let class = match x.abs() {
        _ if !x.is_finite() => 8,
        0.0 => 0,
        1.0 => 1,
        0.5 => 2,
        2.0 => 3,
        a if a.fract() == 0.0 => 4,
        a if (2.0 * a).fract() == 0.0 => 5,
        _ => 6,
    };
    let size = match class {
        4 | 5 => (2.0 * x.abs()).min(1e18) as u64,
        6 => x.abs().to_string().len() as u64,
        _ => 0,
    };
    (class, size, sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simpler_numbers_are_sorted_and_every_chain_ends() {
        assert!(simpler(0.0).is_empty());
        assert_eq!(simpler(1.0), [0.0]);
        assert_eq!(simpler(-1.0), [0.0, 1.0]);
        let of = simpler(2.6583);
        assert_eq!(of[0], 0.0);
        assert!(of.contains(&3.0) && of.contains(&2.5) && of.contains(&2.7));
        // Every chain of simplifications ends, because the key strictly decreases.
        let mut x = 123.456;
        let mut length = 0;
        while let Some(&next) = simpler(x).last() {
            x = next;
            length += 1;
        }
        assert!(length < 300, "{length}");
    }

    #[test]
    fn a_box_lists_all_dimensions_between_its_corners() {
        assert_eq!(boxed(&[1, 2], &[2, 3]), [[1, 2], [1, 3], [2, 2], [2, 3]]);
        assert_eq!(boxed(&[], &[]), [Vec::<usize>::new()]);
    }
}
