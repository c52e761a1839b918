//! The backward pass: one task a query head, in blocks of queries, then a sum over the heads of a group.

use crate::forward::{fill_masked, scores_into, softmax_with_log_sum_exp};
use crate::poison::Guarded;
use crate::tile::{self, product, scratch};
use crate::{Gradients, Saved};
use collimate_tensor::Scalar;
use ndarray::{Array2, Array3, ArrayRef2, ArrayRef3, Axis, s};

/// The gradients by the rotated q and k, and by v.
pub(crate) fn backward<F: Scalar>(saved: &Saved<F>, d_out: &ArrayRef3<F>) -> Gradients<F> {
    let plan = &saved.plan;
    let mut d_q = Array3::zeros(saved.q.dim());
    let nothing = || (Array2::zeros((0, 0)), Array2::zeros((0, 0)));
    let mut heads: Vec<_> = d_q.axis_iter_mut(Axis(0)).map(|d_q| (d_q, nothing())).enumerate().collect();
    tile::for_each(
        &mut heads,
        2 * plan.work(),
        || (),
        |(), (head, (d_q, by_key))| {
            *by_key = head_backward(saved, d_out, *head, d_q);
        },
    );
    let (mut d_k, mut d_v) = (Array3::zeros(saved.k.dim()), Array3::zeros(saved.v.dim()));
    // The sum runs in the order of the heads, whichever thread was first.
    for (head, (_, (k, v))) in &heads {
        let group = plan.map.key_head(*head);
        d_k.index_axis_mut(Axis(0), group).scaled_add(F::one(), k);
        d_v.index_axis_mut(Axis(0), group).scaled_add(F::one(), v);
    }
    drop(heads);
    Gradients { q: d_q, k: d_k, v: d_v }
}

/// Fills the gradient by q of one head and returns those by its k and v.
fn head_backward<F: Scalar>(
    saved: &Saved<F>,
    d_out: &ArrayRef3<F>,
    head: usize,
    d_q: &mut ArrayRef2<F>,
) -> (Array2<F>, Array2<F>) {
    let plan = &saved.plan;
    let group = plan.map.key_head(head);
    let (one, zero, scale) = (F::one(), F::zero(), F::from_f64(plan.scale));
    let q = Guarded::new(saved.q.index_axis(Axis(0), head));
    let d_out = Guarded::new(d_out.index_axis(Axis(0), head));
    let k = Guarded::new(saved.k.index_axis(Axis(0), group));
    let v = saved.v.index_axis(Axis(0), group);
    let (mut d_k, mut d_v) =
        (Array2::zeros((plan.keys, plan.width)), Array2::zeros((plan.keys, plan.value_width)));
    let (mut buffer, mut other) = (Vec::new(), Vec::new());
    for queries in plan.blocks() {
        let keys = plan.keys_of_block(queries.clone());
        let mut p = scratch(&mut buffer, queries.len(), keys.len());
        let mut d_z = scratch(&mut other, queries.len(), keys.len());
        pattern_into(saved, &q.raw(queries.clone()), &k.raw(keys.clone()), queries.clone(), &mut p);
        product(one, &d_out.raw(queries.clone()), &v.slice(s![keys.clone(), ..]).t(), zero, &mut d_z);
        for (i, (mut d_z, p)) in d_z.rows_mut().into_iter().zip(p.rows()).enumerate() {
            let row = d_z.as_slice_mut().expect("scratch rows are contiguous");
            // dP at a masked pair may be NaN, and P is 0 there: it is replaced, not multiplied.
            let seen = fill_masked(plan, queries.start + i, &keys, zero, row);
            let p = p.as_slice().expect("scratch rows are contiguous");
            softmax_backward(&p[seen.clone()], &mut row[seen]);
        }
        let attends = |i: usize, j: usize| plan.keys_of(queries.start + i).contains(&j);
        let mut d_q = d_q.slice_mut(s![queries.clone(), ..]);
        product(scale, &d_z, &k.clean(keys.clone()), zero, &mut d_q);
        let mut d_k = d_k.slice_mut(s![keys.clone(), ..]);
        product(scale, &d_z.t(), &q.clean(queries.clone()), one, &mut d_k);
        let mut d_v = d_v.slice_mut(s![keys.clone(), ..]);
        product(one, &p.t(), &d_out.clean(queries.clone()), one, &mut d_v);
        d_z.mapv_inplace(|x| x * scale);
        k.add_bad_rows(&d_z, keys.start, attends, d_q);
        // In the transposed products the rows are queries, and the key decides who is reached.
        let reached = |j: usize, i: usize| plan.keys_of(i).contains(&(keys.start + j));
        q.add_bad_rows(&d_z.t(), queries.start, reached, d_k);
        d_out.add_bad_rows(&p.t(), queries.start, reached, d_v);
    }
    (d_k, d_v)
}

/// The pattern of a block of queries, computed again; exactly 0 at masked pairs.
pub(crate) fn pattern_into<F: Scalar>(
    saved: &Saved<F>,
    q: &ArrayRef2<F>,
    k: &ndarray::ArrayView2<'_, F>,
    queries: std::ops::Range<usize>,
    pattern: &mut ArrayRef2<F>,
) {
    let plan = &saved.plan;
    let keys = plan.keys_of_block(queries.clone());
    scores_into(plan, q, k, queries.clone(), keys.clone(), pattern);
    for (i, mut row) in pattern.rows_mut().into_iter().enumerate() {
        let row = row.as_slice_mut().expect("scratch rows are contiguous");
        softmax_with_log_sum_exp(row);
        fill_masked(plan, queries.start + i, &keys, F::zero(), row);
    }
}

/// From dP to dZ in place: `dZ = P ∘ (dP − ⟨P, dP⟩)`. The same map carries Ż to Ṗ: the Jacobian is symmetric.
pub(crate) fn softmax_backward<F: Scalar>(p: &[F], d_p: &mut [F]) {
    let mean = collimate_tensor::dot(p, d_p);
    for (d, &p) in d_p.iter_mut().zip(p) {
        *d = p * (*d - mean);
    }
}
