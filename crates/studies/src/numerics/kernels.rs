//! Row kernels: softmax, log-sum-exp and selection.

use collimate_claims::{Claims, Exact, Meta, Subject, larger, smaller};
use collimate_tensor::{log_sum_exp, softmax_in_place, top_k};
use ndarray::Array1;

const SHIFT: Meta = Meta::theorem(
    "tensor/softmax-shift",
    Subject::Tensor,
    "Softmax does not change when all logits move by the same amount, and does not overflow at logits of 10⁴.",
)
.code("B4")
.source("definition; the shift is exact for integers, so the two results agree bit for bit");

const ENVELOPE: Meta = Meta::theorem(
    "tensor/log-sum-exp-envelope",
    Subject::Tensor,
    "The log of a sum of exponentials lies between the largest logit and the largest logit plus log n.",
)
.source("Boyd and Vandenberghe (2004), section 3.1.5");

const SELECTION: Meta = Meta::theorem(
    "tensor/top-k-is-extreme",
    Subject::Tensor,
    "Top-k takes k entries. No entry it takes is smaller than an entry it leaves, and among equal entries it takes the first.",
)
.source("the stated tie rule: value descending, then index ascending");

const TEMPERATURE: Meta = Meta::counterexample(
    "tensor/softmax-is-scale-free",
    Subject::Tensor,
    "Softmax depends on the ratios of the logits only: scaling all of them changes nothing.",
)
.source("confusing logits with probabilities; the scale is the inverse temperature");

pub(super) fn claims() -> Claims {
    Claims::new().with(shift()).with(envelope()).with(selection()).with(temperature())
}

/// Draws integer logits, for which adding an integer shift is exact.
fn integers(n: usize, stream: &mut collimate_stream::RngStream) -> Array1<f64> {
    Array1::from_shape_simple_fn(n, || stream.below(41) as f64 - 20.0)
}

fn softmax(x: &Array1<f64>) -> Vec<f64> {
    let mut row = x.to_vec();
    softmax_in_place(&mut row);
    row
}

fn shift() -> Exact<(Array1<f64>, f64)> {
    Exact::new(SHIFT)
        .dims(&[("n", 1..=40)])
        .input(|d, stream| Some((integers(d[0], stream), stream.below(20_001) as f64 - 1e4)))
        .names(&["logits", "shift"])
        .margin(|(x, c)| {
            let (here, there) = (softmax(x), softmax(&(x + *c)));
            let sum: f64 = here.iter().sum();
            let moved = here.iter().zip(&there).map(|(a, b)| (a - b).abs()).fold(0.0, larger);
            smaller(8.0 * f64::EPSILON - (sum - 1.0).abs(), -moved)
        })
}

fn envelope() -> Exact<Array1<f64>> {
    Exact::new(ENVELOPE)
        .dims(&[("n", 1..=40), ("decades", 0..=4)])
        .input(|d, stream| {
            Some(Array1::from_shape_simple_fn(d[0], || 10f64.powi(d[1] as i32) * stream.normal()))
        })
        .admits(|x| x.iter().all(|v| v.abs() <= 1e6))
        .margin(|x| {
            let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let value = log_sum_exp(&x.to_vec());
            let rounding = 4.0 * f64::EPSILON * (1.0 + top.abs());
            smaller(value - top + rounding, top + (x.len() as f64).ln() - value + rounding)
        })
}

fn selection() -> Exact<(Array1<f64>, usize)> {
    Exact::new(SELECTION)
        // Long rows of few different values have many ties, and the candidate buffer overflows many times.
        .dims(&[("n", 1..=600)])
        .input(|d, stream| {
            let row = Array1::from_shape_simple_fn(d[0], || stream.below(12) as f64);
            Some((row, 1 + stream.below(d[0].min(20))))
        })
        .names(&["row", "k"])
        .margin(|(row, k)| {
            let mut taken = Vec::new();
            top_k(&row.to_vec(), *k, &mut taken);
            let count = taken.len() as f64 - *k.min(&row.len()) as f64;
            let kept = |i: usize| taken.iter().any(|e| e.0 as usize == i);
            let least = taken.iter().map(|e| e.1).fold(f64::INFINITY, f64::min);
            let last_tie = taken.iter().filter(|e| e.1 == least).map(|e| e.0 as usize).max().unwrap_or(0);
            // An entry that was not taken must be smaller, or equal and later.
            let wrong =
                (0..row.len()).filter(|&i| !kept(i) && (row[i] > least || (row[i] == least && i < last_tie)));
            let moved = taken.iter().filter(|e| row[e.0 as usize] != e.1).count();
            -(count.abs() + (wrong.count() + moved) as f64)
        })
}

fn temperature() -> Exact<(Array1<f64>, f64)> {
    Exact::new(TEMPERATURE)
        .dims(&[("n", 1..=5)])
        .input(|d, stream| Some((integers(d[0], stream), 1.0 + stream.uniform())))
        .names(&["logits", "scale"])
        .admits(|(x, c)| x.iter().all(|v| v.abs() <= 20.0) && (0.5..=4.0).contains(c))
        .margin(|(x, c)| {
            let moved =
                softmax(x).iter().zip(&softmax(&(x * *c))).map(|(a, b)| (a - b).abs()).fold(0.0, larger);
            1e-9 - moved
        })
}
