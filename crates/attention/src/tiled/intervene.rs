//! Forward passes with a change of the scores or of the pattern.

use super::block::{HeadBlock, Input, head_blocks, matrices};
use super::forward;
use super::intervention::{Intervention, PatternRow, RowEdit, Tile, TileEdit, as_queries};
use super::nonfinite::{NonFinite, clean};
use super::plan::{KEY_TILE, Plan};
use super::scores::{scores_into, softmax_with_log_sum_exp};
use super::tile::{Arena, scratch};
use crate::AttentionError;
use crate::kernels::{Join, Loops, whole};
use crate::tasks::{self, product};
use ndarray::{Array3, ArrayRef2, ArrayView2, ArrayView4, ArrayViewMut2, ArrayViewMut4, Ix4, s};
use std::f64::consts::LOG2_E;

/// Fills `out` `[b, h, t, e]`.
pub(crate) fn intervene<F: Loops>(
    input: &Input<'_, F>,
    out: ArrayViewMut4<'_, F>,
    intervention: Intervention<'_, F, Ix4>,
) -> Result<(), AttentionError> {
    match intervention {
        Intervention::Scores(edit) => {
            let Input { plan, q, k, v, sink, .. } = input;
            let [q, k, v] = [q, k, v].map(|x| x.view());
            forward::forward(&Input { plan, q, k, v, sink: *sink, edit: Some(edit) }, out, None)
        }
        Intervention::Pattern(edit) => edit_pattern(input, out, edit),
        Intervention::Rows(edit) => {
            edit_rows(input, out, edit);
            Ok(())
        }
        Intervention::Replace(pattern) => {
            replace_pattern(input, out, &pattern);
            Ok(())
        }
    }
}

/// Runs twice: the first pass finds the log-sum-exp, the second pass changes the pattern tile by tile and multiplies it by the
/// values.
fn edit_pattern<F: Loops>(
    input: &Input<'_, F>,
    mut out: ArrayViewMut4<'_, F>,
    edit: TileEdit<'_, F>,
) -> Result<(), AttentionError> {
    let plan = input.plan;
    let mut log_sum_exp = plan.no_keys();
    forward::forward(input, out.view_mut(), Some(&mut log_sum_exp))?;
    let mut blocks = head_blocks(plan, out);
    tasks::run(&mut blocks, plan.work(), Arena::new, |arena, block| {
        edit_pattern_of_block(input, &log_sum_exp, edit, arena, block);
    });
    Ok(())
}

fn edit_pattern_of_block<F: Loops>(
    input: &Input<'_, F>,
    log_sum_exp: &Array3<F>,
    edit: TileEdit<'_, F>,
    arena: &mut Arena<F>,
    block: &mut HeadBlock<'_, F>,
) {
    let Input { plan, q, k, v, .. } = input;
    let (batch, head, queries) = (block.batch, block.head, block.queries.clone());
    let (key_head, value_head) = (plan.key_head(head), plan.value_head(head));
    let (d, e, width) = (plan.width, plan.value_width, whole::<F>(queries.len()));
    let mut space = arena.space(&[KEY_TILE * width, d * width, e * width, width, width]);
    let (tile, q_columns, sum) = (space.take(KEY_TILE * width), space.take(d * width), space.take(e * width));
    let (base, ones) = (space.take(width), space.take(width));
    let q = q.slice(s![batch, head, queries.clone(), ..]);
    F::into_columns(&q, F::from_f64(plan.scale * LOG2_E), width, q_columns);
    sum.fill(F::zero());
    base.fill(F::zero());
    ones.fill(F::one());
    let log_sum_exp = log_sum_exp.slice(s![batch, head, queries.clone()]);
    base.iter_mut().zip(log_sum_exp).for_each(|(to, &x)| *to = x);
    // An edit may put weight on any key, so all keys are visited.
    for keys in Plan::tiles(0..plan.keys) {
        let k = k.slice(s![batch, key_head, keys.clone(), ..]);
        let v = v.slice(s![batch, value_head, keys.clone(), ..]);
        let tile = &mut tile[..keys.len() * width];
        F::product(&k, q_columns, width, Join::Replace, tile);
        if let Some(cap) = plan.softcap {
            F::softcap_only(tile, F::from_f64(cap * LOG2_E));
        }
        F::pattern(tile, width, base);
        plan.fill_masked(queries.clone(), keys.clone(), F::zero(), tile, width);
        let values = as_queries(tile, queries.len(), width);
        edit(Tile { batch, head, queries: queries.clone(), keys, values });
        add_values(&v, (tile, width), queries.len(), sum);
    }
    F::out_of_columns(sum, width, ones, &mut block.out);
}

/// Adds `vᵀ tile` to the sums. A value with a weight of exactly 0 has no influence, even if it is NaN.
fn add_values<F: Loops>(v: &ArrayView2<'_, F>, (tile, width): (&[F], usize), queries: usize, sum: &mut [F]) {
    let Some(nonfinite) = NonFinite::find(v) else {
        return F::product(&v.t(), tile, width, Join::Add, sum);
    };
    F::product(&nonfinite.clean.t(), tile, width, Join::Add, sum);
    let has_weight = |j: usize, i: usize| tile[j * width + i] != F::zero();
    nonfinite.add_to_columns(v, (tile, width), queries, has_weight, (sum, width));
}

/// Computes whole rows of the pattern, changes them, and multiplies them by the values.
fn edit_rows<F: Loops>(input: &Input<'_, F>, out: ArrayViewMut4<'_, F>, edit: RowEdit<'_, F>) {
    let Input { plan, q, k, v, .. } = input;
    let (nonfinite, v_heads) = (nonfinite_values(v), v.dim().1);
    let mut blocks = head_blocks(plan, out);
    // Late blocks of a causal mask are the long ones, so they come first.
    blocks.reverse();
    tasks::run(&mut blocks, plan.work(), Vec::new, |buffer, block| {
        let HeadBlock { batch, head, queries, out } = block;
        let (batch, head) = (*batch, *head);
        // An edit may put weight on any key, so the rows span all keys.
        let keys = 0..plan.keys;
        let mut pattern = scratch(buffer, queries.len(), keys.len());
        let q = q.slice(s![batch, head, queries.clone(), ..]);
        let k = k.slice(s![batch, plan.key_head(head), .., ..]);
        scores_into(plan, &q, &k, queries.clone(), keys, &mut pattern);
        for (i, mut row) in pattern.rows_mut().into_iter().enumerate() {
            let values = row.as_slice_mut().expect("scratch rows are contiguous");
            softmax_with_log_sum_exp(values);
            edit(PatternRow { batch, head, query: queries.start + i, values });
        }
        let value_head = plan.value_head(head);
        let v = v.slice(s![batch, value_head, .., ..]);
        times_values(&pattern, &v, &nonfinite[batch * v_heads + value_head], out);
    });
}

/// Multiplies a given pattern, whose shape the caller has checked, by the values.
fn replace_pattern<F: Loops>(input: &Input<'_, F>, out: ArrayViewMut4<'_, F>, pattern: &ArrayView4<'_, F>) {
    let Input { plan, v, .. } = input;
    let (nonfinite, v_heads) = (nonfinite_values(v), v.dim().1);
    let mut heads: Vec<_> = matrices(out).into_iter().enumerate().collect();
    let work = pattern.len() * plan.value_width;
    tasks::run(
        &mut heads,
        work,
        || (),
        |(), (index, out)| {
            let (batch, head) = (*index / plan.heads, *index % plan.heads);
            let value_head = plan.value_head(head);
            let v = v.slice(s![batch, value_head, .., ..]);
            let pattern = pattern.slice(s![batch, head, .., ..]);
            times_values(&pattern, &v, &nonfinite[batch * v_heads + value_head], out);
        },
    );
}

/// Finds the non-finite values of each value head.
fn nonfinite_values<F: Loops>(v: &ArrayView4<'_, F>) -> Vec<Option<NonFinite<F>>> {
    v.outer_iter().flat_map(|v| v.outer_iter().map(|v| NonFinite::find(&v)).collect::<Vec<_>>()).collect()
}

/// Writes `pattern · v`. A value with a weight of exactly 0 has no influence, even if it is NaN.
fn times_values<F: Loops>(
    pattern: &ArrayRef2<F>,
    v: &ArrayView2<'_, F>,
    nonfinite: &Option<NonFinite<F>>,
    out: &mut ArrayViewMut2<'_, F>,
) {
    product(F::one(), pattern, &clean(nonfinite, v), F::zero(), out);
    if let Some(nonfinite) = nonfinite {
        nonfinite.add_products(v, pattern, out);
    }
}
