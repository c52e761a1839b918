//! Interventions inside the tiles of a forward pass, in memory linear in the length.

use crate::AttentionError;
use crate::forward::{self, Input};
use crate::kernels::{Join, Tiles};
use crate::plan::{KEY_TILE, Plan};
use crate::poison::Poisoned;
use crate::tile::{self, Arena};
use ndarray::{ArrayView2, ArrayViewMut2, ArrayViewMut4, Axis, ShapeBuilder, s};
use std::f64::consts::LOG2_E;
use std::ops::Range;

/// A tile of scores or of the pattern, handed to an intervention.
///
/// Which queries and keys share a tile is no promise; what an intervention does should depend on the pairs alone.
#[derive(Debug)]
#[non_exhaustive]
pub struct Tile<'a, F> {
    /// The member of the batch; 0 without a batch axis.
    pub batch: usize,
    /// The query head.
    pub head: usize,
    /// The queries of the rows.
    pub queries: Range<usize>,
    /// The keys of the columns.
    pub keys: Range<usize>,
    /// The numbers (queries, keys).
    pub values: ArrayViewMut2<'a, F>,
}

/// An intervention on tiles.
pub(crate) type TileEdit<'a, F> = &'a (dyn Fn(Tile<'_, F>) + Sync);

/// A tile as rows of keys, seen as (queries, keys).
pub(crate) fn as_queries<F>(tile: &mut [F], queries: usize, width: usize) -> ArrayViewMut2<'_, F> {
    let shape = (queries, tile.len() / width).strides((1, width));
    ArrayViewMut2::from_shape(shape, tile).expect("a tile is rows of that width")
}

/// Fills `out` from a pattern that `edit` changes tile by tile: one pass finds the log-sum-exp, the second meets the values.
pub(crate) fn forward_editing_pattern<F: Tiles>(
    input: &Input<'_, F>,
    mut out: ArrayViewMut4<'_, F>,
    edit: TileEdit<'_, F>,
) -> Result<(), AttentionError> {
    let Input { plan, q, k, v, .. } = input;
    let mut log_sum_exp = plan.no_keys();
    forward::forward(input, out.view_mut(), Some(&mut log_sum_exp))?;
    let mut batches: Vec<_> = out.outer_iter_mut().collect();
    let mut blocks = Vec::new();
    for (index, mut rows) in batches.iter_mut().flat_map(|out| out.outer_iter_mut()).enumerate() {
        for queries in plan.blocks() {
            let (own, rest) = rows.split_at(Axis(0), queries.len());
            rows = rest;
            blocks.push((index / plan.heads, index % plan.heads, queries, own));
        }
    }
    tile::run(&mut blocks, plan.work(), Arena::new, |arena, (batch, head, queries, out)| {
        let (batch, head, queries) = (*batch, *head, queries.clone());
        let (key_head, value_head) = (plan.key_head(head), plan.value_head(head));
        let q = q.slice(s![batch, head, queries.clone(), ..]);
        let lse = log_sum_exp.slice(s![batch, head, queries.clone()]);
        let (d, e, width) = (plan.width, plan.value_width, F::whole(queries.len()));
        let mut space = arena.space(&[KEY_TILE * width, d * width, e * width, width, width]);
        let (tile, q_columns, sum) =
            (space.take(KEY_TILE * width), space.take(d * width), space.take(e * width));
        let (base, ones) = (space.take(width), space.take(width));
        F::into_columns(&q, F::from_f64(plan.scale * LOG2_E), width, q_columns);
        sum.fill(F::zero());
        base.fill(F::zero());
        ones.fill(F::one());
        base.iter_mut().zip(lse).for_each(|(to, &x)| *to = x);
        // An edit may put weight on any key, so all of them are visited.
        for keys in Plan::tiles(0..plan.keys) {
            let k = k.slice(s![batch, key_head, keys.clone(), ..]);
            let v = v.slice(s![batch, value_head, keys.clone(), ..]);
            let tile = &mut tile[..keys.len() * width];
            F::product(&k, q_columns, width, Join::Replace, tile);
            if let Some(cap) = plan.softcap {
                F::softcap_only(tile, F::from_f64(cap * LOG2_E));
            }
            F::pattern(tile, width, base);
            plan.fill_masked(queries.clone(), keys.clone(), F::zero(), tile, width);
            let values = as_queries(tile, queries.len(), width);
            edit(Tile { batch, head, queries: queries.clone(), keys, values });
            add_values(&v, tile, queries.len(), width, sum);
        }
        F::out_of_columns(sum, width, ones, out);
    });
    Ok(())
}

/// `sum += vᵀ tile`, where a weight of exactly 0 keeps out whatever the value holds.
fn add_values<F: Tiles>(v: &ArrayView2<'_, F>, tile: &[F], queries: usize, width: usize, sum: &mut [F]) {
    match Poisoned::find(v) {
        None => F::product(&v.t(), tile, width, Join::Add, sum),
        Some(bad) => {
            F::product(&bad.clean.t(), tile, width, Join::Add, sum);
            let weighs = |j: usize, i: usize| tile[j * width + i] != F::zero();
            bad.add_to_columns(v, tile, queries, width, weighs, (sum, width));
        }
    }
}
