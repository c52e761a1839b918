//! Making a counterexample smaller: dimensions, deletion of entries, and simpler numbers, one by one and several together.

use super::erased::Input;
use super::judged::Judged;
use super::quiet::quietly;
use super::search::Search;
use super::simpler::{between, simpler, weight};
use super::watch::Watch;
use crate::context::Context;
use collimate_stream::RngStream;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The number of seeds tried at each candidate for the dimensions.
const SEEDS: u64 = 48;
/// The largest number of smaller dimensions that are all tried, smallest first.
const EXHAUSTIVE: u64 = 2_000;
/// The number of draws that show the shapes which the generator makes at some dimensions.
const SHAPES: u64 = 512;
/// The number of draws after which a single shape counts as the only one.
const FIRST_SHAPES: u64 = 16;
/// The largest number of numbers of which all pairs change together.
const PAIRED: usize = 32;
/// The largest number of positions at which entries are deleted.
const POSITIONS: usize = 256;

/// The smallest violation found, with the number of accepted steps that led to it.
pub(super) struct Shrunk {
    pub(super) smallest: Judged,
    pub(super) steps: u64,
}

/// Makes an input that fails smaller. The result fails in the same way: it violates, or it panics.
///
/// # Errors
/// The difference in words, if an evaluation of one input gives another result at the second look.
pub(super) fn shrink(
    claim: &Search,
    watch: &Watch,
    failure: Judged,
    budget: u64,
    context: &Context,
) -> Result<Shrunk, String> {
    context.progress(0, budget, "shrinking");
    quietly(|| {
        if let Some(difference) = claim.second_look(watch, &failure) {
            return Err(difference);
        }
        watch.keep(&failure, 0);
        let mut work = Work {
            claim,
            watch,
            context,
            left: budget.saturating_sub(1),
            steps: 0,
            best: failure,
            seeds: context.named_stream("shrink"),
            drawn: 0,
            shapes: BTreeMap::new(),
            unstable: None,
        };
        work.dimensions();
        if claim.admits.is_some() {
            loop {
                let before = work.steps;
                work.numbers();
                work.deletions();
                if work.steps == before || work.left == 0 {
                    break;
                }
            }
        }
        match work.unstable {
            Some(difference) => Err(difference),
            None => Ok(Shrunk { smallest: work.best, steps: work.steps }),
        }
    })
}

struct Work<'a> {
    claim: &'a Search,
    watch: &'a Watch,
    context: &'a Context,
    left: u64,
    steps: u64,
    best: Judged,
    seeds: RngStream,
    drawn: u64,
    /// The different shapes that the generator makes at some dimensions, smallest first.
    shapes: BTreeMap<Vec<usize>, Vec<Input>>,
    /// The difference between two evaluations of one input.
    unstable: Option<String>,
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

    /// Returns the next stream of draws.
    fn stream(&mut self) -> RngStream {
        self.drawn += 1;
        self.seeds.child(self.drawn)
    }

    /// Draws an input at these dimensions. A panic of the generator counts as a rejected draw.
    fn draw(&mut self, dims: &[usize]) -> Option<Input> {
        let mut stream = self.stream();
        let draw = || self.claim.draw_at(self.watch, dims, &mut stream);
        catch_unwind(AssertUnwindSafe(draw)).ok().flatten()
    }

    /// Judges a candidate, and returns true if it becomes the smallest failure.
    fn attempt(&mut self, input: Input, dims: &[usize]) -> bool {
        if !self.spend() {
            return false;
        }
        let next = self.claim.judge(self.watch, input, dims.to_vec());
        let Some(next) = next.filter(|next| next.fails_like(&self.best)) else { return false };
        self.left = self.left.saturating_sub(1);
        if let Some(difference) = self.claim.second_look(self.watch, &next) {
            (self.unstable, self.left) = (Some(difference), 0);
            return false;
        }
        self.best = next;
        self.steps += 1;
        self.watch.keep(&self.best, self.steps);
        true
    }

    /// Tries the entries of the smallest failure that fit these dimensions, and then several seeds. Returns true if one fails.
    fn try_dims(&mut self, dims: &[usize]) -> bool {
        if self.claim.admits.is_some()
            && let Some(shape) = self.draw(dims)
        {
            for at in [usize::MAX, 0] {
                let cut = self.best.input.cut(&shape, at);
                if cut.is_some_and(|input| self.attempt(input, dims)) {
                    return true;
                }
            }
        }
        for _ in 0..SEEDS {
            // A rejected draw costs its evaluation too.
            let found = match self.draw(dims) {
                Some(input) => self.attempt(input, dims),
                None => {
                    self.spend();
                    false
                }
            };
            if found || self.left == 0 {
                return found;
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

    /// Returns the different shapes that the generator makes at these dimensions, smallest first.
    fn shapes_at(&mut self, dims: &[usize]) -> Vec<Input> {
        if let Some(known) = self.shapes.get(dims) {
            return known.clone();
        }
        let mut found: BTreeMap<Vec<usize>, Input> = BTreeMap::new();
        for draw in 0..SHAPES {
            if draw == FIRST_SHAPES && found.len() <= 1 {
                break;
            }
            if let Some(input) = self.draw(dims) {
                found.entry(input.lengths()).or_insert(input);
            }
        }
        let mut shapes: Vec<Input> = found.into_values().collect();
        shapes.sort_by_key(|input| input.lengths().iter().sum::<usize>());
        self.shapes.insert(dims.to_vec(), shapes.clone());
        shapes
    }

    /// Deletes entries at every place where `shape` is smaller. Returns true if an input fails.
    fn cut_to(&mut self, shape: &Input, dims: &[usize], positions: usize) -> bool {
        let size = |input: &Input| input.lengths().iter().sum::<usize>();
        let longest = self.best.input.lengths().into_iter().max().unwrap_or(0);
        if size(shape) == size(&self.best.input) && dims == self.best.dims {
            return false;
        }
        let step = longest.div_ceil(positions).max(1);
        for at in (0..=longest).step_by(step) {
            let Some(input) = self.best.input.cut(shape, at) else { return false };
            let shorter = size(&input) < size(&self.best.input);
            if (shorter || at == 0) && self.attempt(input, dims) {
                return true;
            }
            if !shorter || self.left == 0 {
                return false;
            }
        }
        false
    }

    /// Deletes entries: by lower dimensions, and within the shapes that the generator makes at the present ones.
    fn deletions(&mut self) {
        let low: Vec<usize> = self.claim.dims.iter().map(|(_, range)| *range.start()).collect();
        for i in 0..low.len() {
            // Many entries first, then fewer.
            let mut gap = self.best.dims[i] - low[i];
            while gap > 0 && self.left > 0 {
                if gap > self.best.dims[i] - low[i] {
                    gap = self.best.dims[i] - low[i];
                    continue;
                }
                let mut dims = self.best.dims.clone();
                dims[i] -= gap;
                let shape = self.draw(&dims);
                if !shape.is_some_and(|shape| self.cut_to(&shape, &dims, POSITIONS)) {
                    gap /= 2;
                }
            }
        }
        loop {
            let dims = self.best.dims.clone();
            let size = |input: &Input| input.lengths().iter().sum::<usize>();
            let mut smaller = self.shapes_at(&dims);
            smaller.retain(|shape| size(shape) < size(&self.best.input));
            // The smallest shapes at a few places, then the nearest ones at every place.
            let nearest: Vec<Input> = smaller.iter().rev().take(8).cloned().collect();
            let few = smaller.iter().take(PAIRED).map(|shape| (shape, 3));
            let all = nearest.iter().map(|shape| (shape, POSITIONS));
            let found = few.chain(all).any(|(shape, positions)| self.cut_to(shape, &dims, positions));
            if !found || self.left == 0 {
                return;
            }
        }
    }

    /// Tries other numbers in the current shape, and returns true if they fail.
    fn try_numbers(&mut self, numbers: &[f64]) -> bool {
        let dims = self.best.dims.clone();
        let input = self.best.input.with_coordinates(numbers);
        input.is_some_and(|input| self.attempt(input, &dims))
    }

    /// Tries other numbers if they are simpler as a whole.
    fn try_lighter(&mut self, numbers: &[f64]) -> bool {
        weight(numbers) < weight(&self.best.input.coordinates()) && self.try_numbers(numbers)
    }

    /// Replaces the equal numbers at some positions by simpler ones: by those of a list, and then by bisection between integers.
    fn lower(&mut self, positions: &[usize]) {
        let with = |work: &Self, x: f64| {
            let mut numbers = work.best.input.coordinates();
            positions.iter().for_each(|&i| numbers[i] = x);
            numbers
        };
        let at = |work: &Self| work.best.input.coordinates()[positions[0]];
        for x in simpler(at(self)) {
            if self.try_numbers(&with(self, x)) {
                break;
            }
        }
        let (sign, mut low, mut high) = (at(self).signum(), 0.0, at(self).abs());
        if high <= 2.0 || high.fract() != 0.0 || !high.is_finite() {
            return;
        }
        while high - low > 1.0 && self.left > 0 {
            let middle = between(low, high);
            if middle <= low || middle >= high {
                return;
            }
            if self.try_numbers(&with(self, sign * middle)) { high = middle } else { low = middle }
        }
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
            self.together();
            for i in 0..count {
                self.lower(&[i]);
            }
            if count <= PAIRED {
                self.pairs(count);
            }
            if self.steps == before || self.left == 0 {
                return;
            }
        }
    }

    /// Changes numbers together: those that are equal, and all of them by one factor.
    fn together(&mut self) {
        let numbers = self.best.input.coordinates();
        let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        numbers.iter().enumerate().for_each(|(i, x)| groups.entry(x.to_bits()).or_default().push(i));
        for group in groups.into_values().filter(|group| group.len() > 1 && numbers[group[0]] != 0.0) {
            self.lower(&group);
        }
        let nonzero = numbers.iter().copied().filter(|&x| x != 0.0 && x != 1.0 && x.is_finite());
        for unit in nonzero.take(PAIRED) {
            let scaled: Vec<f64> = self.best.input.coordinates().iter().map(|x| x / unit).collect();
            if self.try_lighter(&scaled) {
                return;
            }
        }
    }

    /// Changes pairs of numbers: one takes a part of the other, so that their sum stays, or both move by the same distance.
    fn pairs(&mut self, count: usize) {
        for i in 0..count {
            for j in (0..count).filter(|&j| j != i) {
                let numbers = self.best.input.coordinates();
                let (x, y) = (numbers[i], numbers[j]);
                if self.left == 0 {
                    return;
                }
                if x == 0.0 || y == 0.0 || !(x.is_finite() && y.is_finite()) {
                    continue;
                }
                let with = |x: f64, y: f64| {
                    let mut numbers = numbers.clone();
                    (numbers[i], numbers[j]) = (x, y);
                    numbers
                };
                if self.try_lighter(&with(x + y, 0.0)) || self.try_lighter(&with(x - y, 0.0)) {
                    continue;
                }
                // The largest part that the second number gives away, or by which both move, by bisection. It stays on its side.
                for direction in [1.0, -1.0] {
                    let (sign, mut low, mut high) = (y.signum(), 0.0, y.abs().floor());
                    while high - low > 1.0 && self.left > 0 {
                        let part = sign * between(low, high);
                        let lighter = self.try_lighter(&with(x + direction * part, y - part));
                        if lighter { low = part.abs() } else { high = part.abs() }
                    }
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_lists_all_dimensions_between_its_corners() {
        assert_eq!(boxed(&[1, 2], &[2, 3]), [[1, 2], [1, 3], [2, 2], [2, 3]]);
        assert_eq!(boxed(&[], &[]), [Vec::<usize>::new()]);
    }
}
