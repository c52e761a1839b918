//! Whole rows of scores, for views of the pattern and for changes of its rows.

use super::plan::Plan;
use crate::tasks::product;
use collimate_tensor::{Scalar, softmax_in_place};
use ndarray::{ArrayRef2, ArrayView2};
use std::ops::Range;

/// Writes `scale · q kᵀ` for a block of queries and a range of keys, with −∞ at masked pairs.
pub(crate) fn scores_into<F: Scalar>(
    plan: &Plan,
    q: &ArrayRef2<F>,
    k: &ArrayView2<'_, F>,
    queries: Range<usize>,
    keys: Range<usize>,
    scores: &mut ArrayRef2<F>,
) {
    product(F::from_f64(plan.scale), q, &k.t(), F::zero(), scores);
    if let Some(cap) = plan.softcap.map(F::from_f64) {
        scores.mapv_inplace(|score| cap * (score / cap).tanh());
    }
    for (i, mut row) in scores.rows_mut().into_iter().enumerate() {
        fill_masked(
            plan,
            queries.start + i,
            &keys,
            F::neg_infinity(),
            row.as_slice_mut().expect("contiguous rows"),
        );
    }
}

/// Writes `value` at the keys of a row that the query does not attend to, and returns the range of the other keys.
pub(crate) fn fill_masked<F: Scalar>(
    plan: &Plan,
    query: usize,
    keys: &Range<usize>,
    value: F,
    row: &mut [F],
) -> Range<usize> {
    let seen = plan.keys_of(query);
    let start = seen.start.clamp(keys.start, keys.end) - keys.start;
    let end = seen.end.clamp(keys.start + start, keys.end) - keys.start;
    row[..start].fill(value);
    row[end..].fill(value);
    start..end
}

/// Computes the softmax in place, and returns the log-sum-exp of the original row.
pub(crate) fn softmax_with_log_sum_exp<F: Scalar>(row: &mut [F]) -> F {
    let top = maximum(row);
    softmax_in_place(row);
    // The largest score z has the share p = exp(z − lse), which saves a second pass of exponentials.
    // For a row of −∞, which became zeros, the result is −∞. For a row of NaN it is NaN.
    if top == F::neg_infinity() { row.first().map_or(top, |&p| top + p) } else { top - maximum(row).ln() }
}

/// Returns the largest number of a row without NaN, or −∞ for an empty row.
fn maximum<F: Scalar>(row: &[F]) -> F {
    // Eight lanes, so that the compiler can use vector registers.
    let mut lanes = [F::neg_infinity(); 8];
    let chunks = row.chunks_exact(8);
    let tail = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes.iter().chain(tail).fold(F::neg_infinity(), |m, &x| if x > m { x } else { m })
}
