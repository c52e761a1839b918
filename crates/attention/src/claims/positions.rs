//! Rotary positions.

use super::order::normal;
use super::scores::{Scores, scores};
use super::subjects::largest;
use crate::{Attention, Mask, Offset, Rotary, RotaryLayout};
use collimate_claims::{Claim, Exact, Meta, Subject};
use ndarray::{Array1, Array2, Array3, s};

const BASE: f64 = 10_000.0;

/// The largest position drawn: the error of an angle grows with it.
const FARTHEST: usize = 10_000;

const LAYOUTS: [RotaryLayout; 2] = [RotaryLayout::Interleaved, RotaryLayout::HalfSplit];

/// Returns both layouts of this crate, as functions that rotate a row to a position.
pub(super) fn turns() -> [impl Fn(&Array1<f64>, usize) -> Array1<f64> + Send + Sync + 'static; 2] {
    LAYOUTS.map(|layout| move |x: &Array1<f64>, position: usize| turned(layout, x, position))
}

/// Rotates a row to a position.
fn turned(layout: RotaryLayout, x: &Array1<f64>, position: usize) -> Array1<f64> {
    let rotary = Rotary { layout, ..Rotary::interleaved(x.len(), BASE) };
    let table = rotary.table([position as i64]).expect("the width is even");
    let mut row = Array3::from_shape_fn((1, 1, x.len()), |(_, _, d)| x[d]);
    table.apply(&mut row).expect("the row fits the table");
    row.slice(s![0, 0, ..]).to_owned()
}

/// Claims that a rotation keeps lengths.
pub fn rotary_keeps_norms(
    turns: impl IntoIterator<Item = impl Fn(&Array1<f64>, usize) -> Array1<f64> + Send + Sync + 'static>,
) -> impl Claim {
    let turns: Vec<_> = turns.into_iter().collect();
    let meta = Meta::theorem(
        "attention/rotary-keeps-norms",
        Subject::Attention,
        "rotary positions do not change the length of a row, in either layout",
    )
    .code("B15")
    .source("Su et al. (2021), RoFormer");
    Exact::new(meta)
        .dims(&[("pairs", 1..=4)])
        .names(&["x", "position"])
        .input(|dims, stream| {
            Some((normal(stream, 1, 2 * dims[0]).row(0).to_owned(), stream.below(FARTHEST)))
        })
        .admits(|(x, position)| *position < FARTHEST && x.iter().all(|v| v.abs() <= 1e3))
        .margin(move |(x, position)| {
            let norm = |x: &Array1<f64>| x.pow2().sum().sqrt();
            let error: Vec<f64> = turns.iter().map(|turn| norm(&turn(x, *position)) - norm(x)).collect();
            1e-12 * (1.0 + norm(x)) - largest(&error)
        })
}

/// The rotary scores of this crate.
pub(super) struct Turned {
    layout: RotaryLayout,
    mask: Mask,
}

/// Returns both layouts of this crate: with a query for every key, and with the last query alone.
pub(super) fn own_rotary() -> [(Turned, Turned); 2] {
    // Without a mask, so that queries before their keys are compared as well.
    let masks = (Mask::none(), Mask::causal(Offset::keys_minus_queries()));
    LAYOUTS.map(|layout| (Turned { layout, mask: masks.0 }, Turned { layout, mask: masks.1 }))
}

impl Scores for Turned {
    fn scores(&self, q: &Array2<f64>, k: &Array2<f64>) -> Array2<f64> {
        let rotary = Rotary { layout: self.layout, ..Rotary::interleaved(q.ncols(), BASE) };
        scores(Attention::scaled_dot_product().rotary(rotary).mask(self.mask), q, k)
    }
}

/// Claims that scores depend only on the distance of the positions. Each pair of `ways` scores equal numbers of queries and keys,
/// and the last query alone with all keys, as in decoding.
pub fn rotary_is_relative<A: Scores, B: Scores>(ways: impl IntoIterator<Item = (A, B)>) -> impl Claim {
    let ways: Vec<(A, B)> = ways.into_iter().collect();
    let meta = Meta::theorem(
        "attention/rotary-is-relative",
        Subject::Attention,
        "rows in front of a sequence do not change the rotary scores inside it, in either layout",
    )
    .code("B15")
    .source("Su et al. (2021), RoFormer, equation 16");
    Exact::new(meta)
        .dims(&[("tokens", 1..=4), ("in front", 0..=40), ("pairs", 1..=3)])
        .names(&["x", "first"])
        .input(|dims, stream| Some((normal(stream, dims[0] + dims[1], 2 * dims[2]), dims[1])))
        .admits(|(x, first)| *first < x.nrows() && x.iter().all(|v| v.abs() <= 30.0))
        .margin(move |(x, first)| {
            let short: Array2<f64> = x.slice(s![*first.., ..]).to_owned();
            let last = x.slice(s![x.nrows() - 1.., ..]).to_owned();
            let error: Vec<f64> = ways
                .iter()
                .map(|(all, decode)| {
                    let long = all.scores(x, x);
                    let moved = &long.slice(s![*first.., *first..]) - &all.scores(&short, &short);
                    let decoded = &decode.scores(&last, x).row(0) - &long.row(x.nrows() - 1);
                    largest(moved.iter().chain(&decoded))
                })
                .collect();
            1e-10 * (1.0 + largest(x) * largest(x)) - largest(&error)
        })
}

/// Claims that two rotations equal one rotation by the sum.
pub fn rotary_composes(
    turns: impl IntoIterator<Item = impl Fn(&Array1<f64>, usize) -> Array1<f64> + Send + Sync + 'static>,
) -> impl Claim {
    let turns: Vec<_> = turns.into_iter().collect();
    let meta = Meta::theorem(
        "attention/rotary-composes",
        Subject::Attention,
        "turning a row to position a and again by b is turning it to a + b, in either layout",
    )
    .code("B15");
    Exact::new(meta)
        .dims(&[("pairs", 1..=4)])
        .names(&["x", "a", "b"])
        .input(|dims, stream| {
            let x = normal(stream, 1, 2 * dims[0]).row(0).to_owned();
            Some((x, stream.below(FARTHEST / 2), stream.below(FARTHEST / 2)))
        })
        .admits(|(x, a, b)| a.max(b) < &(FARTHEST / 2) && x.iter().all(|v| v.abs() <= 1e3))
        .margin(move |(x, a, b)| {
            let error: Vec<f64> =
                turns.iter().map(|turn| largest(&(turn(&turn(x, *a), *b) - turn(x, a + b)))).collect();
            1e-10 * (1.0 + largest(x)) - largest(&error)
        })
}

/// Claims the belief that rotary scores of equal rows fall with the distance.
pub fn rotary_decays(
    turn: impl Fn(&Array1<f64>, usize) -> Array1<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/rotary-decays",
        Subject::Attention,
        "the rotary score of a row of ones with itself falls with every step of distance",
    )
    .code("B16");
    Exact::new(meta)
        .dims(&[("pairs", 1..=4)])
        .names(&["ones", "distance"])
        .input(|dims, stream| Some((Array1::ones(2 * dims[0]), stream.below(200))))
        .admits(|(ones, distance)| *distance < 200 && ones.iter().all(|&x| x == 1.0))
        .margin(move |(ones, distance)| {
            let score = |far| ones.dot(&turn(ones, far));
            score(*distance) - score(distance + 1) + 1e-12
        })
}
