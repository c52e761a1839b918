//! The forward-mode derivative: one task for each block of queries of one head, over tiles of keys.
//!
//! The log-sum-exp gives the pattern, so one pass is enough: the sums of `Ṗ v + P v̇` and of `⟨P, Ż⟩` run side by side, and the
//! second sum, times the output, is subtracted at the end.

use super::backward::{Pass, sink_share};
use super::block::{HeadBlock, head_blocks};
use super::nonfinite::NonFinite;
use super::plan::{KEY_TILE, Plan};
use super::tile::Arena;
use crate::kernels::{Join, Loops, whole};
use crate::tasks;
use collimate_tensor::zeros;
use ndarray::{Array4, ArrayView2, ArrayView4, s};
use std::f64::consts::LOG2_E;
use std::ops::Range;

/// Computes the derivative of the output along (q̇, k̇, v̇), where q̇ and k̇ are already rotated, and along the logits of the sinks.
pub(crate) fn jvp<F: Loops>(
    pass: &Pass<'_, F>,
    direction: [ArrayView4<'_, F>; 3],
    sink: Option<&[F]>,
) -> Array4<F> {
    let plan = pass.plan;
    let mut out: Array4<F> = zeros(plan.out_shape());
    let length = |block: &HeadBlock<'_, F>| plan.keys_of_block(block.queries.clone()).len();
    let mut blocks = tasks::longest_first(head_blocks(plan, out.view_mut()), length);
    tasks::run(&mut blocks, 2 * plan.work(), Arena::new, |arena, block| {
        run_block(pass, &direction, sink, arena, block)
    });
    drop(blocks);
    out
}

fn run_block<F: Loops>(
    pass: &Pass<'_, F>,
    direction: &[ArrayView4<'_, F>; 3],
    sink_dot: Option<&[F]>,
    arena: &mut Arena<F>,
    block: &mut HeadBlock<'_, F>,
) {
    let plan = pass.plan;
    let (zero, scale) = (F::zero(), F::from_f64(plan.scale * LOG2_E));
    let (batch, head) = (block.batch, block.head);
    let (key_head, value_head) = (plan.key_head(head), plan.value_head(head));
    let queries = block.queries.clone();
    let [q_dot, k_dot, v_dot] = direction;
    let (d, e, width) = (plan.width, plan.value_width, whole::<F>(queries.len()));
    let room = KEY_TILE * width;
    let mut space = arena.space(&[room, room, room, d * width, d * width, e * width, width, width, width]);
    let (p, z, slope) = (space.take(room), space.take(room), space.take(room));
    let (q_columns, q_dot_columns, sum) =
        (space.take(d * width), space.take(d * width), space.take(e * width));
    let (base, mean, ones) = (space.take(width), space.take(width), space.take(width));
    F::into_columns(&pass.q.slice(s![batch, head, queries.clone(), ..]), scale, width, q_columns);
    F::into_columns(&q_dot.slice(s![batch, head, queries.clone(), ..]), scale, width, q_dot_columns);
    base.fill(zero);
    mean.fill(zero);
    sum.fill(zero);
    ones.fill(F::one());
    for (i, query) in queries.clone().enumerate() {
        base[i] = pass.kept.log_sum_exp[[batch, head, query]];
        if let (Some(sink), Some(dot)) = (pass.sink, sink_dot) {
            mean[i] = sink_share(sink[head], base[i]) * dot[head];
        }
    }
    for keys in Plan::tiles(plan.keys_of_block(queries.clone())) {
        let [k, k_dot] = [&pass.k, k_dot].map(|x| x.slice(s![batch, key_head, keys.clone(), ..]));
        let [v, v_dot] = [&pass.v, v_dot].map(|x| x.slice(s![batch, value_head, keys.clone(), ..]));
        let (p, z) = (&mut p[..keys.len() * width], &mut z[..keys.len() * width]);
        F::product(&k, q_columns, width, Join::Replace, p);
        if let Some(cap) = plan.softcap {
            F::softcap(p, &mut slope[..keys.len() * width], F::from_f64(cap * LOG2_E));
        }
        F::pattern(p, width, base);
        F::product(&k, q_dot_columns, width, Join::Replace, z);
        F::product(&k_dot, q_columns, width, Join::Add, z);
        if plan.softcap.is_some() {
            F::times(z, slope);
        }
        let full = plan.all_attend(queries.clone(), keys.clone());
        if !full {
            plan.fill_masked(queries.clone(), keys.clone(), zero, p, width);
            plan.fill_masked(queries.clone(), keys.clone(), zero, z, width);
        }
        F::tangent(p, z, width, mean);
        for (weights, values) in [(&*z, v), (&*p, v_dot)] {
            add_values(plan, (&queries, &keys), full, &values, (weights, width), sum);
        }
    }
    F::out_of_columns(sum, width, ones, &mut block.out);
    let kept = pass.kept.out.slice(s![batch, head, queries, ..]);
    for (i, (mut to, kept)) in block.out.rows_mut().into_iter().zip(kept.rows()).enumerate() {
        // A query without keys keeps its zeros.
        if base[i] != F::neg_infinity() {
            to.scaled_add(-mean[i], &kept);
        }
    }
}

/// Adds weights times values to the sums.
fn add_values<F: Loops>(
    plan: &Plan,
    (queries, keys): (&Range<usize>, &Range<usize>),
    full: bool,
    values: &ArrayView2<'_, F>,
    (weights, width): (&[F], usize),
    sum: &mut [F],
) {
    let Some(nonfinite) = (if full { None } else { NonFinite::find(values) }) else {
        return F::product(&values.t(), weights, width, Join::Add, sum);
    };
    F::product(&nonfinite.clean.t(), weights, width, Join::Add, sum);
    let attends = |j: usize, i: usize| plan.attends(queries.start + i, keys.start + j);
    nonfinite.add_to_columns(values, (weights, width), queries.len(), attends, (sum, width));
}
