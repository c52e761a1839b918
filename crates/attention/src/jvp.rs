//! The forward-mode derivative: one task a block of queries of one head, over tiles of keys.
//!
//! With the pattern known from the log-sum-exp one pass is enough: the sums of `Ṗ v + P v̇` and of `⟨P, Ż⟩` run side by side, and the
//! second is taken off at the end as a multiple of the output.

use crate::backward::{Pass, sink_share};
use crate::kernels::{Join, Tiles};
use crate::plan::{KEY_TILE, Plan};
use crate::poison::Poisoned;
use crate::tile::{self, Arena};
use collimate_tensor::zeros;
use ndarray::{Array4, ArrayView4, ArrayViewMut2, Axis, s};
use std::f64::consts::LOG2_E;
use std::ops::Range;

struct Block<'a, F> {
    batch: usize,
    head: usize,
    queries: Range<usize>,
    out: ArrayViewMut2<'a, F>,
}

/// The derivative of the output along (q̇, k̇, v̇), where q̇ and k̇ are already rotated, and along the logits of the sinks.
pub(crate) fn jvp<F: Tiles>(
    pass: &Pass<'_, F>,
    direction: [ArrayView4<'_, F>; 3],
    sink: Option<&[F]>,
) -> Array4<F> {
    let plan = pass.plan;
    let mut out: Array4<F> = zeros((plan.batch, plan.heads, plan.queries, plan.value_width));
    let mut batches: Vec<_> = out.outer_iter_mut().collect();
    let mut blocks = Vec::new();
    for (index, mut rows) in batches.iter_mut().flat_map(|out| out.outer_iter_mut()).enumerate() {
        for queries in plan.blocks() {
            let (own, rest) = rows.split_at(Axis(0), queries.len());
            rows = rest;
            blocks.push(Block { batch: index / plan.heads, head: index % plan.heads, queries, out: own });
        }
    }
    blocks.sort_by_key(|block| std::cmp::Reverse(plan.keys_of_block(block.queries.clone()).len()));
    tile::run(&mut blocks, 2 * plan.work(), Arena::new, |arena, block| {
        run_block(pass, &direction, sink, arena, block)
    });
    drop(blocks);
    drop(batches);
    out
}

fn run_block<F: Tiles>(
    pass: &Pass<'_, F>,
    direction: &[ArrayView4<'_, F>; 3],
    sink_dot: Option<&[F]>,
    arena: &mut Arena<F>,
    block: &mut Block<'_, F>,
) {
    let plan = pass.plan;
    let (zero, scale) = (F::zero(), F::from_f64(plan.scale * LOG2_E));
    let (batch, head) = (block.batch, block.head);
    let (key_head, value_head) = (plan.key_head(head), plan.value_head(head));
    let queries = block.queries.clone();
    let [q_dot, k_dot, v_dot] = direction;
    let (d, e, width) = (plan.width, plan.value_width, F::whole(queries.len()));
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
            match if full { None } else { Poisoned::find(&values) } {
                None => F::product(&values.t(), weights, width, Join::Add, sum),
                Some(bad) => {
                    F::product(&bad.clean.t(), weights, width, Join::Add, sum);
                    let attends = |j: usize, i: usize| plan.attends(queries.start + i, keys.start + j);
                    bad.add_to_columns(&values, weights, queries.len(), width, attends, (sum, width));
                }
            }
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
