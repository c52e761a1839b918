//! Attention by the tiled kernels, which never hold a whole pattern: the path of every pass without a direction in which no hook wants
//! scores or pattern.

use super::attend::{Attend, ValueHeads};
use super::{Matrix, View};
use crate::error::RunError;
use crate::pass::{Real, Seen};
use collimate_attention::{Attention, HeadMap, Mask, Offset, Scale, split_heads_mut};
use ndarray::{Array1, Array2, Array3, ArrayView2, ArrayView3, s};
use std::ops::Range;

/// The gradients of one sequence by queries, keys and values `[h, t, e]`, and by the logits of the sinks.
pub(super) struct Gradients<F> {
    pub(super) q: Array3<F>,
    pub(super) k: Array3<F>,
    pub(super) v: Array3<F>,
    pub(super) sinks: Option<Array1<F>>,
}

impl Attend {
    /// Returns the attention of the kernels, if they compute this one on these keys.
    pub(super) fn kernel(&self, seen: &Seen, batch: usize) -> Option<Attention> {
        let plain = self.values == ValueHeads::LikeKeys && self.alibi.is_none();
        let windowed = self.window.is_some();
        if !plain || (windowed && !self.causal) || (0..batch).any(|b| seen.run(b).is_none()) {
            return None;
        }
        let offset = Offset::keys_minus_queries();
        let mask = match (self.causal, self.window) {
            (true, Some(window)) => Mask::window(offset, window - 1),
            (true, None) => Mask::causal(offset),
            _ => Mask::none(),
        };
        let heads = HeadMap::grouped_by_floor(self.heads, self.key_heads);
        let attention = Attention::scaled_dot_product().scale(Scale::Fixed(self.scale)).heads(heads).mask(mask);
        Some(match self.softcap {
            Some(cap) => attention.softcap(cap),
            None => attention,
        })
    }

    /// Writes the outputs of the queries of one sequence into `out` `[t, h·e]`. Padding gets zeros.
    pub(super) fn tiled_forward<F: Real>(
        &self,
        kernel: &Attention,
        [q, k, v]: [ArrayView2<'_, F>; 3],
        sinks: Option<View<'_, F>>,
        real: Range<usize>,
        mut out: ndarray::ArrayViewMut2<'_, F>,
    ) -> Result<(), RunError> {
        let (queries, keys) = part(q.nrows(), k.nrows(), &real);
        if queries.is_empty() {
            return Ok(());
        }
        let q = heads(q.slice_move(s![queries.clone(), ..]), self.heads)?;
        let [k, v] = [k, v].map(|x| x.slice_move(s![keys.clone(), ..]));
        let (k, v) = (heads(k, self.key_heads)?, heads(v, self.key_heads)?);
        let mut rows = out.slice_mut(s![queries, ..]);
        let width = rows.ncols() / self.heads;
        let mut z = split_heads_mut(&mut rows, width)?;
        match sinks {
            None => kernel.forward_into(&q, &k, &v, &mut z)?,
            Some(sinks) => {
                let sinks: Vec<F> = sinks.value.iter().copied().collect();
                let [q, k, v] = [q, k, v].map(|x| x.to_owned().into_shared());
                z.assign(&kernel.forward_with_sink(q, k, v, &sinks)?.0);
            }
        }
        Ok(())
    }

    /// Computes the gradients of one sequence from the gradient by its outputs. Padding gets zeros.
    pub(super) fn tiled_backward<F: Real>(
        &self,
        kernel: &Attention,
        [q, k, v]: [ArrayView2<'_, F>; 3],
        sinks: Option<View<'_, F>>,
        real: Range<usize>,
        d_out: ArrayView2<'_, F>,
    ) -> Result<Gradients<F>, RunError> {
        let rows = s![real, ..];
        let [q, k, v] = [(q, self.heads), (k, self.key_heads), (v, self.key_heads)]
            .map(|(x, n)| Ok::<_, RunError>(heads(x.slice_move(rows.clone()), n)?.to_owned().into_shared()));
        let (q, k, v) = (q?, k?, v?);
        let d_out = heads(d_out.slice_move(rows), self.heads)?;
        let saved = match sinks {
            None => kernel.forward_shared(q, k, v)?.1,
            Some(sinks) => {
                let sinks: Vec<F> = sinks.value.iter().copied().collect();
                kernel.forward_with_sink(q, k, v, &sinks)?.1
            }
        };
        let gradients = kernel.backward(&saved, &d_out)?;
        let sinks = saved.sink_gradient(&d_out)?;
        Ok(Gradients { q: gradients.q, k: gradients.k, v: gradients.v, sinks })
    }
}

/// Returns the queries and keys that are not padding.
fn part(queries: usize, keys: usize, real: &Range<usize>) -> (Range<usize>, Range<usize>) {
    // The queries are the last of the keys.
    let past = keys - queries;
    (real.start.saturating_sub(past)..real.end.saturating_sub(past), real.clone())
}

/// Returns rows `[t, h·e]` as `[h, t, e]`.
fn heads<F>(x: ArrayView2<'_, F>, heads: usize) -> Result<ArrayView3<'_, F>, RunError> {
    let (rows, columns) = x.dim();
    let view = x.into_shape_with_order((rows, heads, columns / heads));
    Ok(view.expect("whole rows of standard layout").permuted_axes([1, 0, 2]))
}

/// Adds `[h, t, e]` to the rows of a sequence in `[b·t, h·e]`.
pub(super) fn put<F: Real>(from: &Array3<F>, first: usize, to: &mut Array2<F>) {
    let (heads, rows, width) = from.dim();
    for head in 0..heads {
        let place = s![first..first + rows, head * width..(head + 1) * width];
        to.slice_mut(place).assign(&from.index_axis(ndarray::Axis(0), head));
    }
}

/// Returns a matrix without a derivative.
pub(super) fn plain<F>(value: Array2<F>) -> Matrix<F> {
    Matrix { value, tangent: None }
}
