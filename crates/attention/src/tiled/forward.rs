//! The forward pass: one task for each block of queries, which takes in the keys tile by tile with an online softmax.
//!
//! The stages of a task: [`load`] → for each piece of the keys [`score`] → [`weigh`] → [`add_values`] → [`write`].
//! Queries lie along the lanes: see [`crate::kernels`]. Only the queries of a block are copied, so the extra memory is a few
//! tiles for each thread at any length.

use super::block::{self, Block, Input};
use super::intervention::{Tile, as_queries};
use super::nonfinite::NonFinite;
use super::plan::{KEY_TILE, Piece};
use super::tile::{Arena, Space, columns_from, columns_from_mut};
use super::{decode, overflow};
use crate::AttentionError;
use crate::kernels::{Join, Loops, whole};
use crate::tasks;
use ndarray::{Array3, ArrayView2, ArrayViewMut4, s};
use std::f64::consts::LOG2_E;
use std::ops::Range;

/// Fills `out` `[b, h, t, e]` and, if given, the log-sum-exp of the scores `[b, h, t]` in units of log 2.
pub(crate) fn forward<F: Loops>(
    input: &Input<'_, F>,
    out: ArrayViewMut4<'_, F>,
    log_sum_exp: Option<&mut Array3<F>>,
) -> Result<(), AttentionError> {
    let plan = input.plan;
    // An intervention gets one head at a time.
    let together = if input.edit.is_some() { 1 } else { plan.heads_together() };
    let mut blocks = block::blocks(plan, together, out, log_sum_exp);
    if decode::applies(input) {
        decode::forward(input, &mut blocks);
    } else {
        // The long blocks of a causal mask first: the short ones fill the gaps at the end.
        blocks = tasks::longest_first(blocks, |block| plan.keys_of_block(block.queries.clone()).len());
        tasks::run(&mut blocks, plan.work(), Arena::new, |arena, block| run_block(input, arena, block));
    }
    // An intervention may write non-finite numbers.
    if input.edit.is_some() {
        return Ok(());
    }
    Ok(overflow::check(input, blocks.into_iter().flat_map(|block| block.nonfinite).collect())?)
}

fn run_block<F: Loops>(input: &Input<'_, F>, arena: &mut Arena<F>, block: &mut Block<'_, F>) {
    let (plan, (k, v)) = (input.plan, block.read(input));
    let width = whole::<F>(block.queries.len() * block.heads.len());
    let mut space =
        arena.space(&[KEY_TILE * width, plan.width * width, plan.value_width * width, width, width, width]);
    let tile = space.take(KEY_TILE * width);
    let (queries, mut sums) = load(input, block, width, &mut space);
    for piece in pieces(input, block) {
        let (k, v) = (k.slice(s![piece.keys.clone(), ..]), v.slice(s![piece.keys.clone(), ..]));
        let scores = score(input, &queries, &k, piece, tile);
        let weights = weigh(scores, &mut sums.softmax);
        add_values(input, &queries, &v, weights, sums.values);
    }
    write(input, block, sums, width);
}

/// The queries of a block as columns `[d, width]`, scaled: in units of log 2, or unscaled by it for an intervention.
struct Queries<'a, F> {
    columns: &'a [F],
    /// The numbers in a row of columns.
    width: usize,
    batch: usize,
    /// The first head of the block.
    head: usize,
    /// The queries of each head.
    range: Range<usize>,
    /// The number of heads.
    copies: usize,
}

/// The running sums of a block.
struct Sums<'a, F> {
    /// The sums of pattern times values `[e, width]`.
    values: &'a mut [F],
    softmax: Softmax<'a, F>,
}

/// The state of the online softmax, one number for each column.
struct Softmax<'a, F> {
    top: &'a mut [F],
    total: &'a mut [F],
    factor: &'a mut [F],
}

/// Masked scores in units of log 2: rows of keys, `width` columns from column `first` of the block on.
struct Scores<'a, F> {
    piece: Piece,
    first: usize,
    width: usize,
    values: &'a mut [F],
}

/// The weights of a tile relative to the running maximum, and the factor on earlier sums.
struct Weights<'a, F> {
    piece: Piece,
    first: usize,
    width: usize,
    values: &'a [F],
    factor: &'a [F],
}

/// Copies the queries into columns and starts the sums, from nothing or from the sink.
fn load<'a, F: Loops>(
    input: &Input<'_, F>,
    block: &Block<'_, F>,
    width: usize,
    space: &mut Space<'a, F>,
) -> (Queries<'a, F>, Sums<'a, F>) {
    let plan = input.plan;
    let columns = space.take(plan.width * width);
    F::into_columns(&block.rows(&input.q), F::from_f64(plan.scale * unit(input)), width, columns);
    let values = space.take(plan.value_width * width);
    values.fill(F::zero());
    let (top, total, factor) = (space.take(width), space.take(width), space.take(width));
    block.start(input.sink, top, total);
    let (batch, head, copies) = (block.batch, block.heads[0].head, block.heads.len());
    let queries = Queries { columns, width, batch, head, range: block.queries.clone(), copies };
    (queries, Sums { values, softmax: Softmax { top, total, factor } })
}

/// Returns the unit of the scores: log 2, or 1 for an intervention, which gets natural scores.
fn unit<F>(input: &Input<'_, F>) -> f64 {
    if input.edit.is_some() { 1.0 } else { LOG2_E }
}

/// Returns the pieces of the keys that the block attends to.
fn pieces<F>(input: &Input<'_, F>, block: &Block<'_, F>) -> Vec<Piece> {
    let (plan, queries) = (input.plan, block.queries.clone());
    let seen = plan.keys_of_block(queries.clone());
    // An intervention gets all queries of a block, and heads that share one are masked one by one.
    if block.heads.len() > 1 || input.edit.is_some() {
        let columns = queries.len() * block.heads.len();
        plan.whole_tiles(queries, seen, columns)
    } else {
        plan.pieces(queries, seen, whole::<F>(1))
    }
}

/// Computes the scores of the block for one piece of the keys: product, softcap, mask and intervention.
fn score<'a, F: Loops>(
    input: &Input<'_, F>,
    queries: &Queries<'_, F>,
    k: &ArrayView2<'_, F>,
    piece: Piece,
    tile: &'a mut [F],
) -> Scores<'a, F> {
    let plan = input.plan;
    let first = piece.queries.start;
    let width = whole::<F>(piece.queries.end) - first;
    let values = &mut tile[..piece.keys.len() * width];
    let columns = (columns_from(queries.columns, first), queries.width);
    F::product_part(k, columns, width, Join::Replace, (values, width));
    if let Some(cap) = plan.softcap {
        F::softcap_only(values, F::from_f64(cap * unit(input)));
    }
    let mask = |values: &mut [F]| {
        if !piece.full {
            let start = queries.range.start + first;
            (0..queries.copies).for_each(|copy| {
                let values = &mut values[copy * queries.range.len()..];
                let masked = start..start + piece.queries.len() / queries.copies;
                plan.fill_masked(masked, piece.keys.clone(), F::neg_infinity(), values, width);
            });
        }
    };
    mask(values);
    if let Some(edit) = input.edit {
        let range = queries.range.clone();
        let (batch, head, keys) = (queries.batch, queries.head, piece.keys.clone());
        let view = as_queries(values, range.len(), width);
        edit(Tile { batch, head, queries: range, keys, values: view });
        let unit = F::from_f64(LOG2_E);
        values.iter_mut().for_each(|score| *score *= unit);
        mask(values);
    }
    Scores { piece, first, width, values }
}

/// Takes a tile of scores into the online softmax and turns it into weights.
fn weigh<'a, F: Loops>(scores: Scores<'a, F>, softmax: &'a mut Softmax<'_, F>) -> Weights<'a, F> {
    let Scores { piece, first, width, values } = scores;
    let [top, total, factor] =
        [&mut *softmax.top, &mut *softmax.total, &mut *softmax.factor].map(|x| &mut x[first..][..width]);
    F::absorb(values, width, top, total, factor);
    Weights { piece, first, width, values, factor }
}

/// Rescales the sums of the values and adds weights times values.
fn add_values<F: Loops>(
    input: &Input<'_, F>,
    queries: &Queries<'_, F>,
    v: &ArrayView2<'_, F>,
    weights: Weights<'_, F>,
    sums: &mut [F],
) {
    let Weights { piece, first, width, values, factor } = weights;
    let all = queries.width;
    let sums = columns_from_mut(sums, first);
    let join = Join::Scale(factor);
    // If no pair is masked, NaN propagates correctly without special handling.
    let nonfinite = if piece.full && input.edit.is_none() { None } else { NonFinite::find(v) };
    let Some(nonfinite) = nonfinite else {
        return F::product_part(&v.t(), (values, width), width, join, (sums, all));
    };
    F::product_part(&nonfinite.clean.t(), (values, width), width, join, (sums, all));
    let attends = |j: usize, i: usize| {
        let query = queries.range.start + (first + i) % queries.range.len();
        input.plan.attends(query, piece.keys.start + j)
            && (input.edit.is_none() || values[j * width + i] != F::zero())
    };
    nonfinite.add_to_columns(v, (values, width), piece.queries.len(), attends, (sums, all));
}

/// Divides the sums by the totals and writes the results of the block.
fn write<F: Loops>(input: &Input<'_, F>, block: &mut Block<'_, F>, sums: Sums<'_, F>, width: usize) {
    let Sums { values, softmax: Softmax { top, total, factor } } = sums;
    let count = block.queries.len();
    block.finish(input.plan, [top, total, factor], |copy, factor, out| {
        let first = copy * count;
        F::out_of_columns(&values[first.min(values.len())..], width, &factor[first..], out);
    });
}
