//! The backward pass: one task a query head, over blocks of queries and, inside, tiles of keys.
//!
//! Each task writes gradients of its own; heads that share a key head, and the shares of one head, are summed afterwards in
//! their order, so the bits do not depend on the threads.

use crate::algebra::Pairing;
use crate::forward::Kept;
use crate::kernels::{Join, Tiles};
use crate::plan::{KEY_TILE, Piece, Plan, QUERY_BLOCK};
use crate::poison::Poisoned;
use crate::tile::{self, Arena, Space};
use collimate_tensor::{dot, zeros};
use ndarray::{Array3, Array4, ArrayView2, ArrayView4, ArrayViewMut2, Axis, CowArray, Ix1, ShapeBuilder, s};
use std::f64::consts::LOG2_E;
use std::ops::Range;

/// With fewer heads than this the keys of a head are cut into shares. A constant, so that the bits do not depend on the
/// number of threads.
const TASKS: usize = 4;

/// The gradients by the rotated q and k, and by v, over batch and heads.
pub struct Gradients4<F> {
    pub(crate) q: Array4<F>,
    pub(crate) k: Array4<F>,
    pub(crate) v: Array4<F>,
}

/// What the backward pass reads.
pub struct Pass<'a, F> {
    pub(crate) plan: &'a Plan,
    pub(crate) q: ArrayView4<'a, F>,
    pub(crate) k: ArrayView4<'a, F>,
    pub(crate) v: ArrayView4<'a, F>,
    /// The logit of the sink of each head, whose share the log-sum-exp already has.
    pub(crate) sink: Option<&'a [F]>,
    pub(crate) kept: &'a Kept<F>,
    /// The loss sees the heads as differences of pairs, first − weight · second, and its gradient is by these.
    pub(crate) difference: Option<(Pairing, F)>,
}

impl<F: Tiles> Pass<'_, F> {
    /// Where the gradient by the output of a head stands among those handed in, and the factor on it.
    fn outer(&self, head: usize) -> (usize, F) {
        let Some((pairing, weight)) = self.difference else { return (head, F::one()) };
        let (pair, second) = pairing.of(head, self.plan.heads);
        (pair, if second == 0 { F::one() } else { -weight })
    }
}

/// The gradient by the logits of the sinks: each takes what its share of a row would have given to the rest.
pub(crate) fn sink_gradient<F: Tiles>(pass: &Pass<'_, F>, d_out: &ArrayView4<'_, F>) -> Option<Vec<F>> {
    let sink = pass.sink?;
    let mut gradient = vec![F::zero(); sink.len()];
    for (batch, d_out) in d_out.outer_iter().enumerate() {
        for head in 0..pass.plan.heads {
            let (outer, factor) = pass.outer(head);
            let d_out = d_out.index_axis(Axis(0), outer);
            let out = pass.kept.out.slice(s![batch, head, .., ..]);
            let log_sum_exp = pass.kept.log_sum_exp.slice(s![batch, head, ..]);
            for ((d_out, out), &sum) in d_out.rows().into_iter().zip(out.rows()).zip(log_sum_exp) {
                gradient[head] -= sink_share(sink[head], sum) * factor * d_out.dot(&out);
            }
        }
    }
    Some(gradient)
}

/// What the sink takes of a row, from the log-sum-exp of both in units of log 2.
pub(crate) fn sink_share<F: Tiles>(sink: F, log_sum_exp: F) -> F {
    if sink == F::neg_infinity() { F::zero() } else { (sink * F::from_f64(LOG2_E) - log_sum_exp).exp2() }
}

/// One share of the keys of one query head.
struct Share<'a, F> {
    batch: usize,
    head: usize,
    keys: Range<usize>,
    d_q: ArrayViewMut2<'a, F>,
    d_k: ArrayViewMut2<'a, F>,
    d_v: ArrayViewMut2<'a, F>,
}

/// The gradients of a loss, from its gradient by the output.
pub(crate) fn backward<F: Tiles>(pass: &Pass<'_, F>, d_out: &ArrayView4<'_, F>) -> Gradients4<F> {
    let plan = pass.plan;
    let (batch, heads) = (plan.batch, plan.heads);
    let tiles = plan.keys.div_ceil(KEY_TILE).max(1);
    let shares = if batch * heads >= TASKS { 1 } else { TASKS.div_ceil((batch * heads).max(1)).min(tiles) };
    let length = tiles.div_ceil(shares) * KEY_TILE;
    // One row of matrices a task: (share, batch and head) for q, (batch and head) for k and v.
    let mut d_q: Array4<F> = zeros((shares, batch * heads, plan.queries, plan.width));
    let mut d_k: Array3<F> = zeros((batch * heads, plan.keys, plan.width));
    let mut d_v: Array3<F> = zeros((batch * heads, plan.keys, plan.value_width));
    let mut tasks = Vec::with_capacity(shares * batch * heads);
    let mut rest: Vec<_> = d_k.outer_iter_mut().zip(d_v.outer_iter_mut()).map(Some).collect();
    for (share, mut remaining) in d_q.outer_iter_mut().enumerate() {
        let start = (share * length).min(plan.keys);
        let keys = start..(start + length).min(plan.keys);
        // The matrices of the heads are moved out one by one.
        for (index, rest) in rest.iter_mut().enumerate() {
            let (own, others) = remaining.split_at(Axis(0), 1);
            remaining = others;
            let (k, v) = rest.take().expect("put back below");
            let ((d_k, k), (d_v, v)) = (k.split_at(Axis(0), keys.len()), v.split_at(Axis(0), keys.len()));
            *rest = Some((k, v));
            let (batch, head) = (index / heads, index % heads);
            tasks.push(Share {
                batch,
                head,
                keys: keys.clone(),
                d_q: own.index_axis_move(Axis(0), 0),
                d_k,
                d_v,
            });
        }
    }
    tile::run(&mut tasks, 2 * plan.work(), Arena::new, |arena, share| run_share(pass, d_out, arena, share));
    drop((tasks, rest));
    let shape = (batch, heads, plan.queries, plan.width);
    let mut parts = d_q.outer_iter_mut();
    let mut q = parts.next().expect("at least one share");
    parts.for_each(|part| q += &part);
    let q = if shares == 1 { d_q.index_axis_move(Axis(0), 0) } else { q.to_owned() };
    let q = q.into_shape_with_order(shape).expect("a new array is contiguous");
    let k = gathered(plan, pass.k.dim().1, |head| plan.key_head(head), d_k);
    Gradients4 { q, k, v: gathered(plan, pass.v.dim().1, |head| plan.value_head(head), d_v) }
}

/// The sum over the query heads that read a key or value head, in their order.
fn gathered<F: Tiles>(
    plan: &Plan,
    heads: usize,
    read: impl Fn(usize) -> usize + Sync,
    of_heads: Array3<F>,
) -> Array4<F> {
    let (_, rows, width) = of_heads.dim();
    let of_heads = of_heads.into_shape_with_order((plan.batch, plan.heads, rows, width));
    let of_heads = of_heads.expect("a new array is contiguous");
    if heads == plan.heads {
        // A map between equal numbers of heads is the identity.
        return of_heads;
    }
    let mut sums: Array3<F> = zeros((plan.batch * heads, rows, width));
    let mut tasks: Vec<_> = sums.outer_iter_mut().enumerate().collect();
    tile::run(
        &mut tasks,
        of_heads.len(),
        || (),
        |(), (index, sum)| {
            let (batch, at) = (*index / heads, *index % heads);
            sum.fill(F::zero());
            for head in (0..plan.heads).filter(|&head| read(head) == at) {
                *sum += &of_heads.slice(s![batch, head, .., ..]);
            }
        },
    );
    drop(tasks);
    sums.into_shape_with_order((plan.batch, heads, rows, width)).expect("a new array is contiguous")
}

fn run_share<F: Tiles>(
    pass: &Pass<'_, F>,
    d_out: &ArrayView4<'_, F>,
    arena: &mut Arena<F>,
    share: &mut Share<'_, F>,
) {
    let plan = pass.plan;
    let (zero, scale) = (F::zero(), F::from_f64(plan.scale));
    let (batch, head) = (share.batch, share.head);
    let (key_head, value_head) = (plan.key_head(head), plan.value_head(head));
    let (outer, weight) = pass.outer(head);
    let (q, d_out) = (pass.q.slice(s![batch, head, .., ..]), d_out.slice(s![batch, outer, .., ..]));
    let (k, v) = (pass.k.slice(s![batch, key_head, .., ..]), pass.v.slice(s![batch, value_head, .., ..]));
    let out = pass.kept.out.slice(s![batch, head, .., ..]);
    let log_sum_exp = pass.kept.log_sum_exp.slice(s![batch, head, ..]);
    let (d, e) = (plan.width, plan.value_width);
    let (wide_d, wide_e) = (F::whole(d), F::whole(e));
    let most = F::whole(QUERY_BLOCK.min(plan.queries));
    let sums = |wide: usize, width: usize| if wide == width { 0 } else { share.keys.len() * wide };
    let (room_k, room_v) = (sums(wide_d, d), sums(wide_e, e));
    let tile_room = KEY_TILE * most;
    let slope_room = if plan.softcap.is_some() { tile_room } else { 0 };
    let mut space = arena.space(&[
        tile_room,
        tile_room,
        d * most,
        e * most,
        d * most,
        most * wide_d,
        most * wide_e,
        most,
        most,
        most,
        room_k,
        room_v,
        slope_room,
    ]);
    let (p, d_z) = (space.take(tile_room), space.take(tile_room));
    let (q_columns, d_out_columns, d_q_columns) =
        (space.take(d * most), space.take(e * most), space.take(d * most));
    let (q_rows, d_out_rows) = (space.take(most * wide_d), space.take(most * wide_e));
    let (base, mean, factor) = (space.take(most), space.take(most), space.take(most));
    factor.fill(scale);
    let slope = space.take(slope_room);
    // A fresh page that is read before it is written costs a second fault, for which the other threads stop.
    share.d_k.fill(zero);
    share.d_v.fill(zero);
    // Gradients whose rows are whole vectors are summed where they will stay.
    let mut padded_k = Padded::new(&mut share.d_k, wide_d, &mut space, room_k);
    let mut padded_v = Padded::new(&mut share.d_v, wide_e, &mut space, room_v);
    for queries in plan.blocks() {
        let seen = plan.keys_of_block(queries.clone());
        let seen = seen.start.max(share.keys.start)..seen.end.min(share.keys.end);
        if seen.is_empty() {
            continue;
        }
        let width = F::whole(queries.len());
        let (q, d_out) = (q.slice(s![queries.clone(), ..]), d_out.slice(s![queries.clone(), ..]));
        let (bad_q, bad_d_out) = (Poisoned::find(&q), Poisoned::find(&d_out));
        F::into_columns(&q, F::from_f64(plan.scale * LOG2_E), width, q_columns);
        F::into_columns(&d_out, weight, width, d_out_columns);
        F::into_rows(&clean(&bad_q, &q), scale, wide_d, q_rows);
        F::into_rows(&clean(&bad_d_out, &d_out), weight, wide_e, d_out_rows);
        base.fill(zero);
        mean.fill(zero);
        for (i, query) in queries.clone().enumerate() {
            base[i] = log_sum_exp[query];
            // Rows that do not lie in one piece are copied, so that strides change no bit.
            let (d_out, out) = (d_out.row(i), out.row(query));
            let [d_out, out] = [d_out.as_standard_layout(), out.as_standard_layout()];
            mean[i] = weight * dot(in_one_piece(&d_out), in_one_piece(&out));
        }
        d_q_columns[..d * width].fill(zero);
        let all = width;
        for Piece { keys, queries: part, full } in plan.pieces(queries.clone(), seen, F::whole(1)) {
            let (k, v) = (k.slice(s![keys.clone(), ..]), v.slice(s![keys.clone(), ..]));
            // The columns of the queries that see these keys.
            let (first, width) = (part.start, F::whole(part.end) - part.start);
            let columns = first..first + width;
            let (p, d_z) = (&mut p[..keys.len() * width], &mut d_z[..keys.len() * width]);
            F::product_part(&k, (&q_columns[first..], all), width, Join::Replace, (p, width));
            if let Some(cap) = plan.softcap {
                F::softcap(p, &mut slope[..keys.len() * width], F::from_f64(cap * LOG2_E));
            }
            F::pattern(p, width, &base[columns.clone()]);
            F::product_part(&v, (&d_out_columns[first..], all), width, Join::Replace, (d_z, width));
            let mean = &mean[columns];
            match plan.softcap {
                Some(_) => F::softmax_backward_sloped(p, slope, d_z, width, mean),
                None => F::softmax_backward(p, d_z, width, mean),
            }
            if !full {
                let masked = queries.start + part.start..queries.start + part.end;
                plan.fill_masked(masked.clone(), keys.clone(), zero, p, width);
                plan.fill_masked(masked, keys.clone(), zero, d_z, width);
            }
            let local = keys.start - share.keys.start..keys.end - share.keys.start;
            let (of_k, of_v) = (padded_k.rows(local.clone()), padded_v.rows(local));
            let matrix = |tile| tile_view(tile, part.len(), width);
            F::product(&matrix(&*p), &d_out_rows[first * wide_e..], wide_e, Join::Add, of_v);
            F::product(&matrix(&*d_z), &q_rows[first * wide_d..], wide_d, Join::Add, of_k);
            let attends = |j: usize, i: usize| plan.attends(queries.start + i, keys.start + j);
            if let Some(bad) = &bad_d_out {
                bad.add_to_rows(&d_out, weight, p, (first, width), attends, of_v, wide_e);
            }
            if let Some(bad) = &bad_q {
                bad.add_to_rows(&q, scale, d_z, (first, width), attends, of_k, wide_d);
            }
            match if full { None } else { Poisoned::find(&k) } {
                None => {
                    F::product_part(&k.t(), (d_z, width), width, Join::Add, (&mut d_q_columns[first..], all))
                }
                Some(bad) => {
                    let (clean, d_q) = (bad.clean.t(), &mut d_q_columns[first..]);
                    F::product_part(&clean, (d_z, width), width, Join::Add, (d_q, all));
                    let attends = |j: usize, i: usize| attends(j, first + i);
                    bad.add_to_columns(&k, d_z, part.len(), width, attends, (d_q, all));
                }
            }
        }
        F::out_of_columns(d_q_columns, width, factor, &mut share.d_q.slice_mut(s![queries, ..]));
    }
    padded_k.finish();
    padded_v.finish();
}

fn in_one_piece<'a, F>(row: &'a CowArray<'_, F, Ix1>) -> &'a [F] {
    row.as_slice().expect("a row in standard layout is contiguous")
}

/// The rows without those that are not finite.
fn clean<'a, F>(bad: &'a Option<Poisoned<F>>, raw: &'a ArrayView2<'_, F>) -> ArrayView2<'a, F> {
    bad.as_ref().map_or_else(|| raw.view(), |bad| bad.clean.view())
}

/// A tile as a matrix (keys, queries).
pub(crate) fn tile_view<F>(tile: &[F], queries: usize, width: usize) -> ArrayView2<'_, F> {
    let shape = (tile.len() / width, queries).strides((width, 1));
    ArrayView2::from_shape(shape, tile).expect("a tile is rows of that width")
}

/// Rows filled up to whole vectors, in which a gradient is summed.
enum Padded<'a, 'b, F> {
    /// The rows are whole vectors as they are.
    Direct(&'a mut [F], usize),
    Copied {
        sums: &'a mut [F],
        wide: usize,
        to: &'a mut ArrayViewMut2<'b, F>,
    },
}

impl<'a, 'b, F: Tiles> Padded<'a, 'b, F> {
    fn new(to: &'a mut ArrayViewMut2<'b, F>, wide: usize, space: &mut Space<'a, F>, room: usize) -> Self {
        if to.ncols() == wide {
            return Self::Direct(to.as_slice_mut().expect("rows of a new array are contiguous"), wide);
        }
        let sums = space.take(room);
        sums.fill(F::zero());
        Self::Copied { sums, wide, to }
    }

    fn rows(&mut self, rows: Range<usize>) -> &mut [F] {
        match self {
            Self::Direct(sums, wide) | Self::Copied { sums, wide, .. } => {
                &mut sums[rows.start * *wide..rows.end * *wide]
            }
        }
    }

    fn finish(self) {
        if let Self::Copied { sums, wide, to } = self {
            for (mut to, sums) in to.rows_mut().into_iter().zip(sums.chunks_exact(wide)) {
                to.iter_mut().zip(sums).for_each(|(to, &sum)| *to = sum);
            }
        }
    }
}
