//! The forward pass: one task a block of queries of one head, with the softmax taken in tile by tile of keys.
//!
//! Queries lie along the lanes: see [`crate::kernels`]. Nothing is packed but the block's own queries, so the extra memory is
//! a few tiles a thread, whatever the lengths.

use crate::AttentionError;
use crate::few;
use crate::hooked::{Tile, TileEdit, as_queries};
use crate::kernels::{Join, Tiles};
use crate::overflow::{self, Suspect};
use crate::plan::{KEY_TILE, Plan, QUERY_BLOCK};
use crate::poison::{Poisoned, row_is_finite};
use crate::tile::{self, Arena};
use ndarray::{
    Array3, Array4, ArrayView2, ArrayView4, ArrayViewMut1, ArrayViewMut2, ArrayViewMut4, Axis, CowArray,
    concatenate, s,
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

/// What a forward pass keeps for the derivatives: the output (b, h, t, e), and the log-sum-exp of the scores (b, h, t) in units
/// of log 2, in which it cancels exactly against the scores of the tiles.
#[derive(Clone, Debug)]
pub struct Kept<F> {
    pub(crate) out: Array4<F>,
    pub(crate) log_sum_exp: Array3<F>,
}

impl<F: Tiles> Kept<F> {
    pub(crate) fn new(plan: &Plan) -> Self {
        let (b, h, t) = (plan.batch, plan.heads, plan.queries);
        Self {
            out: Array4::zeros((b, h, t, plan.value_width)),
            log_sum_exp: Array3::from_elem((b, h, t), F::neg_infinity()),
        }
    }
}

/// Where the results of the queries of one head go.
pub(crate) struct Rows<'a, F> {
    pub(crate) head: usize,
    pub(crate) out: ArrayViewMut2<'a, F>,
    kept: Option<(ArrayViewMut2<'a, F>, ArrayViewMut1<'a, F>)>,
}

impl<'a, F> Rows<'a, F> {
    /// Those of the first `count` queries, and the others.
    fn split(self, count: usize) -> (Self, Self) {
        let (out, rest) = self.out.split_at(Axis(0), count);
        let (kept, rest_kept) = match self.kept {
            Some((x, sums)) => {
                let ((x, rest), (sums, rest_sums)) =
                    (x.split_at(Axis(0), count), sums.split_at(Axis(0), count));
                (Some((x, sums)), Some((rest, rest_sums)))
            }
            None => (None, None),
        };
        (Self { head: self.head, out, kept }, Self { head: self.head, out: rest, kept: rest_kept })
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

/// Fills `out` (b, h, t, e) and, when asked, what the derivatives need.
pub(crate) fn forward<F: Tiles>(
    input: &Input<'_, F>,
    mut out: ArrayViewMut4<'_, F>,
    mut kept: Option<&mut Kept<F>>,
) -> Result<(), AttentionError> {
    let plan = input.plan;
    let mut outs: Vec<_> = out.outer_iter_mut().collect();
    let outs = outs.iter_mut().flat_map(|out| out.outer_iter_mut());
    let (mut keeps, mut sums) = match kept.as_mut() {
        Some(kept) => (kept.out.outer_iter_mut().collect(), kept.log_sum_exp.outer_iter_mut().collect()),
        None => (Vec::new(), Vec::new()),
    };
    let mut keeps = keeps.iter_mut().flat_map(|x| x.outer_iter_mut());
    let mut sums = sums.iter_mut().flat_map(|x| x.outer_iter_mut());
    // An intervention is handed one head at a time.
    let together = if input.edit.is_some() { 1 } else { plan.heads_together() };
    let mut blocks = Vec::with_capacity(plan.batch * plan.heads * plan.queries.div_ceil(QUERY_BLOCK));
    let mut rows: Vec<_> = outs
        .enumerate()
        .map(|(index, out)| Some(Rows { head: index % plan.heads, out, kept: keeps.next().zip(sums.next()) }))
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
            for (i, (out, query)) in rows.out.rows().into_iter().zip(self.queries.clone()).enumerate() {
                let nothing = total[first + i] == F::zero() && !plan.keys_of(query).is_empty();
                if nothing || !row_is_finite(out) {
                    self.suspects.push(Suspect { batch: self.batch, head: rows.head, query });
                }
            }
            if let Some((kept, log_sum_exp)) = &mut rows.kept {
                kept.assign(&rows.out);
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
    for keys in Plan::tiles(plan.keys_of_block(block.queries.clone())) {
        let (k, v) = (k.slice(s![keys.clone(), ..]), v.slice(s![keys.clone(), ..]));
        let tile = &mut tile[..keys.len() * width];
        F::product(&k, q_columns, width, Join::Replace, tile);
        let full = plan.all_attend(block.queries.clone(), keys.clone());
        if let Some(cap) = plan.softcap {
            F::softcap_only(tile, F::from_f64(cap * unit));
        }
        let mask = |tile: &mut [F]| {
            if !full {
                (0..copies).for_each(|copy| {
                    let tile = &mut tile[copy * count..];
                    plan.fill_masked(block.queries.clone(), keys.clone(), F::neg_infinity(), tile, width);
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
        F::absorb(tile, width, top, total, factor);
        // Where every pair is attended to, NaN goes where it should by itself.
        match if full && edit.is_none() { None } else { Poisoned::find(&v) } {
            None => F::product(&v.t(), tile, width, Join::Scale(factor), sum),
            Some(poisoned) => {
                F::product(&poisoned.clean.t(), tile, width, Join::Scale(factor), sum);
                let attends = |j: usize, i: usize| {
                    plan.attends(block.queries.start + i % count, keys.start + j)
                        && (edit.is_none() || tile[j * width + i] != F::zero())
                };
                poisoned.add_to_columns(&v, tile, count * copies, width, attends, sum);
            }
        }
    }
    block.finish(plan, [top, total, factor], |copy, factor, out| {
        let first = copy * count;
        F::out_of_columns(&sum[first.min(sum.len())..], width, &factor[first..], out);
    });
}
