//! The backward pass: one task for each query head, over blocks of queries and, inside, tiles of keys.
//!
//! The stages of a task: for each block of queries [`load`] → for each piece of the keys [`tile_gradient`] →
//! [`add_to_keys_and_values`] and [`add_to_queries`] → the gradient of the block is written.
//! Each task writes gradients of its own. Heads that share a key head, and the shares of one head, are summed afterwards in
//! order, so the bits do not depend on the threads.

use super::block::{Kept, outer};
use super::nonfinite::{NonFinite, clean};
use super::padded::Padded;
use super::plan::{KEY_TILE, Piece, Plan, QUERY_BLOCK};
use super::tile::{Arena, Space, columns_from, columns_from_mut, tile_view};
use crate::kernels::{Join, Loops, whole};
use crate::parts::Pairing;
use crate::tasks;
use collimate_tensor::{dot, zeros};
use ndarray::{Array3, Array4, ArrayView1, ArrayView2, ArrayView4, ArrayViewMut2, Axis, CowArray, Ix1, s};
use std::f64::consts::LOG2_E;
use std::ops::Range;

/// The number of heads below which the keys of a head are cut into shares. A constant, so that the bits do not depend on the
/// number of threads.
const TASKS: usize = 4;

/// The gradients by the rotated q and k, and by v, with a batch axis.
pub struct Gradients4<F> {
    pub(crate) q: Array4<F>,
    pub(crate) k: Array4<F>,
    pub(crate) v: Array4<F>,
}

/// The input of a derivative pass.
pub(crate) struct Pass<'a, F> {
    pub(crate) plan: &'a Plan,
    pub(crate) q: ArrayView4<'a, F>,
    pub(crate) k: ArrayView4<'a, F>,
    pub(crate) v: ArrayView4<'a, F>,
    /// The logit of the sink of each head, which the log-sum-exp contains.
    pub(crate) sink: Option<&'a [F]>,
    pub(crate) kept: &'a Kept<F>,
    /// The pairing and the weight, if the loss depends on the differences of pairs of heads, first − weight · second. The
    /// gradient is then by these differences.
    pub(crate) difference: Option<(Pairing, F)>,
}

impl<F: Loops> Pass<'_, F> {
    /// Returns the place of the gradient by the output of a head among the given gradients, and the factor on it.
    fn outer(&self, head: usize) -> (usize, F) {
        let Some((pairing, weight)) = self.difference else { return (head, F::one()) };
        let (pair, second) = pairing.of(head, self.plan.heads);
        (pair, if second == 0 { F::one() } else { -weight })
    }
}

/// Computes the gradient by the logits of the sinks: `ds = −Σᵢ p_sink,ᵢ ⟨dOᵢ, Oᵢ⟩`.
pub(crate) fn sink_gradient<F: Loops>(pass: &Pass<'_, F>, d_out: &ArrayView4<'_, F>) -> Option<Vec<F>> {
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

/// Returns the share of the sink in a row, from the log-sum-exp of scores and sink in units of log 2.
pub(crate) fn sink_share<F: Loops>(sink: F, log_sum_exp: F) -> F {
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

/// Computes the gradients of a loss from its gradient by the output.
pub(crate) fn backward<F: Loops>(pass: &Pass<'_, F>, d_out: &ArrayView4<'_, F>) -> Gradients4<F> {
    let plan = pass.plan;
    let (batch, heads) = (plan.batch, plan.heads);
    let tiles = plan.keys.div_ceil(KEY_TILE).max(1);
    let shares = if batch * heads >= TASKS { 1 } else { TASKS.div_ceil((batch * heads).max(1)).min(tiles) };
    let length = tiles.div_ceil(shares) * KEY_TILE;
    // One matrix for each task: (share, batch and head) for q, rows of (batch and head) for k and v.
    let mut d_q: Array4<F> = zeros((shares, batch * heads, plan.queries, plan.width));
    let mut d_k: Array3<F> = zeros((batch * heads, plan.keys, plan.width));
    let mut d_v: Array3<F> = zeros((batch * heads, plan.keys, plan.value_width));
    let mut tasks = Vec::with_capacity(shares * batch * heads);
    let mut rest: Vec<_> = d_k.outer_iter_mut().zip(d_v.outer_iter_mut()).map(Some).collect();
    for (share, d_q) in outer(d_q.view_mut()).into_iter().enumerate() {
        let start = (share * length).min(plan.keys);
        let keys = start..(start + length).min(plan.keys);
        for (index, (d_q, rest)) in outer(d_q).into_iter().zip(&mut rest).enumerate() {
            let (k, v) = rest.take().expect("put back below");
            let ((d_k, k), (d_v, v)) = (k.split_at(Axis(0), keys.len()), v.split_at(Axis(0), keys.len()));
            *rest = Some((k, v));
            let (batch, head) = (index / heads, index % heads);
            tasks.push(Share { batch, head, keys: keys.clone(), d_q, d_k, d_v });
        }
    }
    tasks::run(&mut tasks, 2 * plan.work(), Arena::new, |arena, share| run_share(pass, d_out, arena, share));
    drop((tasks, rest));
    let shape = (batch, heads, plan.queries, plan.width);
    let mut parts = d_q.outer_iter_mut();
    let mut q = parts.next().expect("at least one share");
    parts.for_each(|part| q += &part);
    let q = if shares == 1 { d_q.index_axis_move(Axis(0), 0) } else { q.to_owned() };
    let q = q.into_shape_with_order(shape).expect("a new array is contiguous");
    let k = gathered(plan, pass.k.dim().1, &|head| plan.key_head(head), d_k);
    Gradients4 { q, k, v: gathered(plan, pass.v.dim().1, &|head| plan.value_head(head), d_v) }
}

/// Sums over the query heads that read a key or value head, in order.
fn gathered<F: Loops>(
    plan: &Plan,
    heads: usize,
    read: &(dyn Fn(usize) -> usize + Sync),
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
    tasks::run(
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

/// The matrices of one head.
struct Head<'a, F> {
    plan: &'a Plan,
    q: ArrayView2<'a, F>,
    k: ArrayView2<'a, F>,
    v: ArrayView2<'a, F>,
    out: ArrayView2<'a, F>,
    log_sum_exp: ArrayView1<'a, F>,
    d_out: ArrayView2<'a, F>,
    /// The factor on `d_out`.
    weight: F,
}

/// The scratch memory of a task.
struct Scratch<'a, F> {
    p: &'a mut [F],
    d_z: &'a mut [F],
    slope: &'a mut [F],
    q_columns: &'a mut [F],
    d_out_columns: &'a mut [F],
    d_q_columns: &'a mut [F],
    q_rows: &'a mut [F],
    d_out_rows: &'a mut [F],
    base: &'a mut [F],
    mean: &'a mut [F],
    scale: &'a mut [F],
}

fn run_share<F: Loops>(
    pass: &Pass<'_, F>,
    d_out: &ArrayView4<'_, F>,
    arena: &mut Arena<F>,
    share: &mut Share<'_, F>,
) {
    let (plan, batch) = (pass.plan, share.batch);
    let (outer, weight) = pass.outer(share.head);
    let head = Head {
        plan,
        q: pass.q.slice(s![batch, share.head, .., ..]),
        k: pass.k.slice(s![batch, plan.key_head(share.head), .., ..]),
        v: pass.v.slice(s![batch, plan.value_head(share.head), .., ..]),
        out: pass.kept.out.slice(s![batch, share.head, .., ..]),
        log_sum_exp: pass.kept.log_sum_exp.slice(s![batch, share.head, ..]),
        d_out: d_out.slice(s![batch, outer, .., ..]),
        weight,
    };
    let (wide_d, wide_e) = (whole::<F>(plan.width), whole::<F>(plan.value_width));
    let room = |wide: usize, width: usize| if wide == width { 0 } else { share.keys.len() * wide };
    let rooms = [room(wide_d, plan.width), room(wide_e, plan.value_width)];
    let (mut scratch, mut space) = scratch(plan, arena, rooms);
    scratch.scale.fill(F::from_f64(plan.scale));
    // A fresh page that is read before it is written costs a second page fault, which stops the other threads.
    share.d_k.fill(F::zero());
    share.d_v.fill(F::zero());
    // Gradients whose rows are whole vectors are summed in place.
    let mut d_k = Padded::new(&mut share.d_k, wide_d, &mut space, rooms[0]);
    let mut d_v = Padded::new(&mut share.d_v, wide_e, &mut space, rooms[1]);
    for queries in plan.blocks() {
        let seen = plan.keys_of_block(queries.clone());
        let seen = seen.start.max(share.keys.start)..seen.end.min(share.keys.end);
        if seen.is_empty() {
            continue;
        }
        let block = load(&head, queries.clone(), &mut scratch);
        for piece in plan.pieces(queries.clone(), seen, whole::<F>(1)) {
            let keys = s![piece.keys.clone(), ..];
            let (k, v) = (head.k.slice(keys), head.v.slice(keys));
            let tile = tile_gradient(&head, &block, &k, &v, &piece, &mut scratch);
            let local = piece.keys.start - share.keys.start..piece.keys.end - share.keys.start;
            let sums = (d_k.rows(local.clone()), d_v.rows(local));
            add_to_keys_and_values(&head, &block, &piece, &tile, &scratch, sums);
            add_to_queries(&head, &block, &k, &piece, &tile, &mut scratch);
        }
        let mut rows = share.d_q.slice_mut(s![queries, ..]);
        F::out_of_columns(scratch.d_q_columns, block.width, scratch.scale, &mut rows);
    }
    d_k.finish();
    d_v.finish();
}

/// Divides the scratch memory, with room for padded gradients at the end.
fn scratch<'a, F: Loops>(
    plan: &Plan,
    arena: &'a mut Arena<F>,
    [room_k, room_v]: [usize; 2],
) -> (Scratch<'a, F>, Space<'a, F>) {
    let (d, e) = (plan.width, plan.value_width);
    let most = whole::<F>(QUERY_BLOCK.min(plan.queries));
    let tile = KEY_TILE * most;
    let slope = if plan.softcap.is_some() { tile } else { 0 };
    let (rows_d, rows_e) = (most * whole::<F>(d), most * whole::<F>(e));
    let mut space = arena.space(&[
        tile,
        tile,
        d * most,
        e * most,
        d * most,
        rows_d,
        rows_e,
        most,
        most,
        most,
        room_k,
        room_v,
        slope,
    ]);
    let scratch = Scratch {
        p: space.take(tile),
        d_z: space.take(tile),
        q_columns: space.take(d * most),
        d_out_columns: space.take(e * most),
        d_q_columns: space.take(d * most),
        q_rows: space.take(rows_d),
        d_out_rows: space.take(rows_e),
        base: space.take(most),
        mean: space.take(most),
        scale: space.take(most),
        slope: space.take(slope),
    };
    (scratch, space)
}

/// A block of queries whose copies are in the scratch memory.
struct Loaded<'a, F> {
    queries: Range<usize>,
    /// The numbers in a row of columns.
    width: usize,
    q: ArrayView2<'a, F>,
    d_out: ArrayView2<'a, F>,
    nonfinite_q: Option<NonFinite<F>>,
    nonfinite_d_out: Option<NonFinite<F>>,
}

/// Copies the queries and the gradients by their outputs into columns and rows, and computes `Dᵢ = ⟨dOᵢ, Oᵢ⟩`.
fn load<'a, F: Loops>(
    head: &'a Head<'_, F>,
    queries: Range<usize>,
    scratch: &mut Scratch<'_, F>,
) -> Loaded<'a, F> {
    let (plan, weight) = (head.plan, head.weight);
    let (wide_d, wide_e) = (whole::<F>(plan.width), whole::<F>(plan.value_width));
    let width = whole::<F>(queries.len());
    let rows = s![queries.clone(), ..];
    let (q, d_out) = (head.q.slice(rows), head.d_out.slice(rows));
    let (nonfinite_q, nonfinite_d_out) = (NonFinite::find(&q), NonFinite::find(&d_out));
    F::into_columns(&q, F::from_f64(plan.scale * LOG2_E), width, scratch.q_columns);
    F::into_columns(&d_out, weight, width, scratch.d_out_columns);
    F::into_rows(&clean(&nonfinite_q, &q), F::from_f64(plan.scale), wide_d, scratch.q_rows);
    F::into_rows(&clean(&nonfinite_d_out, &d_out), weight, wide_e, scratch.d_out_rows);
    scratch.base.fill(F::zero());
    scratch.mean.fill(F::zero());
    for (i, query) in queries.clone().enumerate() {
        scratch.base[i] = head.log_sum_exp[query];
        // Rows that are not contiguous are copied, so that strides change no bit.
        let (d_out, out) = (d_out.row(i), head.out.row(query));
        let [d_out, out] = [d_out.as_standard_layout(), out.as_standard_layout()];
        scratch.mean[i] = weight * dot(contiguous(&d_out), contiguous(&out));
    }
    scratch.d_q_columns[..plan.width * width].fill(F::zero());
    Loaded { queries, width, q, d_out, nonfinite_q, nonfinite_d_out }
}

/// The place of the pattern and of the gradient by the scores in the scratch memory: `length` numbers in rows of `width`, from
/// column `first` of the block on.
struct TileGradient {
    first: usize,
    width: usize,
    length: usize,
}

/// Computes the pattern of a tile again, and from it the gradient by the scores.
fn tile_gradient<F: Loops>(
    head: &Head<'_, F>,
    block: &Loaded<'_, F>,
    k: &ArrayView2<'_, F>,
    v: &ArrayView2<'_, F>,
    piece: &Piece,
    scratch: &mut Scratch<'_, F>,
) -> TileGradient {
    let plan = head.plan;
    // The columns of the queries that see these keys.
    let (first, width) = (piece.queries.start, whole::<F>(piece.queries.end) - piece.queries.start);
    let length = piece.keys.len() * width;
    let columns = first..first + width;
    let (p, d_z) = (&mut scratch.p[..length], &mut scratch.d_z[..length]);
    F::product_part(
        k,
        (columns_from(scratch.q_columns, first), block.width),
        width,
        Join::Replace,
        (p, width),
    );
    if let Some(cap) = plan.softcap {
        F::softcap(p, &mut scratch.slope[..length], F::from_f64(cap * LOG2_E));
    }
    F::pattern(p, width, &scratch.base[columns.clone()]);
    let d_out = (columns_from(scratch.d_out_columns, first), block.width);
    F::product_part(v, d_out, width, Join::Replace, (d_z, width));
    let mean = &scratch.mean[columns];
    match plan.softcap {
        Some(_) => F::softmax_backward_sloped(p, scratch.slope, d_z, width, mean),
        None => F::softmax_backward(p, d_z, width, mean),
    }
    if !piece.full {
        let masked = block.queries.start + piece.queries.start..block.queries.start + piece.queries.end;
        plan.fill_masked(masked.clone(), piece.keys.clone(), F::zero(), p, width);
        plan.fill_masked(masked, piece.keys.clone(), F::zero(), d_z, width);
    }
    TileGradient { first, width, length }
}

/// Adds `dZᵀ q` to the gradient by the keys and `Pᵀ dO` to the gradient by the values.
fn add_to_keys_and_values<F: Loops>(
    head: &Head<'_, F>,
    block: &Loaded<'_, F>,
    piece: &Piece,
    tile: &TileGradient,
    scratch: &Scratch<'_, F>,
    (d_k, d_v): (&mut [F], &mut [F]),
) {
    let plan = head.plan;
    let (wide_d, wide_e) = (whole::<F>(plan.width), whole::<F>(plan.value_width));
    let TileGradient { first, width, length } = *tile;
    let (p, d_z) = (&scratch.p[..length], &scratch.d_z[..length]);
    let matrix = |tile| tile_view(tile, piece.queries.len(), width);
    F::product(&matrix(p), &scratch.d_out_rows[first * wide_e..], wide_e, Join::Add, d_v);
    F::product(&matrix(d_z), &scratch.q_rows[first * wide_d..], wide_d, Join::Add, d_k);
    let attends = |j: usize, i: usize| plan.attends(block.queries.start + i, piece.keys.start + j);
    if let Some(nonfinite) = &block.nonfinite_d_out {
        nonfinite.add_to_rows(&block.d_out, head.weight, (p, first, width), attends, (d_v, wide_e));
    }
    if let Some(nonfinite) = &block.nonfinite_q {
        let scale = F::from_f64(plan.scale);
        nonfinite.add_to_rows(&block.q, scale, (d_z, first, width), attends, (d_k, wide_d));
    }
}

/// Adds `dZ k` to the gradient by the queries.
fn add_to_queries<F: Loops>(
    head: &Head<'_, F>,
    block: &Loaded<'_, F>,
    k: &ArrayView2<'_, F>,
    piece: &Piece,
    tile: &TileGradient,
    scratch: &mut Scratch<'_, F>,
) {
    let TileGradient { first, width, length } = *tile;
    let d_z = (&scratch.d_z[..length], width);
    let d_q = (columns_from_mut(scratch.d_q_columns, first), block.width);
    let Some(nonfinite) = (if piece.full { None } else { NonFinite::find(k) }) else {
        return F::product_part(&k.t(), d_z, width, Join::Add, d_q);
    };
    F::product_part(&nonfinite.clean.t(), d_z, width, Join::Add, (&mut *d_q.0, d_q.1));
    let start = block.queries.start + first;
    let attends = |j: usize, i: usize| head.plan.attends(start + i, piece.keys.start + j);
    nonfinite.add_to_columns(k, d_z, piece.queries.len(), attends, d_q);
}

fn contiguous<'a, F>(row: &'a CowArray<'_, F, Ix1>) -> &'a [F] {
    row.as_slice().expect("a row in standard layout is contiguous")
}
