//! Guided search: from the inputs with the smallest margins towards a violation.

use super::search::{Judged, Search, violates};
use crate::context::Context;
use collimate_stream::RngStream;

/// The number of starting points that are kept.
const STARTS: usize = 4;

/// The inputs with the smallest margins.
pub(super) struct Worst {
    kept: Vec<Judged>,
}

impl Worst {
    pub(super) fn new() -> Self {
        Self { kept: Vec::new() }
    }

    pub(super) fn offer(&mut self, sample: Judged) {
        let place = self.kept.partition_point(|kept| kept.margin <= sample.margin);
        if place < STARTS {
            self.kept.insert(place, sample);
            self.kept.truncate(STARTS);
        }
    }

    pub(super) fn smallest(&self) -> f64 {
        self.kept.first().map_or(f64::INFINITY, |kept| kept.margin)
    }
}

/// The result of a search.
pub(super) struct Climbed {
    pub(super) found: Option<Judged>,
    pub(super) smallest: f64,
    pub(super) evaluations: u64,
}

/// Lowers the margin by coordinate steps if numbers may change, and otherwise by new draws at the dimensions with the smallest
/// margins.
pub(super) fn search(claim: &Search, worst: &Worst, budget: u64, context: &Context) -> Climbed {
    let mut climbed = Climbed { found: None, smallest: f64::INFINITY, evaluations: 0 };
    if worst.kept.is_empty() {
        return climbed;
    }
    let share = budget / worst.kept.len() as u64;
    for (k, start) in worst.kept.iter().enumerate() {
        context.progress(climbed.evaluations, budget, "guided search");
        let mut stream = context.named_stream("guided").child(k as u64);
        let movable = claim.admits.is_some() && !start.input.coordinates().is_empty();
        if movable {
            climb(claim, start, share, &mut stream, &mut climbed, context);
        } else {
            redraw(claim, start, share, &mut stream, &mut climbed, context);
        }
        if climbed.found.is_some() || context.interrupted() {
            break;
        }
    }
    climbed
}

fn climb(
    claim: &Search,
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
        let i = stream.below(numbers.len());
        let old = numbers[i];
        numbers[i] = match stream.below(8) {
            // Margins often vanish at these values.
            0 => [0.0, 1.0, -1.0, -old][stream.below(4)],
            1 => old + [1.0, -1.0][stream.below(2)],
            2 => numbers[stream.below(numbers.len())],
            _ => old + steps[i] * stream.normal(),
        };
        let input = if numbers[i] == old { None } else { best.input.with_coordinates(&numbers) };
        climbed.evaluations += 1;
        match input.and_then(|input| claim.judge(input, best.dims.clone())) {
            Some(next) if violates(next.margin) => {
                climbed.smallest = climbed.smallest.min(next.margin);
                climbed.found = Some(next);
                return;
            }
            Some(next) if next.margin <= best.margin => {
                let better = next.margin < best.margin;
                climbed.smallest = climbed.smallest.min(next.margin);
                best = next;
                // The type may hold other numbers than the requested ones, because f32 rounds.
                numbers = best.input.coordinates();
                steps[i] *= if better { 1.6 } else { 1.0 };
            }
            _ => {
                numbers[i] = old;
                steps[i] = (steps[i] * 0.85).max(1e-9);
            }
        }
    }
}

fn redraw(
    claim: &Search,
    start: &Judged,
    evaluations: u64,
    stream: &mut RngStream,
    climbed: &mut Climbed,
    context: &Context,
) {
    for round in 0..evaluations {
        if round % 64 == 0 && context.interrupted() {
            return;
        }
        climbed.evaluations += 1;
        let Some(next) = claim.judge_at(start.dims.clone(), &mut stream.child(round)) else { continue };
        climbed.smallest = climbed.smallest.min(next.margin);
        if violates(next.margin) {
            climbed.found = Some(next);
            return;
        }
    }
}
