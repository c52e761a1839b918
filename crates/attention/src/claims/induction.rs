//! A two-layer induction head built by hand.

use crate::{Attention, Mask, Offset, Saved, Scale, prefix_matching};
use collimate_claims::{Claim, Exact, Meta, Subject};
use ndarray::{Array2, Array3, Axis};

/// One-hot rows: row `i` has a 1 in column `columns[i]`.
fn one_hot(columns: &[usize], width: usize) -> Array2<f64> {
    Array2::from_shape_fn((columns.len(), width), |(i, j)| f64::from(u8::from(columns[i] == j)))
}

/// One causal head that looks with the inverse temperature `beta`.
fn head(q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, beta: f64) -> (Array2<f64>, Saved<f64>) {
    let rows = |x: &Array2<f64>| -> Array3<f64> { x.clone().insert_axis(Axis(0)) };
    let attention =
        Attention::scaled_dot_product().scale(Scale::Fixed(beta)).mask(Mask::causal(Offset::zero()));
    let (out, saved) = attention.forward(&rows(q), &rows(k), &rows(v)).expect("shapes fit");
    (out.index_axis_move(Axis(0), 0), saved)
}

/// The pattern of the second head and its prediction of the next token, for tokens after a start token 0.
fn induction(tokens: &[usize], vocabulary: usize, beta: f64) -> (Array2<f64>, Array2<f64>) {
    let n = tokens.len();
    let token = one_hot(tokens, vocabulary);
    // Layer 1: each position looks at the one before it and writes that token beside its own.
    let before: Vec<usize> = (0..n).map(|i| i.saturating_sub(1)).collect();
    let positions: Vec<usize> = (0..n).collect();
    let (previous, _) = head(&one_hot(&before, n), &one_hot(&positions, n), &token, beta);
    // Layer 2: look for a position whose previous token is mine, and copy the token there.
    let (prediction, saved) = head(&token, &previous, &token, beta);
    (saved.pattern(0).expect("there is one head"), prediction)
}

/// Two layers of one head each copy a repeated sequence, exactly as the temperature goes to zero.
pub(super) fn hand_built() -> impl Claim {
    let meta = Meta::theorem(
        "attention/hand-built-induction-head",
        Subject::Attention,
        "a previous-token head and a matching head, both of inverse temperature β, copy a repeated run of n different \
         tokens with prefix-matching score at least 1 − 2n exp(−β(1 − 4n exp(−β)))",
    )
    .code("B25")
    .source("Elhage et al. (2021); Olsson et al. (2022)");
    Exact::new(meta)
        .dims(&[("run", 2..=8)])
        .names(&["order", "beta"])
        .input(|dims, stream| Some((stream.permutation(dims[0]), stream.uniform_in(5.0, 60.0))))
        .admits(|(order, beta)| {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            sorted.iter().enumerate().all(|(i, &token)| i == token) && (5.0..=60.0).contains(beta)
        })
        .margin(|(order, beta)| {
            let n = order.len();
            let run = order.iter().map(|token| token + 1);
            let tokens: Vec<usize> = std::iter::once(0).chain(run.clone()).chain(run).collect();
            let (pattern, prediction) = induction(&tokens, n + 1, *beta);
            let ids: Vec<u32> = tokens.iter().map(|&token| token as u32).collect();
            let score = prefix_matching(&pattern, &ids).expect("the run is repeated").value;
            // Each layer leaks at most one exp(−gap) to each of at most 2n other keys.
            let leak = 2.0 * n as f64 * (-beta).exp();
            let bound = 2.0 * n as f64 * (-beta * (1.0 - 2.0 * leak)).exp();
            // Every position of the second run but the last predicts the token that comes next.
            let wrong = (n + 1..2 * n)
                .map(|i| 1.0 - prediction[[i, tokens[i + 1]]])
                .fold(0.0, |worst: f64, x| if x <= worst { worst } else { x });
            (bound + 1e-12) - (1.0 - score).max(wrong)
        })
}
