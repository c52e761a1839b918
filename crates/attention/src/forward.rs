//! The tiled forward pass: one task for a block of queries of one head.

use crate::HeadMap;
use crate::element::Edit;
use crate::plan::{Plan, QUERY_BLOCK};
use crate::poison::Guarded;
use crate::tile::{self, product, scratch};
use collimate_tensor::{Scalar, softmax_in_place};
use ndarray::{Array2, ArrayRef2, ArrayRef3, ArrayView2, Axis, s};
use std::ops::Range;

/// Fills `out` (h, t, e) and returns the log-sum-exp of the scores (h, t).
pub(crate) fn forward<F: Scalar>(
    plan: &Plan,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    edit: Option<Edit<'_, F>>,
    out: &mut ArrayRef3<F>,
) -> Array2<F> {
    let mut log_sum_exp = Array2::from_elem((plan.heads, plan.queries), F::neg_infinity());
    let values: Vec<Guarded<F>> = v.axis_iter(Axis(0)).map(Guarded::new).collect();
    let mut tiles = Vec::with_capacity(plan.heads * plan.queries.div_ceil(QUERY_BLOCK));
    for ((head, mut out), mut lse) in
        out.axis_iter_mut(Axis(0)).enumerate().zip(log_sum_exp.axis_iter_mut(Axis(0)))
    {
        // Splitting hands each task its own rows of the output, so no two tasks meet.
        for queries in plan.blocks() {
            let (block, rest) = out.split_at(Axis(0), queries.len());
            let (lse_block, lse_rest) = lse.split_at(Axis(0), queries.len());
            tiles.push((head, queries, block, lse_block));
            (out, lse) = (rest, lse_rest);
        }
    }
    tile::for_each(&mut tiles, plan.work(), Vec::new, |buffer, (head, queries, out, lse)| {
        let group = plan.map.key_head(*head);
        let value = &values[group];
        // An edit may put weight on any key, so its rows span all of them.
        let keys = if edit.is_some() { 0..plan.keys } else { plan.keys_of_block(queries.clone()) };
        let mut pattern = scratch(buffer, queries.len(), keys.len());
        let q = q.slice(s![*head, queries.clone(), ..]);
        let k = k.slice(s![group, keys.clone(), ..]);
        scores_into(plan, &q, &k, queries.clone(), keys.clone(), &mut pattern);
        for (i, mut row) in pattern.rows_mut().into_iter().enumerate() {
            let row = row.as_slice_mut().expect("scratch rows are contiguous");
            lse[i] = softmax_with_log_sum_exp(row);
            if let Some(edit) = edit {
                edit(*head, queries.start + i, row);
            }
        }
        product(F::one(), &pattern, &value.clean(keys.clone()), F::zero(), out);
        let attends = |i: usize, j: usize| match edit {
            Some(_) => pattern[[i, j]] != F::zero(),
            None => plan.keys_of(queries.start + i).contains(&j),
        };
        value.add_bad_rows(&pattern, keys.start, attends, out.view_mut());
    });
    drop(tiles);
    log_sum_exp
}

/// `scale · q kᵀ` for a block of queries and a range of keys, with −∞ at masked pairs.
pub(crate) fn scores_into<F: Scalar>(
    plan: &Plan,
    q: &ArrayRef2<F>,
    k: &ArrayView2<'_, F>,
    queries: Range<usize>,
    keys: Range<usize>,
    scores: &mut ArrayRef2<F>,
) {
    product(F::from_f64(plan.scale), q, &k.t(), F::zero(), scores);
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

/// Writes `value` at the keys of a row that the query does not attend to; returns where the others are.
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

/// Softmax in place; returns the log-sum-exp of the row as it was.
pub(crate) fn softmax_with_log_sum_exp<F: Scalar>(row: &mut [F]) -> F {
    let top = maximum(row);
    softmax_in_place(row);
    // The largest score z has the share p = exp(z − lse), which saves a second pass of exponentials.
    // A row of −∞ became zeros and stays −∞; a row of NaN became NaN.
    if top == F::neg_infinity() { row.first().map_or(top, |&p| top + p) } else { top - maximum(row).ln() }
}

/// The largest number of a row, NaN aside; −∞ for an empty one.
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

/// `out = pattern · v` head by head.
pub(crate) fn apply_pattern<F: Scalar>(
    map: &HeadMap,
    pattern: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    out: &mut ArrayRef3<F>,
) {
    let values: Vec<Guarded<F>> = v.axis_iter(Axis(0)).map(Guarded::new).collect();
    let mut heads: Vec<_> = out.axis_iter_mut(Axis(0)).zip(pattern.axis_iter(Axis(0))).enumerate().collect();
    let work = pattern.len() * v.dim().2;
    tile::for_each(
        &mut heads,
        work,
        || (),
        |(), (head, (out, pattern))| {
            let value = &values[map.key_head(*head)];
            product(F::one(), pattern, &value.clean(0..pattern.ncols()), F::zero(), out);
            value.add_bad_rows(pattern, 0, |i, j| pattern[[i, j]] != F::zero(), out.view_mut());
        },
    );
}
