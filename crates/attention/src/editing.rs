//! Forward passes in which a whole row of the pattern is at hand: an intervention, or a given pattern.

use crate::HeadMap;
use crate::element::Edit;
use crate::kernels::Tiles;
use crate::plan::{Plan, QUERY_BLOCK};
use crate::poison::Guarded;
use crate::scores::{scores_into, softmax_with_log_sum_exp};
use crate::tile::{self, product, scratch};
use ndarray::{ArrayRef3, Axis, s};

/// Fills `out` (h, t, e) from a pattern that `edit` changes row by row.
pub(crate) fn forward_editing<F: Tiles>(
    plan: &Plan,
    q: &ArrayRef3<F>,
    k: &ArrayRef3<F>,
    v: &ArrayRef3<F>,
    edit: Edit<'_, F>,
    out: &mut ArrayRef3<F>,
) {
    let values: Vec<Guarded<F>> = v.axis_iter(Axis(0)).map(Guarded::new).collect();
    let mut tiles = Vec::with_capacity(plan.heads * plan.queries.div_ceil(QUERY_BLOCK));
    for (head, mut out) in out.axis_iter_mut(Axis(0)).enumerate() {
        // Splitting hands each task its own rows of the output, so no two tasks meet.
        for queries in plan.blocks() {
            let (block, rest) = out.split_at(Axis(0), queries.len());
            tiles.push((head, queries, block));
            out = rest;
        }
    }
    tile::for_each(&mut tiles, plan.work(), Vec::new, |buffer, (head, queries, out)| {
        let group = plan.key_head(*head);
        let value = &values[group];
        // An edit may put weight on any key, so its rows span all of them.
        let keys = 0..plan.keys;
        let mut pattern = scratch(buffer, queries.len(), keys.len());
        let q = q.slice(s![*head, queries.clone(), ..]);
        let k = k.slice(s![group, .., ..]);
        scores_into(plan, &q, &k, queries.clone(), keys.clone(), &mut pattern);
        for (i, mut row) in pattern.rows_mut().into_iter().enumerate() {
            let row = row.as_slice_mut().expect("scratch rows are contiguous");
            softmax_with_log_sum_exp(row);
            edit(*head, queries.start + i, row);
        }
        product(F::one(), &pattern, &value.clean(keys.clone()), F::zero(), out);
        let attends = |i: usize, j: usize| pattern[[i, j]] != F::zero();
        value.add_bad_rows(&pattern, keys.start, attends, out.view_mut());
    });
}

/// `out = pattern · v` head by head.
pub(crate) fn apply_pattern<F: Tiles>(
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
