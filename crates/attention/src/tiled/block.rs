//! Blocks of queries: the tasks of a forward pass.

use super::intervention::TileEdit;
use super::nonfinite::row_is_finite;
use super::plan::{Plan, QUERY_BLOCK};
use crate::kernels::Loops;
use ndarray::{
    ArcArray, Array3, ArrayView2, ArrayView4, ArrayViewMut, ArrayViewMut1, ArrayViewMut2, ArrayViewMut4,
    Axis, CowArray, Ix2, Ix4, RemoveAxis, concatenate, s,
};
use std::f64::consts::LOG2_E;
use std::ops::Range;

/// The input of a forward pass. All arrays have a batch axis.
pub(crate) struct Input<'a, F> {
    pub(crate) plan: &'a Plan,
    pub(crate) q: ArrayView4<'a, F>,
    pub(crate) k: ArrayView4<'a, F>,
    pub(crate) v: ArrayView4<'a, F>,
    /// The logit of each query head that joins the denominator of its rows.
    pub(crate) sink: Option<&'a [F]>,
    /// The change of the scores. Masked scores stay masked.
    pub(crate) edit: Option<TileEdit<'a, F>>,
}

/// The results that a forward pass keeps for the derivatives: the output `[b, h, t, e]`, shared with the caller, and the
/// log-sum-exp of the scores `[b, h, t]` in units of log 2, in which it cancels exactly against the scores of the tiles.
#[derive(Clone, Debug)]
pub(crate) struct Kept<F> {
    pub(crate) out: ArcArray<F, Ix4>,
    pub(crate) log_sum_exp: Array3<F>,
}

/// The results of the queries of one head.
pub(crate) struct Rows<'a, F> {
    pub(crate) head: usize,
    pub(crate) out: ArrayViewMut2<'a, F>,
    log_sum_exp: Option<ArrayViewMut1<'a, F>>,
}

impl<'a, F> Rows<'a, F> {
    /// Splits off the results of the first `count` queries.
    fn split(self, count: usize) -> (Self, Self) {
        let (out, rest) = self.out.split_at(Axis(0), count);
        let (own, others) = self.log_sum_exp.map(|sums| sums.split_at(Axis(0), count)).unzip();
        (
            Self { head: self.head, out, log_sum_exp: own },
            Self { head: self.head, out: rest, log_sum_exp: others },
        )
    }
}

/// A query whose output is non-finite, or that has keys but gave none of them any weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NonFiniteOutput {
    pub(crate) batch: usize,
    pub(crate) head: usize,
    pub(crate) query: usize,
}

/// A block of queries, of one head or of several heads that read the same key head. Query `i` of the `c`-th head is column
/// `c · queries.len() + i` of the tiles.
pub(crate) struct Block<'a, F> {
    pub(crate) batch: usize,
    pub(crate) queries: Range<usize>,
    pub(crate) heads: Vec<Rows<'a, F>>,
    pub(crate) nonfinite: Vec<NonFiniteOutput>,
}

/// Cuts the queries into blocks. `together` heads that read the same key head and value head share a block.
pub(crate) fn blocks<'a, F>(
    plan: &Plan,
    together: usize,
    out: ArrayViewMut4<'a, F>,
    log_sum_exp: Option<&'a mut Array3<F>>,
) -> Vec<Block<'a, F>> {
    let mut sums = log_sum_exp.into_iter().flat_map(|sums| outer(sums.view_mut())).flat_map(outer);
    let mut rows: Vec<_> = matrices(out)
        .into_iter()
        .enumerate()
        .map(|(index, out)| Some(Rows { head: index % plan.heads, out, log_sum_exp: sums.next() }))
        .collect();
    let mut order: Vec<usize> = (0..plan.heads).collect();
    order.sort_by_key(|&head| plan.key_head(head));
    let read = |head: usize| (plan.key_head(head), plan.value_head(head));
    let mut blocks = Vec::with_capacity(plan.batch * plan.heads * plan.queries.div_ceil(QUERY_BLOCK));
    for batch in 0..plan.batch {
        let same = |a: &usize, b: &usize| read(*a) == read(*b);
        for heads in order.chunk_by(same).flat_map(|heads| heads.chunks(together)) {
            let mut rest: Vec<_> =
                heads.iter().filter_map(|head| rows[batch * plan.heads + head].take()).collect();
            // Splitting gives each task its own rows of the output, so no two tasks write to the same row.
            for queries in plan.blocks() {
                let (heads, after) = rest.into_iter().map(|rows| rows.split(queries.len())).unzip();
                rest = after;
                blocks.push(Block { batch, queries, heads, nonfinite: Vec::new() });
            }
        }
    }
    blocks
}

impl<F: Loops> Block<'_, F> {
    /// Returns the queries of all heads, one head under another.
    pub(crate) fn rows<'b>(&self, q: &'b ArrayView4<'_, F>) -> CowArray<'b, F, Ix2> {
        let of = |head: usize| q.slice(s![self.batch, head, self.queries.clone(), ..]);
        match &self.heads[..] {
            [one] => CowArray::from(of(one.head)),
            heads => CowArray::from(
                concatenate(Axis(0), &heads.iter().map(|rows| of(rows.head)).collect::<Vec<_>>())
                    .expect("blocks of one shape"),
            ),
        }
    }

    /// Returns the keys and values that the block reads.
    pub(crate) fn read<'b>(&self, input: &'b Input<'_, F>) -> (ArrayView2<'b, F>, ArrayView2<'b, F>) {
        let head = self.heads[0].head;
        (
            input.k.slice(s![self.batch, input.plan.key_head(head), .., ..]),
            input.v.slice(s![self.batch, input.plan.value_head(head), .., ..]),
        )
    }

    /// Sets the initial maximum and sum of each column: those of no key, or those of the sink.
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

    /// Writes the results, from the maximum and the sum of each column. `write(c, factors, out)` writes the output of the `c`-th
    /// head, given the factor of each column.
    pub(crate) fn finish(
        &mut self,
        plan: &Plan,
        [top, total, factor]: [&mut [F]; 3],
        write: impl Fn(usize, &[F], &mut ArrayViewMut2<'_, F>),
    ) {
        for (factor, &total) in factor.iter_mut().zip(&*total) {
            // Without any key the row stays zero. NaN compares unequal and is kept.
            *factor = if total == F::zero() { F::zero() } else { total.recip() };
        }
        let count = self.queries.len();
        for (copy, rows) in self.heads.iter_mut().enumerate() {
            let first = copy * count;
            write(copy, factor, &mut rows.out);
            // One check of all rows if they are contiguous.
            let all_finite = rows.out.as_slice().is_some_and(F::all_finite);
            for (i, (out, query)) in rows.out.rows().into_iter().zip(self.queries.clone()).enumerate() {
                let no_weight = total[first + i] == F::zero() && !plan.keys_of(query).is_empty();
                if no_weight || !all_finite && !row_is_finite(out) {
                    self.nonfinite.push(NonFiniteOutput { batch: self.batch, head: rows.head, query });
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

/// A block of queries of one head, with its rows of the output.
pub(crate) struct HeadBlock<'a, F> {
    pub(crate) batch: usize,
    pub(crate) head: usize,
    pub(crate) queries: Range<usize>,
    pub(crate) out: ArrayViewMut2<'a, F>,
}

/// Cuts the queries of each head into blocks.
pub(crate) fn head_blocks<'a, F>(plan: &Plan, out: ArrayViewMut4<'a, F>) -> Vec<HeadBlock<'a, F>> {
    let mut blocks = Vec::with_capacity(plan.batch * plan.heads * plan.queries.div_ceil(QUERY_BLOCK));
    for (index, mut rows) in matrices(out).into_iter().enumerate() {
        for queries in plan.blocks() {
            let (out, rest) = rows.split_at(Axis(0), queries.len());
            rows = rest;
            blocks.push(HeadBlock { batch: index / plan.heads, head: index % plan.heads, queries, out });
        }
    }
    blocks
}

/// Splits an array `[b, h, m, n]` into its matrices, in order.
pub(crate) fn matrices<F>(x: ArrayViewMut4<'_, F>) -> Vec<ArrayViewMut2<'_, F>> {
    outer(x).into_iter().flat_map(outer).collect()
}

/// Splits an array along its first axis.
pub(crate) fn outer<F, D: RemoveAxis>(
    mut rest: ArrayViewMut<'_, F, D>,
) -> Vec<ArrayViewMut<'_, F, D::Smaller>> {
    let mut parts = Vec::with_capacity(rest.len_of(Axis(0)));
    while rest.len_of(Axis(0)) > 0 {
        let (first, others) = rest.split_at(Axis(0), 1);
        parts.push(first.index_axis_move(Axis(0), 0));
        rest = others;
    }
    parts
}
