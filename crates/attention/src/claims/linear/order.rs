//! Claims about the order of the tokens and the rank of the weights.

use super::sequences::{KeepsState, Tokens, over_sequences};
use crate::claims::rank::at_most_width;
use crate::claims::subjects::largest;
use collimate_claims::{Claim, Meta, Subject};
use ndarray::Array2;

/// Claims that linear attention without decay does not depend on the order of the tokens.
pub fn linear_forgets_order(member: impl KeepsState) -> impl Claim {
    let meta = Meta::theorem(
        "attention/linear-forgets-order",
        Subject::Attention,
        "linear attention without decay gives the last token the same output for every order of the tokens before it",
    );
    reordered(meta, member)
}

/// Claims the belief that the delta rule does not depend on the order of the tokens either.
pub fn delta_forgets_order(member: impl KeepsState) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/delta-forgets-order",
        Subject::Attention,
        "DeltaNet gives the last token the same output for every order of the tokens before it",
    );
    reordered(meta, member)
}

/// Claims that the last output does not change if the tokens before it are rotated by a number of places.
fn reordered(meta: Meta, member: impl KeepsState) -> impl Claim {
    over_sequences(meta.code("B14"), 8, "turn", move |tokens, turn| {
        let (t, past) = (tokens.q.nrows(), tokens.q.nrows() - 1);
        let order: Vec<usize> = (0..past).map(|i| (i + turn) % past.max(1)).chain([past]).collect();
        let (one, other) = (member.run(tokens, None).0, member.run(&tokens.select(&order), None).0);
        let size = 1.0 + 10.0 * largest(&tokens.q) * largest(&tokens.v) * t as f64;
        1e-12 * size - largest(&(&one.row(past) - &other.row(past)))
    })
}

/// Claims that without a mask the weights have at most the rank of the features, because they are a product through the features.
pub fn linear_pattern_rank(member: impl KeepsState) -> impl Claim {
    let meta = Meta::theorem(
        "attention/linear-pattern-rank",
        Subject::Attention,
        "the weights of linear attention over a state of all keys have at most the rank of the features (pivots above 1e-9 of \
         the largest)",
    );
    // Queries that write nothing read the state of all keys.
    at_most_width(meta.code("B9"), move |q, k| {
        let values = Array2::eye(k.nrows());
        let silent = Tokens::plain(q.clone(), Array2::zeros(k.dim()), Array2::zeros(values.dim()));
        let (_, state) = member.run(&Tokens::plain(q.clone(), k.clone(), values), None);
        member.run(&silent, Some(&state)).0
    })
}

/// Claims the belief that the weights keep this rank under a causal mask.
pub fn causal_linear_pattern_rank(member: impl KeepsState) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/causal-linear-pattern-rank",
        Subject::Attention,
        "the weights of causal linear attention have at most the rank of the features (pivots above 1e-9 of the largest)",
    );
    at_most_width(meta.code("B9"), move |q, k| {
        member.run(&Tokens::plain(q.clone(), k.clone(), Array2::eye(k.nrows())), None).0
    })
}
