//! Attention by the tiled kernels, which never hold a whole pattern: the path of every pass without a direction in which no hook wants
//! scores or pattern.

use crate::error::RunError;
use crate::pass::Real;
use collimate_attention::{Attention, HeadMap, Mask, Offset, Scale, split_heads_mut};
use ndarray::{Array1, Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut2, Axis, s};
use std::ops::Range;

/// The attention of the kernels, for rows `[t, h·e]` of one sequence.
pub(super) struct Tiled {
    pub(super) kernel: Attention,
    pub(super) heads: usize,
    pub(super) key_heads: usize,
}

/// The gradients of one sequence by queries, keys and values `[h, t, e]`, and by the logits of the sinks.
pub(super) struct Gradients<F> {
    pub(super) arrays: [Array3<F>; 3],
    pub(super) sinks: Option<Array1<F>>,
}

impl Tiled {
    /// Chooses the kernel with a scale, a softcap and a mask.
    pub(super) fn new(
        (heads, key_heads): (usize, usize),
        scale: f64,
        softcap: Option<f64>,
        causal: bool,
        window: Option<usize>,
    ) -> Self {
        let offset = Offset::keys_minus_queries();
        let mask = match (causal, window) {
            (true, Some(window)) => Mask::window(offset, window - 1),
            (true, None) => Mask::causal(offset),
            _ => Mask::none(),
        };
        let map = HeadMap::grouped_by_floor(heads, key_heads);
        let kernel = Attention::scaled_dot_product().scale(Scale::Fixed(scale)).heads(map).mask(mask);
        let kernel = softcap.map_or(kernel, |cap| kernel.softcap(cap));
        Self { kernel, heads, key_heads }
    }

    /// Writes the outputs of the queries of one sequence into `out` `[t, h·e]`. `real` are the keys that are not padding; the rows of
    /// padding stay as they are.
    pub(super) fn forward<F: Real>(
        &self,
        [q, k, v]: [ArrayView2<'_, F>; 3],
        sinks: Option<&[F]>,
        real: Range<usize>,
        mut out: ArrayViewMut2<'_, F>,
    ) -> Result<(), RunError> {
        // The queries are the last of the keys.
        let past = k.nrows() - q.nrows();
        let queries = real.start.saturating_sub(past)..real.end.saturating_sub(past);
        if queries.is_empty() {
            return Ok(());
        }
        let q = split(q.slice_move(s![queries.clone(), ..]), self.heads);
        let [k, v] = [k, v].map(|x| split(x.slice_move(s![real.clone(), ..]), self.key_heads));
        let mut rows = out.slice_mut(s![queries, ..]);
        let width = rows.ncols() / self.heads;
        let mut z = split_heads_mut(&mut rows, width)?;
        match sinks {
            None => self.kernel.forward_into(&q, &k, &v, &mut z)?,
            Some(sinks) => {
                let [q, k, v] = [q, k, v].map(|x| x.to_owned().into_shared());
                z.assign(&self.kernel.forward_with_sink(q, k, v, sinks)?.0);
            }
        }
        Ok(())
    }

    /// Computes the gradients of one sequence, for the rows that are not padding, from the gradient by its outputs.
    pub(super) fn backward<F: Real>(
        &self,
        [q, k, v]: [ArrayView2<'_, F>; 3],
        sinks: Option<&[F]>,
        real: Range<usize>,
        d_out: ArrayView2<'_, F>,
    ) -> Result<Gradients<F>, RunError> {
        let rows = s![real, ..];
        let own = |x: ArrayView2<'_, F>, heads| split(x.slice_move(rows), heads).to_owned().into_shared();
        let (q, k, v) = (own(q, self.heads), own(k, self.key_heads), own(v, self.key_heads));
        let d_out = split(d_out.slice_move(rows), self.heads);
        let (_, saved) = match sinks {
            None => self.kernel.forward_shared(q, k, v)?,
            Some(sinks) => self.kernel.forward_with_sink(q, k, v, sinks)?,
        };
        let gradients = self.kernel.backward(&saved, &d_out)?;
        Ok(Gradients { arrays: [gradients.q, gradients.k, gradients.v], sinks: saved.sink_gradient(&d_out)? })
    }
}

/// Returns rows `[t, h·e]` as `[h, t, e]`.
fn split<F>(x: ArrayView2<'_, F>, heads: usize) -> ArrayView3<'_, F> {
    let (rows, columns) = x.dim();
    let view = x.into_shape_with_order((rows, heads, columns / heads));
    view.expect("whole rows of standard layout").permuted_axes([1, 0, 2])
}

/// Writes `[h, t, e]` into rows of `[b·t, h·e]`.
pub(super) fn put<F: Real>(from: &Array3<F>, first: usize, to: &mut Array2<F>) {
    let (heads, rows, width) = from.dim();
    for head in 0..heads {
        let place = s![first..first + rows, head * width..(head + 1) * width];
        to.slice_mut(place).assign(&from.index_axis(Axis(0), head));
    }
}
