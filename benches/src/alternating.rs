//! Contenders that take turns.

use std::time::{Duration, Instant};

/// A piece of work that is timed.
pub struct Contender<'a> {
    name: String,
    work: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    /// Makes a contender. One call of `work` is one timing.
    pub fn new(name: impl Into<String>, work: impl FnMut() + 'a) -> Self {
        Self { name: name.into(), work: Box::new(work) }
    }
}

/// The times of one contender, in the order of the rounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The name of the contender.
    pub name: String,
    /// One time for each round.
    pub times: Vec<Duration>,
}

impl Timing {
    /// Returns the median time in seconds.
    pub fn median(&self) -> f64 {
        median(&self.times)
    }

    /// Returns the shortest time in seconds.
    pub fn best(&self) -> f64 {
        self.times.iter().min().map_or(f64::NAN, Duration::as_secs_f64)
    }
}

/// Runs every contender once to warm up and then once in each round. The order rotates from round to round.
pub fn alternate(rounds: usize, contenders: &mut [Contender]) -> Vec<Timing> {
    let mut timings: Vec<Timing> = contenders
        .iter()
        .map(|contender| Timing { name: contender.name.clone(), times: Vec::new() })
        .collect();
    for contender in contenders.iter_mut() {
        (contender.work)();
    }
    let count = contenders.len();
    for round in 0..rounds {
        for place in 0..count {
            let index = (place + round) % count;
            let started = Instant::now();
            (contenders[index].work)();
            timings[index].times.push(started.elapsed());
        }
    }
    timings
}

/// Returns the drift of a probe: the largest median of the four quarters of its run over the smallest, less one.
///
/// Above 0.15 the machine was not steady, and the run must be repeated.
pub fn drift(probe: &Timing) -> f64 {
    let quarter = probe.times.len().div_ceil(4).max(1);
    let medians: Vec<f64> = probe.times.chunks(quarter).map(median).collect();
    let (low, high) =
        medians.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), &time| (low.min(time), high.max(time)));
    high / low - 1.0
}

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}
