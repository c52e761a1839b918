//! Guided search: from the inputs with the smallest margins, at various dimensions, towards a violation.

use super::judged::Judged;
use super::search::Search;
use super::watch::Watch;
use crate::context::Context;
use collimate_stream::RngStream;
use std::collections::BTreeMap;

/// The largest number of starting points, and of inputs that are kept for each choice of the dimensions.
const STARTS: usize = 32;
/// The smallest number of starting points.
const FEWEST: usize = 4;
/// The number of evaluations from which another starting point is worth its share.
const SHARE: u64 = 75;
/// The largest number of different dimensions that are kept.
const GROUPS: usize = 64;

/// The inputs with the smallest margins, for each choice of the dimensions.
#[derive(Default)]
pub(super) struct Worst {
    groups: BTreeMap<Vec<usize>, Vec<Judged>>,
}

impl Worst {
    pub(super) fn offer(&mut self, sample: Judged) {
        let group = self.groups.entry(sample.dims.clone()).or_default();
        let place = group.partition_point(|kept| kept.margin <= sample.margin);
        if place < STARTS {
            group.insert(place, sample);
            group.truncate(STARTS);
        }
        if self.groups.len() > GROUPS {
            let largest = self.groups.iter().max_by(|a, b| a.1[0].margin.total_cmp(&b.1[0].margin));
            if let Some(dims) = largest.map(|(dims, _)| dims.clone()) {
                self.groups.remove(&dims);
            }
        }
    }

    pub(super) fn smallest(&self) -> f64 {
        self.groups.values().map(|group| group[0].margin).fold(f64::INFINITY, f64::min)
    }

    /// Returns `count` starting points. Half of them have the smallest margins of all dimensions. The others are spread over the
    /// dimensions by size, because a margin that vanishes at trivial dimensions says nothing about the others.
    fn starts(&self, count: usize) -> Vec<&Judged> {
        let mut groups: Vec<(&Vec<usize>, &Vec<Judged>)> = self.groups.iter().collect();
        groups.sort_by_key(|(dims, _)| (dims.iter().sum::<usize>(), *dims));
        let mut by_margin: Vec<usize> = (0..groups.len()).collect();
        by_margin.sort_by(|&a, &b| groups[a].1[0].margin.total_cmp(&groups[b].1[0].margin));
        let mut order: Vec<usize> = by_margin.iter().copied().take(count.div_ceil(2)).collect();
        let others: Vec<usize> = (0..groups.len()).filter(|g| !order.contains(g)).collect();
        let rest = (count - order.len()).min(others.len());
        // From the largest dimensions to the smallest, in equal steps.
        let spread =
            |j: usize| others[others.len() - 1 - j * (others.len() - 1) / rest.saturating_sub(1).max(1)];
        order.extend((0..rest).map(spread));
        // If there are fewer dimensions than starting points, each gives further ones.
        let rounds = (0..STARTS).flat_map(|round| order.iter().map(move |&g| (g, round)));
        rounds.filter_map(|(g, round)| groups[g].1.get(round)).take(count).collect()
    }
}

/// The result of a search.
pub(super) struct Climbed {
    pub(super) found: Option<Judged>,
    pub(super) smallest: f64,
    pub(super) evaluations: u64,
}

/// Lowers the margin by steps of the numbers if they may change, and otherwise by new draws at the dimensions of the starting points.
pub(super) fn search(
    claim: &Search,
    watch: &Watch,
    worst: &Worst,
    budget: u64,
    context: &Context,
) -> Climbed {
    let mut climbed = Climbed { found: None, smallest: f64::INFINITY, evaluations: 0 };
    let count = usize::try_from(budget / SHARE).unwrap_or(STARTS).clamp(FEWEST, STARTS);
    let starts = worst.starts(count);
    let share = budget / starts.len().max(1) as u64;
    for (k, start) in starts.into_iter().enumerate() {
        context.progress(climbed.evaluations, budget, "guided search");
        let mut stream = context.named_stream("guided").child(k as u64);
        let movable = claim.admits.is_some() && !start.input.coordinates().is_empty();
        if movable {
            climb(claim, watch, start, share, &mut stream, &mut climbed, context);
        } else {
            redraw(claim, watch, start, share, &mut stream, &mut climbed, context);
        }
        if climbed.found.is_some() || context.interrupted() {
            break;
        }
    }
    climbed
}

impl Climbed {
    /// Records one evaluation, and keeps an input that fails.
    fn take(&mut self, next: Option<Judged>) {
        let Some(next) = next else { return };
        self.smallest = self.smallest.min(next.margin);
        if next.fails() {
            self.found = Some(next);
        }
    }
}

/// Judges new draws at the dimensions of one starting point.
fn redraw(
    claim: &Search,
    watch: &Watch,
    start: &Judged,
    evaluations: u64,
    stream: &mut RngStream,
    climbed: &mut Climbed,
    context: &Context,
) {
    for round in 0..evaluations {
        if round % 64 == 0 && context.interrupted() || climbed.found.is_some() {
            return;
        }
        climbed.evaluations += 1;
        climbed.take(claim.judge_at(watch, start.dims.clone(), &mut stream.child(round)));
    }
}

/// Changes one number, or several together. Returns the position whose step length decides.
fn moved(numbers: &mut [f64], steps: &[f64], stream: &mut RngStream) -> usize {
    let i = stream.below(numbers.len());
    let old = numbers[i];
    let new = |numbers: &[f64], stream: &mut RngStream| match stream.below(8) {
        // Margins often vanish at these values.
        0 => [0.0, 1.0, -1.0, -old][stream.below(4)],
        1 => old + [1.0, -1.0][stream.below(2)],
        2 => numbers[stream.below(numbers.len())],
        _ => old + steps[i] * stream.normal(),
    };
    match stream.below(12) {
        // A margin that vanishes where numbers are equal needs equal numbers that change together.
        0 => {
            let value = new(numbers, stream);
            numbers.iter_mut().filter(|x| **x == old).for_each(|x| *x = value);
        }
        1 => {
            let value = new(numbers, stream);
            numbers.fill(value);
        }
        2 => {
            let factor = [0.5, 2.0, 3.0, (0.1 * stream.normal()).exp()][stream.below(4)];
            numbers.iter_mut().for_each(|x| *x *= factor);
        }
        _ => numbers[i] = new(numbers, stream),
    }
    i
}

/// Lowers the margin from one starting point by steps of the numbers.
fn climb(
    claim: &Search,
    watch: &Watch,
    start: &Judged,
    evaluations: u64,
    stream: &mut RngStream,
    climbed: &mut Climbed,
    context: &Context,
) {
    let mut best = start.clone();
    let mut numbers = best.input.coordinates();
    let size = numbers.iter().map(|x| x.abs()).filter(|x| x.is_finite()).sum::<f64>() / numbers.len() as f64;
    // One step length for each number. It grows after a success and shrinks after a failure.
    let mut steps = vec![if size > 0.0 { size } else { 1.0 }; numbers.len()];
    for round in 0..evaluations {
        if round % 64 == 0 && context.interrupted() {
            return;
        }
        let before = numbers.clone();
        let i = moved(&mut numbers, &steps, stream);
        let input = if numbers == before { None } else { best.input.with_coordinates(&numbers) };
        climbed.evaluations += 1;
        let next = input.and_then(|input| claim.judge(watch, input, best.dims.clone()));
        match next {
            Some(next) if next.fails() => return climbed.take(Some(next)),
            Some(next) if next.margin <= best.margin => {
                let better = next.margin < best.margin;
                climbed.smallest = climbed.smallest.min(next.margin);
                best = next;
                // The type may hold other numbers than the requested ones, because f32 rounds.
                numbers = best.input.coordinates();
                steps[i] *= if better { 1.6 } else { 1.0 };
            }
            _ => {
                numbers = before;
                steps[i] = (steps[i] * 0.85).max(1e-9);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::erased::Input;
    use super::*;

    fn worst(samples: &[(usize, f64)]) -> Worst {
        let mut worst = Worst::default();
        for &(n, margin) in samples {
            worst.offer(Judged { input: Input::new(margin), dims: vec![n], margin, panic: None });
        }
        worst
    }

    #[test]
    fn starting_points_are_spread_over_the_dimensions() {
        // The margin vanishes at n = 2, and there are many such inputs.
        let samples: Vec<(usize, f64)> =
            (0..900).map(|i| (2 + i % 9, if i % 9 == 0 { 0.0 } else { 1.0 })).collect();
        let worst = worst(&samples);
        for count in [4, 8, 32] {
            let starts = worst.starts(count);
            assert_eq!(starts.len(), count);
            let trivial = starts.iter().filter(|start| start.dims == [2]).count();
            assert!(trivial <= count.div_ceil(4), "{trivial} of {count}");
            assert!(starts.iter().any(|start| start.dims == [10]));
        }
        assert_eq!(worst.smallest(), 0.0);
    }

    #[test]
    fn a_single_choice_of_dimensions_gives_the_smallest_margins() {
        let samples: Vec<(usize, f64)> = (0..100).map(|i| (1, f64::from(i * 37 % 100))).collect();
        let worst = worst(&samples);
        let margins: Vec<f64> = worst.starts(4).iter().map(|start| start.margin).collect();
        assert_eq!(margins, [0.0, 1.0, 2.0, 3.0]);
        assert!(Worst::default().starts(4).is_empty());
    }
}
