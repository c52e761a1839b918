//! The forward pass of a few queries over many keys: the case of decoding.
//!
//! Memory bandwidth is the limit: keys and values are read once, row by row in memory order, for all queries that share them. The
//! keys are cut into shares of a fixed length. The results of the shares are joined in order, so several threads work even
//! on one head, and the bits do not depend on the number of threads.
//!
//! The loops need keys with contiguous rows, and values in standard layout. Tiles with other strides are copied first, so the
//! choice of the pass, and with it the bits, depends on the shapes and on the mask, and not on the strides.

use super::block::{Block, Input};
use super::plan::{KEY_TILE, Plan};
use super::tile::{Arena, tile_view};
use crate::kernels::{Join, Loops, whole};
use crate::tasks;
use ndarray::{ArrayView2, s};
use std::f64::consts::LOG2_E;
use std::ops::Range;

/// The largest number of queries with the same keys for which this pass is used.
const FEW: usize = 8;

/// The keys of one task. A constant, so that the bits do not depend on the number of threads.
const SHARE: usize = 8 * KEY_TILE;

/// Returns true if the queries are few and attend to all keys between the first and the last, and if the values are whole vectors.
pub(super) fn applies<F: Loops>(input: &Input<'_, F>) -> bool {
    let Input { plan, k, .. } = input;
    let sharing = plan.heads / k.dim().1.max(1);
    let seen = plan.keys_of_block(0..plan.queries);
    input.edit.is_none()
        && (1..=FEW).contains(&(plan.queries * sharing.max(1)))
        && whole::<F>(plan.value_width) == plan.value_width
        && plan.all_attend(0..plan.queries, seen)
}

/// A range of the keys of one block, and the sums over it.
struct Share<'a, 'b, F> {
    block: &'a Block<'b, F>,
    keys: Range<usize>,
    first: bool,
    /// Pattern times values `[queries, e]`, then the maximum and the total of each query.
    sums: &'a mut [F],
}

/// Fills the outputs of all blocks.
pub(super) fn forward<F: Loops>(input: &Input<'_, F>, blocks: &mut [Block<'_, F>]) {
    let plan = input.plan;
    if blocks.is_empty() {
        return;
    }
    let seen = plan.keys_of_block(0..plan.queries);
    let shares = seen.len().div_ceil(SHARE).max(1);
    let most = blocks.iter().map(|block| block.heads.len()).max().unwrap_or(0) * plan.queries;
    let (width, e) = (whole::<F>(most), plan.value_width);
    let room = most * e + 2 * width;
    let mut sums = vec![F::zero(); blocks.len() * shares * room];
    let mut tasks = Vec::with_capacity(blocks.len() * shares);
    for (place, sums) in sums.chunks_exact_mut(room).enumerate() {
        let start = (seen.start + place % shares * SHARE).min(seen.end);
        let keys = start..(start + SHARE).min(seen.end);
        tasks.push(Share { block: &blocks[place / shares], keys, first: place % shares == 0, sums });
    }
    tasks::run(&mut tasks, plan.work(), Arena::new, |arena, share| run_share(input, width, arena, share));
    drop(tasks);
    for (block, sums) in blocks.iter_mut().zip(sums.chunks_exact_mut(shares * room)) {
        let (all, rest) = sums.split_at_mut(room);
        let (sum, tops) = all.split_at_mut(most * e);
        let (top, total) = tops.split_at_mut(width);
        for share in rest.chunks_exact(room) {
            join([sum, top, total], share, e);
        }
        let mut factor = vec![F::zero(); width];
        let count = plan.queries;
        block.finish(plan, [top, total, &mut factor], |copy, factor, out| {
            let sums = sum[copy * count * e..].chunks_exact(e.max(1));
            for ((mut out, sum), &factor) in out.rows_mut().into_iter().zip(sums).zip(&factor[copy * count..])
            {
                out.iter_mut().zip(sum).for_each(|(to, &sum)| *to = sum * factor);
            }
        });
    }
}

/// Adds the sums over a further share of the keys, relative to the larger of the two maxima.
fn join<F: Loops>([sum, top, total]: [&mut [F]; 3], share: &[F], e: usize) {
    let (more, tops) = share.split_at(sum.len());
    let (their_top, their_total) = tops.split_at(top.len());
    let queries = sum.len() / e.max(1);
    for i in 0..queries {
        let larger = if their_top[i] > top[i] { their_top[i] } else { top[i] };
        if larger == F::neg_infinity() {
            continue;
        }
        let (ours, theirs) = ((top[i] - larger).exp2(), (their_top[i] - larger).exp2());
        top[i] = larger;
        total[i] = total[i] * ours + their_total[i] * theirs;
        let rows = sum[i * e..(i + 1) * e].iter_mut().zip(&more[i * e..(i + 1) * e]);
        rows.for_each(|(x, &y)| *x = *x * ours + y * theirs);
    }
}

fn run_share<F: Loops>(
    input: &Input<'_, F>,
    width: usize,
    arena: &mut Arena<F>,
    share: &mut Share<'_, '_, F>,
) {
    let (plan, block) = (input.plan, share.block);
    let (d, e) = (plan.width, plan.value_width);
    let (k, v) = block.read(input);
    let rows = block.rows(&input.q);
    let columns = rows.nrows();
    let k_copy = if k.strides()[1] == 1 { 0 } else { KEY_TILE * d };
    let v_copy = if v.is_standard_layout() { 0 } else { KEY_TILE * e };
    let mut space = arena.space(&[KEY_TILE * width, columns * d, width, k_copy, v_copy]);
    let (tile, q, factor) = (space.take(KEY_TILE * width), space.take(columns * d), space.take(width));
    let (k_copy, v_copy) = (space.take(k_copy), space.take(v_copy));
    // The other columns of the tiles have no influence, but must be numbers.
    tile.fill(F::zero());
    let scale = F::from_f64(plan.scale * LOG2_E);
    q.iter_mut().zip(&rows).for_each(|(to, &x)| *to = x * scale);
    let (sum, tops) = share.sums.split_at_mut(share.sums.len() - 2 * width);
    let (top, total) = tops.split_at_mut(width);
    block.start(input.sink.filter(|_| share.first), top, total);
    for keys in Plan::tiles(share.keys.clone()) {
        let k = in_standard_layout(k.slice(s![keys.clone(), ..]), k_copy);
        let v = in_standard_layout(v.slice(s![keys.clone(), ..]), v_copy);
        let tile = &mut tile[..keys.len() * width];
        F::dots(&k, q, columns, width, tile);
        if let Some(cap) = plan.softcap {
            F::softcap_only(tile, F::from_f64(cap * LOG2_E));
        }
        F::absorb(tile, width, top, total, factor);
        for (row, &factor) in sum.chunks_exact_mut(e.max(1)).zip(&*factor).take(columns) {
            row.iter_mut().for_each(|x| *x *= factor);
        }
        let pattern = tile_view(tile, columns, width);
        F::product(&pattern.t(), v.to_slice().expect("contiguous values"), e, Join::Add, sum);
    }
}

/// Returns the rows, copied into `room` unless it is empty.
fn in_standard_layout<'a, F: Loops>(rows: ArrayView2<'a, F>, room: &'a mut [F]) -> ArrayView2<'a, F> {
    if room.is_empty() {
        return rows;
    }
    let room = &mut room[..rows.len()];
    room.iter_mut().zip(rows).for_each(|(to, &x)| *to = x);
    ArrayView2::from_shape(rows.dim(), room).expect("one number for each place")
}
