//! The forward-mode derivative: one task a block of queries of one head.

use crate::Saved;
use crate::backward::{pattern_into, softmax_backward};
use crate::forward::fill_masked;
use crate::poison::Guarded;
use crate::tile::{self, product, scratch};
use collimate_tensor::Scalar;
use ndarray::{Array3, ArrayRef3, Axis, s};

/// The derivative of the output along (q̇, k̇, v̇), where q̇ and k̇ are already rotated.
pub(crate) fn jvp<F: Scalar>(
    saved: &Saved<F>,
    q_dot: &ArrayRef3<F>,
    k_dot: &ArrayRef3<F>,
    v_dot: &ArrayRef3<F>,
) -> Array3<F> {
    let plan = &saved.plan;
    let (one, zero, scale) = (F::one(), F::zero(), F::from_f64(plan.scale));
    let values: Vec<Guarded<F>> = saved.v.axis_iter(Axis(0)).map(Guarded::new).collect();
    let directions: Vec<Guarded<F>> = v_dot.axis_iter(Axis(0)).map(Guarded::new).collect();
    let mut out = Array3::zeros((plan.heads, plan.queries, plan.value_width));
    let mut tiles = Vec::new();
    for (head, mut rows) in out.axis_iter_mut(Axis(0)).enumerate() {
        for queries in plan.blocks() {
            let (block, rest) = rows.split_at(Axis(0), queries.len());
            tiles.push((head, queries, block));
            rows = rest;
        }
    }
    let buffers = || (Vec::new(), Vec::new());
    tile::for_each(&mut tiles, 2 * plan.work(), buffers, |(buffer, other), (head, queries, out)| {
        let (head, group) = (*head, plan.map.key_head(*head));
        let keys = plan.keys_of_block(queries.clone());
        let mut p = scratch(buffer, queries.len(), keys.len());
        let mut p_dot = scratch(other, queries.len(), keys.len());
        let (q, k) =
            (saved.q.slice(s![head, queries.clone(), ..]), saved.k.slice(s![group, keys.clone(), ..]));
        pattern_into(saved, &q, &k, queries.clone(), &mut p);
        product(scale, &q_dot.slice(s![head, queries.clone(), ..]), &k.t(), zero, &mut p_dot);
        product(scale, &q, &k_dot.slice(s![group, keys.clone(), ..]).t(), one, &mut p_dot);
        for (i, (mut row, p)) in p_dot.rows_mut().into_iter().zip(p.rows()).enumerate() {
            let row = row.as_slice_mut().expect("scratch rows are contiguous");
            let seen = fill_masked(plan, queries.start + i, &keys, zero, row);
            let p = p.as_slice().expect("scratch rows are contiguous");
            softmax_backward(&p[seen.clone()], &mut row[seen]);
        }
        let (value, direction) = (&values[group], &directions[group]);
        product(one, &p_dot, &value.clean(keys.clone()), zero, out);
        product(one, &p, &direction.clean(keys.clone()), one, out);
        let attends = |i: usize, j: usize| plan.keys_of(queries.start + i).contains(&j);
        value.add_bad_rows(&p_dot, keys.start, attends, out.view_mut());
        direction.add_bad_rows(&p, keys.start, attends, out.view_mut());
    });
    drop(tiles);
    out
}
