//! The forward pass: one task a block of queries of one head, with the softmax taken in tile by tile of keys.
//!
//! Queries lie along the lanes: see [`crate::kernels`]. Nothing is packed but the block's own queries, so the extra memory is
//! a few tiles a thread, whatever the lengths.

use crate::AttentionError;
use crate::few;
use crate::hooked::{Tile, TileEdit, as_queries};
use crate::kernels::{Join, Tiles};
use crate::overflow::{self, Suspect};
use crate::plan::{KEY_TILE, Piece, Plan, QUERY_BLOCK};
use crate::poison::{Poisoned, row_is_finite};
use crate::tile::{self, Arena};
use ndarray::{
    ArcArray, Array3, ArrayView2, ArrayView4, ArrayViewMut1, ArrayViewMut2, ArrayViewMut4, Axis, CowArray,
    Ix4, concatenate, s,
};
use std::f64::consts::LOG2_E;
use std::ops::Range;

/// What a forward pass reads.
pub struct Input<'a, F> {
    pub(crate) plan: &'a Plan,
    pub(crate) q: ArrayView4<'a, F>,
    pub(crate) k: ArrayView4<'a, F>,
    pub(crate) v: ArrayView4<'a, F>,
    /// A logit for each query head that joins the denominator of its rows.
    pub(crate) sink: Option<&'a [F]>,
    /// Changes the scores, of which masked ones stay masked.
    pub(crate) edit: Option<TileEdit<'a, F>>,
}

/// What a forward pass keeps for the derivatives: the output (b, h, t, e), which it shares with the caller, and the log-sum-exp of
/// the scores (b, h, t) in units of log 2, in which it cancels exactly against the scores of the tiles.
#[derive(Clone, Debug)]
pub(crate) struct Kept<F> {
    pub(crate) out: ArcArray<F, Ix4>,
    pub(crate) log_sum_exp: Array3<F>,
}

/// Where the results of the queries of one head go.
pub(crate) struct Rows<'a, F> {
    pub(crate) head: usize,
    pub(crate) out: ArrayViewMut2<'a, F>,
    log_sum_exp: Option<ArrayViewMut1<'a, F>>,
}

impl<'a, F> Rows<'a, F> {
    /// Those of the first `count` queries, and the others.
    fn split(self, count: usize) -> (Self, Self) {
        let (out, rest) = self.out.split_at(Axis(0), count);
        let (own, others) = self.log_sum_exp.map(|sums| sums.split_at(Axis(0), count)).unzip();
        (
            Self { head: self.head, out, log_sum_exp: own },
            Self { head: self.head, out: rest, log_sum_exp: others },
        )
    }
}

/// A block of queries, of one head or of several that read the same key head. Query `i` of the `c`-th head is column
/// `c · queries.len() + i` of the tiles.
pub(crate) struct Block<'a, F> {
    pub(crate) batch: usize,
    pub(crate) queries: Range<usize>,
    pub(crate) heads: Vec<Rows<'a, F>>,
    suspects: Vec<Suspect>,
}

/// Fills `out` (b, h, t, e) and, when asked, the log-sum-exp of the scores (b, h, t) in units of log 2.
pub(crate) fn forward<F: Tiles>(
    input: &Input<'_, F>,
    mut out: ArrayViewMut4<'_, F>,
    mut log_sum_exp: Option<&mut Array3<F>>,
) -> Result<(), AttentionError> {
    let plan = input.plan;
    let mut outs: Vec<_> = out.outer_iter_mut().collect();
    let outs = outs.iter_mut().flat_map(|out| out.outer_iter_mut());
    let mut sums: Vec<_> = log_sum_exp.as_mut().map_or_else(Vec::new, |sums| sums.outer_iter_mut().collect());
    let mut sums = sums.iter_mut().flat_map(|x| x.outer_iter_mut());
    // An intervention is handed one head at a time.
    let together = if input.edit.is_some() { 1 } else { plan.heads_together() };
    let mut blocks = Vec::with_capacity(plan.batch * plan.heads * plan.queries.div_ceil(QUERY_BLOCK));
    let mut rows: Vec<_> = outs
        .enumerate()
        .map(|(index, out)| Some(Rows { head: index % plan.heads, out, log_sum_exp: sums.next() }))
        .collect();
    let mut order: Vec<usize> = (0..plan.heads).collect();
    order.sort_by_key(|&head| plan.key_head(head));
    for batch in 0..plan.batch {
        let read = |head: usize| (plan.key_head(head), plan.value_head(head));
        let same = |a: &usize, b: &usize| read(*a) == read(*b);
        for heads in order.chunk_by(same).flat_map(|heads| heads.chunks(together)) {
            let mut rest: Vec<_> =
                heads.iter().filter_map(|head| rows[batch * plan.heads + head].take()).collect();
            // Splitting hands each task its own rows of the output, so no two tasks meet.
            for queries in plan.blocks() {
                let (heads, after) = rest.into_iter().map(|rows| rows.split(queries.len())).unzip();
                rest = after;
                blocks.push(Block { batch, queries, heads, suspects: Vec::new() });
            }
        }
    }
    if few::applies(input) {
        few::forward(input, &mut blocks);
    } else {
        // The long blocks of a causal mask first: the short ones fill the gaps at the end.
        blocks.sort_by_key(|block| std::cmp::Reverse(plan.keys_of_block(block.queries.clone()).len()));
        tile::run(&mut blocks, plan.work(), Arena::new, |arena, block| run_block(input, arena, block));
    }
    // An intervention may write what it likes.
    if input.edit.is_some() {
        return Ok(());
    }
    overflow::check(input, blocks.into_iter().flat_map(|block| block.suspects).collect())
}

impl<F: Tiles> Block<'_, F> {
    /// The queries of all heads, one under another.
    pub(crate) fn rows<'b>(&self, q: &'b ArrayView4<'_, F>) -> CowArray<'b, F, ndarray::Ix2> {
        let of = |head: usize| q.slice(s![self.batch, head, self.queries.clone(), ..]);
        match &self.heads[..] {
            [one] => CowArray::from(of(one.head)),
            heads => CowArray::from(
                concatenate(Axis(0), &heads.iter().map(|rows| of(rows.head)).collect::<Vec<_>>())
                    .expect("blocks of one shape"),
            ),
        }
    }

    /// The keys and values that the block reads.
    pub(crate) fn read<'b>(&self, input: &'b Input<'_, F>) -> (ArrayView2<'b, F>, ArrayView2<'b, F>) {
        let head = self.heads[0].head;
        (
            input.k.slice(s![self.batch, input.plan.key_head(head), .., ..]),
            input.v.slice(s![self.batch, input.plan.value_head(head), .., ..]),
        )
    }

    /// Where the maximum and the sum of each column start: at nothing, or at the sink.
    pub(crate) fn start(&self, sink: Option<&[F]>, top: &mut [F], total: &mut [F]) {
        top.fill(F::neg_infinity());
        total.fill(F::zero());
        let count = self.queries.len();
        for (copy, rows) in self.heads.iter().enumerate() {
            let logit = sink.map_or(F::neg_infinity(), |sink| sink[rows.head] * F::from_f64(LOG2_E));
            if logit != F::neg_infinity() {
                top[copy * count..(copy + 1) * count].fill(logit);
                total[copy * count..(copy + 1) * count].fill(F::one());
            }
        }
    }

    /// Writes the results, from the maximum and the sum of each column. `write` gives the output of the head at that place among
    /// the heads, given the factor of each column.
    pub(crate) fn finish(
        &mut self,
        plan: &Plan,
        [top, total, factor]: [&mut [F]; 3],
        write: impl Fn(usize, &[F], &mut ArrayViewMut2<'_, F>),
    ) {
        for (factor, &total) in factor.iter_mut().zip(&*total) {
            // No key at all: the row stays zero. NaN compares unequal and goes through.
            *factor = if total == F::zero() { F::zero() } else { total.recip() };
        }
        let count = self.queries.len();
        for (copy, rows) in self.heads.iter_mut().enumerate() {
            let first = copy * count;
            write(copy, factor, &mut rows.out);
            // One look at all rows, where they follow each other.
            let sound = rows.out.as_slice().is_some_and(F::all_finite);
            for (i, (out, query)) in rows.out.rows().into_iter().zip(self.queries.clone()).enumerate() {
                let nothing = total[first + i] == F::zero() && !plan.keys_of(query).is_empty();
                if nothing || !sound && !row_is_finite(out) {
                    self.suspects.push(Suspect { batch: self.batch, head: rows.head, query });
                }
            }
            if let Some(log_sum_exp) = &mut rows.log_sum_exp {
                for (i, to) in log_sum_exp.iter_mut().enumerate() {
                    let (top, total) = (top[first + i], total[first + i]);
                    *to = if total == F::zero() { F::neg_infinity() } else { top + total.log2() };
                }
            }
        }
    }
}

fn run_block<F: Tiles>(input: &Input<'_, F>, arena: &mut Arena<F>, block: &mut Block<'_, F>) {
    let (plan, edit) = (input.plan, input.edit);
    let (k, v) = block.read(input);
    let (count, copies) = (block.queries.len(), block.heads.len());
    let width = F::whole(count * copies);
    let mut space =
        arena.space(&[KEY_TILE * width, plan.width * width, plan.value_width * width, width, width, width]);
    let tile = space.take(KEY_TILE * width);
    // The queries as columns (d, width), times the scale, in units of log 2.
    let q_columns = space.take(plan.width * width);
    // An intervention sees the scores as they are.
    let unit = if edit.is_some() { 1.0 } else { LOG2_E };
    F::into_columns(&block.rows(&input.q), F::from_f64(plan.scale * unit), width, q_columns);
    // The sum of pattern times values so far (e, width), and the total of the pattern, relative to the maximum `top`.
    let sum = space.take(plan.value_width * width);
    let (top, total, factor) = (space.take(width), space.take(width), space.take(width));
    sum.fill(F::zero());
    block.start(input.sink, top, total);
    let seen = plan.keys_of_block(block.queries.clone());
    // An intervention is handed all queries of a block, and heads that share one are masked one by one.
    let pieces = if copies > 1 || edit.is_some() {
        plan.whole_tiles(block.queries.clone(), seen, count * copies)
    } else {
        plan.pieces(block.queries.clone(), seen, F::whole(1))
    };
    for Piece { keys, queries, full } in pieces {
        let (k, v) = (k.slice(s![keys.clone(), ..]), v.slice(s![keys.clone(), ..]));
        let (first, all) = (queries.start, width);
        let width = F::whole(queries.end) - first;
        let tile = &mut tile[..keys.len() * width];
        F::product_part(&k, (&q_columns[first..], all), width, Join::Replace, (tile, width));
        if let Some(cap) = plan.softcap {
            F::softcap_only(tile, F::from_f64(cap * unit));
        }
        let mask = |tile: &mut [F]| {
            if !full {
                let first = block.queries.start + first;
                (0..copies).for_each(|copy| {
                    let (tile, masked) = (&mut tile[copy * count..], first..first + queries.len() / copies);
                    plan.fill_masked(masked, keys.clone(), F::neg_infinity(), tile, width);
                });
            }
        };
        mask(tile);
        if let Some(edit) = edit {
            let (batch, head, queries) = (block.batch, block.heads[0].head, block.queries.clone());
            let values = as_queries(tile, queries.len(), width);
            edit(Tile { batch, head, queries, keys: keys.clone(), values });
            let unit = F::from_f64(LOG2_E);
            tile.iter_mut().for_each(|score| *score *= unit);
            mask(tile);
        }
        let (top, total, factor) =
            (&mut top[first..][..width], &mut total[first..][..width], &mut factor[first..][..width]);
        F::absorb(tile, width, top, total, factor);
        let (tile, sum) = (&*tile, (&mut sum[first..], all));
        // Where every pair is attended to, NaN goes where it should by itself.
        match if full && edit.is_none() { None } else { Poisoned::find(&v) } {
            None => F::product_part(&v.t(), (tile, width), width, Join::Scale(factor), sum),
            Some(poisoned) => {
                let (sum, all) = sum;
                F::product_part(&poisoned.clean.t(), (tile, width), width, Join::Scale(factor), (sum, all));
                let attends = |j: usize, i: usize| {
                    plan.attends(block.queries.start + (first + i) % count, keys.start + j)
                        && (edit.is_none() || tile[j * width + i] != F::zero())
                };
                poisoned.add_to_columns(&v, tile, queries.len(), width, attends, (sum, all));
            }
        }
    }
    block.finish(plan, [top, total, factor], |copy, factor, out| {
        let first = copy * count;
        F::out_of_columns(&sum[first.min(sum.len())..], width, &factor[first..], out);
    });
}
