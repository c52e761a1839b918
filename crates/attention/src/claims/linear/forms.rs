//! Claims about the forms of one recurrence.

use super::sequences::{KeepsState, Tokens, over_sequences, sequences, tokens};
use crate::claims::subjects::{largest, least};
use collimate_claims::{Claim, Meta, Subject, larger};
use ndarray::{Array2, s};

/// Claims that two ways to compute each member agree: token by token, in chunks, all at once. The state is passed from one way to
/// the other in the middle of the sequence.
pub fn linear_forms_agree<A: KeepsState, B: KeepsState>(
    pairs: impl IntoIterator<Item = (A, B)>,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/linear-forms-agree",
        Subject::Attention,
        "linear attention with and without its normaliser, Performer, retention, GLA, simple GLA, DeltaNet and gated DeltaNet \
         give the same outputs and states token by token, in chunks and all at once, and may change from one to the other at \
         any token, within 1e-11 of the largest number",
    )
    .code("B13")
    .source("Katharopoulos et al. (2020); Yang et al. (2024)");
    let pairs: Vec<(A, B)> = pairs.into_iter().collect();
    // A margin runs each pair four times.
    sequences(meta, 24, "cut").inputs([50, 500, 5_000]).margin(move |x| {
        let (tokens, n, cut) = (&tokens(x), x.0.nrows(), x.4);
        let (first, second) = (tokens.range(0..cut), tokens.range(cut..n));
        least(pairs.iter().map(|(one, other)| {
            let (out, state) = one.run(tokens, None);
            let (all_at_once, end) = other.run(tokens, None);
            let (before, middle) = one.run(&first, None);
            let (after, changed) = other.run(&second, Some(&middle));
            let off = [
                largest(&(&all_at_once - &out)),
                largest(&(&end - &state)),
                largest(&(&before - &out.slice(s![..cut, ..]))),
                largest(&(&after - &out.slice(s![cut.., ..]))),
                largest(&(&changed - &state)),
            ];
            1e-11 * (1.0 + largest(&out) + largest(&state)) - largest(&off)
        }))
    })
}

/// Claims that earlier tokens act through the state alone.
pub fn linear_state_is_all<M: KeepsState>(members: impl IntoIterator<Item = M>) -> impl Claim {
    let meta = Meta::theorem(
        "attention/linear-state-is-all",
        Subject::Attention,
        "for every member of the family, the later part of a sequence, run from the state of the earlier part, gives the output of \
         the whole, within 1e-11 of the largest number",
    )
    .code("B13")
    .source("Katharopoulos et al. (2020), section 3.4");
    let members: Vec<M> = members.into_iter().collect();
    over_sequences(meta, 12, "cut", move |tokens, cut| {
        least(members.iter().map(|member| {
            let (out, state) = member.run(tokens, None);
            let (_, middle) = member.run(&tokens.range(0..cut), None);
            let (after, end) = member.run(&tokens.range(cut..tokens.q.nrows()), Some(&middle));
            let off = larger(largest(&(&out.slice(s![cut.., ..]) - &after)), largest(&(&state - &end)));
            1e-11 * (1.0 + largest(&out) + largest(&state)) - off
        }))
    })
}

/// Claims that without a mask a query gets the output of the causal form at the last key.
pub fn bidirectional_linear_is_last(
    causal: impl KeepsState,
    without_mask: impl Fn(&Array2<f64>, &Array2<f64>, &Array2<f64>) -> Array2<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/bidirectional-linear-is-last",
        Subject::Attention,
        "without a mask, linear attention gives every query the output of the causal form at the last key, within 1e-11 of the \
         largest value",
    )
    .source("Katharopoulos et al. (2020), equations 5 and 8");
    over_sequences(meta, 8, "query", move |x, query| {
        let last = x.q.nrows() - 1;
        let (all, query) = (without_mask(&x.q, &x.k, &x.v), query.min(last));
        let mut moved = Tokens::plain(x.q.clone(), x.k.clone(), x.v.clone());
        moved.q.row_mut(last).assign(&x.q.row(query));
        let at_the_end = causal.run(&moved, None).0;
        1e-11 * (1.0 + largest(&x.v)) - largest(&(&at_the_end.row(last) - &all.row(query)))
    })
}
