//! A claim about a two-layer induction head built by hand.

use super::subjects::AttendsWith;
use crate::{Attention, Mask, Offset, Scale};
use collimate_claims::{Claim, Exact, Meta, Subject, larger};
use ndarray::{Array2, Axis, concatenate, s};

/// Returns one-hot rows: row `i` has a 1 in column `columns[i]`.
fn one_hot(columns: &[usize], width: usize) -> Array2<f64> {
    Array2::from_shape_fn((columns.len(), width), |(i, j)| f64::from(u8::from(columns[i] == j)))
}

/// Runs causal attention of this crate with this scale.
pub(super) fn own_head(q: &Array2<f64>, k: &Array2<f64>, v: &Array2<f64>, beta: &f64) -> Array2<f64> {
    use super::subjects::Attends;
    let causal = Mask::causal(Offset::zero());
    Attention::scaled_dot_product().scale(Scale::Fixed(*beta)).mask(causal).attend_to(q, k, v)
}

/// Returns the pattern of the second head and its prediction of the next token, for tokens after a start token 0.
fn induction(
    head: &impl AttendsWith<f64>,
    tokens: &[usize],
    vocabulary: usize,
    beta: f64,
) -> (Array2<f64>, Array2<f64>) {
    let n = tokens.len();
    let token = one_hot(tokens, vocabulary);
    // Layer 1: each position attends to the previous position and writes that token next to its own token.
    let before: Vec<usize> = (0..n).map(|i| i.saturating_sub(1)).collect();
    let positions: Vec<usize> = (0..n).collect();
    let previous = head.attend_with(&one_hot(&before, n), &one_hot(&positions, n), &token, &beta);
    // Layer 2: each position attends to the positions whose previous token equals its own token, and copies their token. Unit
    // vectors next to the tokens copy the pattern.
    let values = concatenate(Axis(1), &[Array2::eye(n).view(), token.view()]).expect("both have n rows");
    let out = head.attend_with(&token, &previous, &values, &beta);
    (out.slice(s![.., ..n]).to_owned(), out.slice(s![.., n..]).to_owned())
}

/// Claims that two layers of one head each copy a repeated sequence, exactly in the limit of zero temperature. `head` is causal
/// attention with its scale as argument. `prefix_matching` is a score of a pattern `[n, n]` on its tokens.
pub fn hand_built_induction_head(
    head: impl AttendsWith<f64>,
    prefix_matching: impl Fn(&Array2<f64>, &[u32]) -> f64 + Send + Sync + 'static,
) -> impl Claim {
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
        .margin(move |(order, beta)| {
            let n = order.len();
            let run = order.iter().map(|token| token + 1);
            let tokens: Vec<usize> = std::iter::once(0).chain(run.clone()).chain(run).collect();
            let (pattern, prediction) = induction(&head, &tokens, n + 1, *beta);
            let ids: Vec<u32> = tokens.iter().map(|&token| token as u32).collect();
            let score = prefix_matching(&pattern, &ids);
            // Each layer leaks at most one exp(−gap) to each of at most 2n other keys.
            let leak = 2.0 * n as f64 * (-beta).exp();
            let bound = 2.0 * n as f64 * (-beta * (1.0 - 2.0 * leak)).exp();
            // Every position of the second run except the last predicts the next token.
            let wrong = (n + 1..2 * n).map(|i| 1.0 - prediction[[i, tokens[i + 1]]]).fold(0.0, larger);
            (bound + 1e-12) - larger(1.0 - score, wrong)
        })
}
