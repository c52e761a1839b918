//! Softmax attention of rows that are already normalised and turned.

use super::pattern::Pattern;
use super::tiled::{Tiled, put};
use crate::arrays::{Matrix, View, map_rows, stack_heads};
use crate::description::Alibi;
use crate::error::RunError;
use crate::pass::{Backward, Forward, Real, Seen};
use crate::pass::{Operation, Parameter, Slot};
use crate::site::{HookPoint, Site};
use collimate_attention::AttentionError;
use collimate_tensor::zeros;
use ndarray::{Array2, ArrayViewMut2, Axis, concatenate, s};
use rayon::prelude::*;

/// Computes z = softmax(scale·q kᵀ) v of each head, with a softcap, biases, a mask and a sink where the model has them.
pub(crate) struct Attend {
    pub(crate) layer: usize,
    /// The number of query heads.
    pub(crate) heads: usize,
    /// The number of key heads. Query head h reads key head ⌊h·key_heads/heads⌋.
    pub(crate) key_heads: usize,
    /// The values that a query head reads.
    pub(crate) values: ValueHeads,
    /// The factor on the scores.
    pub(crate) scale: f64,
    pub(crate) softcap: Option<f64>,
    /// True if a query sees no later key.
    pub(crate) causal: bool,
    /// The number of keys that a query sees, with its own.
    pub(crate) window: Option<usize>,
    pub(crate) alibi: Option<Alibi>,
    /// The logits of the sinks, `[1, h]`.
    pub(crate) sinks: Option<Parameter>,
    pub(crate) q: Slot,
    pub(crate) k: Slot,
    pub(crate) v: Slot,
    /// The scores and the pattern of all heads `[b·h·t, s]`, where a pass keeps those that hooks were shown.
    pub(crate) shown: [Slot; 2],
    pub(crate) output: Slot,
}

/// The hook points inside attention, in the order of [`Attend::shown`].
const SHOWN: [Site; 2] = [Site::Scores, Site::Pattern];

/// The value head of a query head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueHeads {
    /// The value head with the number of the key head.
    LikeKeys,
    /// One for each pair of query heads h and h + heads/2.
    Halves,
}

impl ValueHeads {
    fn count(self, heads: usize, key_heads: usize) -> usize {
        match self {
            Self::LikeKeys => key_heads,
            Self::Halves => heads / 2,
        }
    }
}

/// The columns of one head.
fn head<'a, F>(x: View<'a, F>, index: usize, heads: usize) -> View<'a, F> {
    let width = x.value.ncols() / heads;
    let columns = index * width..(index + 1) * width;
    View {
        value: x.value.slice_move(s![.., columns.clone()]),
        tangent: x.tangent.map(|x| x.slice_move(s![.., columns])),
    }
}

/// The rows of one sequence.
fn sequence<'a, F>(x: View<'a, F>, index: usize, length: usize) -> View<'a, F> {
    let rows = index * length..(index + 1) * length;
    View {
        value: x.value.slice_move(s![rows.clone(), ..]),
        tangent: x.tangent.map(|x| x.slice_move(s![rows, ..])),
    }
}

/// The queries, keys and values of one head of one sequence.
struct Head<'a, F> {
    index: usize,
    sequence: usize,
    q: View<'a, F>,
    k: View<'a, F>,
    v: View<'a, F>,
}

impl Attend {
    fn key_head(&self, head: usize) -> usize {
        head * self.key_heads / self.heads
    }

    fn value_head(&self, head: usize) -> usize {
        match self.values {
            ValueHeads::LikeKeys => self.key_head(head),
            ValueHeads::Halves => head % (self.heads / 2),
        }
    }

    fn pattern<'a>(&self, seen: &'a Seen, sequence: usize, head: usize) -> Pattern<'a> {
        let bias = self.alibi.as_ref().map(|alibi| alibi.biases(head, seen.places(sequence)));
        let &Self { softcap, causal, window, .. } = self;
        Pattern { softcap, bias, seen, sequence, causal, window }
    }

    /// Returns the heads of all sequences in order.
    fn heads<'a, F: Real>(
        &self,
        q: View<'a, F>,
        rows: &[(View<'a, F>, View<'a, F>)],
        length: usize,
    ) -> Vec<Head<'a, F>> {
        let value_heads = self.values.count(self.heads, self.key_heads);
        let mut all = Vec::with_capacity(rows.len() * self.heads);
        for (b, &(k, v)) in rows.iter().enumerate() {
            let q = sequence(q, b, length);
            for h in 0..self.heads {
                all.push(Head {
                    index: h,
                    sequence: b,
                    q: head(q, h, self.heads),
                    k: head(k, self.key_head(h), self.key_heads),
                    v: head(v, self.value_head(h), value_heads),
                });
            }
        }
        all
    }

    fn scores<F: Real>(&self, head: &Head<'_, F>) -> Matrix<F> {
        head.q.times(head.k.t(), F::from_f64(self.scale))
    }

    /// Returns the logit of the sink of a head for each query, `[t, 1]`, or no column.
    fn sink<F: Real>(&self, sinks: Option<View<'_, F>>, head: usize, rows: usize) -> Matrix<F> {
        match sinks {
            Some(sinks) => {
                let column = |x: ndarray::ArrayView2<'_, F>| {
                    Array2::from_elem(
                        (rows, 1),
                        x.as_standard_layout().as_slice().expect("standard layout")[head],
                    )
                };
                Matrix { value: column(sinks.value), tangent: sinks.tangent.map(column) }
            }
            None => Matrix::zeros((rows, 0), false),
        }
    }
}

impl<F: Real> Operation<F> for Attend {
    fn inputs(&self) -> Vec<Slot> {
        vec![self.q, self.k, self.v]
    }

    fn outputs(&self) -> Vec<Slot> {
        vec![self.output]
    }

    fn points(&self) -> Vec<HookPoint> {
        SHOWN.map(|site| site.of_layer(self.layer)).into()
    }

    fn forward(&self, pass: &mut Forward<'_, F>) -> Result<(), RunError> {
        let (batch, length) = pass.shape();
        pass.remember(self.layer, self.k, self.v);
        let points = SHOWN.map(|site| site.of_layer(self.layer));
        let shown = points.map(|point| pass.shows(point));
        let tiled = self.tiled_forward(pass)?;
        let mut changed = Array2::from_elem((batch * self.heads, length), tiled.is_none());
        if shown == [false, false]
            && let Some(out) = tiled
        {
            return pass.set(self.output, Matrix::plain(out));
        }
        let rows: Vec<_> = (0..batch).map(|b| pass.keys_and_values(self.layer, self.k, self.v, b)).collect();
        let heads = self.heads(pass.get(self.q), &rows, length);
        let mut patterns: Vec<Matrix<F>> = heads.par_iter().map(|head| self.scores(head)).collect();
        drop(heads);
        drop(rows);
        if shown[0] {
            pass.show_heads(points[0], &mut patterns, batch, &mut changed)?;
            pass.keep(self.shown[0], || below(&patterns));
        }
        let (seen, sinks) = (pass.seen(), self.sinks.map(|sinks| pass.parameter(sinks)));
        patterns.par_iter_mut().enumerate().for_each(|(index, matrix)| {
            let (b, h) = (index / self.heads, index % self.heads);
            let sink = self.sink(sinks, h, length);
            let columns = matrix.dim().1;
            let [pattern] = map_rows(&self.pattern(seen, b, h), [matrix.view(), sink.view()], [columns]);
            *matrix = pattern;
        });
        if shown[1] {
            pass.show_heads(points[1], &mut patterns, batch, &mut changed)?;
            pass.keep(self.shown[1], || below(&patterns));
        }
        let rows: Vec<_> = (0..batch).map(|b| pass.keys_and_values(self.layer, self.k, self.v, b)).collect();
        let heads = self.heads(pass.get(self.q), &rows, length);
        let z: Vec<Matrix<F>> = heads
            .par_iter()
            .zip(&patterns)
            .map(|(head, pattern)| pattern.view().times(head.v, F::one()))
            .collect();
        let mut out = assemble(&z, batch, self.heads);
        if let Some(kernel) = tiled {
            // The rows of patterns that the hooks left as they were keep the bits of a pass without hooks.
            let width = out.value.ncols() / self.heads;
            for ((index, query), _) in changed.indexed_iter().filter(|(_, changed)| !**changed) {
                let (b, h) = (index / self.heads, index % self.heads);
                let place = s![b * length + query, h * width..(h + 1) * width];
                out.value.slice_mut(place).assign(&kernel.slice(place));
            }
        }
        pass.set(self.output, out)
    }

    fn backward(&self, pass: &mut Backward<'_, F>) -> Result<(), RunError> {
        let Some(d_out) = pass.take_gradient(self.output) else { return Ok(()) };
        let (batch, _) = pass.shape();
        let points = SHOWN.map(|site| site.of_layer(self.layer));
        let inside = self.shown.iter().any(|&slot| pass.find(slot).is_some())
            || points.iter().any(|point| pass.held.contains_key(point));
        if !pass.is_along()
            && !inside
            && let Some(tiled) = self.tiled(pass.seen(), batch)
        {
            return self.tiled_backward(&tiled, &d_out, pass);
        }
        let mut gradients = self.plain_backward(pass, d_out.view());
        for (index, point) in [3, 4].into_iter().zip(points) {
            if pass.held.contains_key(&point) {
                let all: Vec<_> = gradients
                    .iter_mut()
                    .map(|one| std::mem::replace(&mut one[index], Matrix::zeros((0, 0), false)))
                    .collect();
                pass.held.insert(point, Some(stack_heads(&all, batch).into_dyn()));
            }
        }
        let along = gradients.iter().flatten().any(|x| x.tangent.is_some());
        let value_heads = self.values.count(self.heads, self.key_heads);
        let d_q = sum_heads(&gradients, 0, (batch, self.heads, self.heads), |h| h, along);
        let d_k = sum_heads(&gradients, 1, (batch, self.heads, self.key_heads), |h| self.key_head(h), along);
        let d_v = sum_heads(&gradients, 2, (batch, self.heads, value_heads), |h| self.value_head(h), along);
        if let Some(sinks) = self.sinks.filter(|&sinks| pass.wants(sinks)) {
            let shape = pass.parameter(sinks).value.dim();
            let mut by_sink = Matrix::zeros(shape, along);
            for (index, [.., d_sink]) in gradients.iter().enumerate() {
                let h = index % self.heads;
                let add = |to: &mut Array2<F>, from: &Array2<F>| {
                    to.as_slice_mut().expect("standard layout")[h] += from.sum();
                };
                add(&mut by_sink.value, &d_sink.value);
                if let (Some(to), Some(from)) = (&mut by_sink.tangent, &d_sink.tangent) {
                    add(to, from);
                }
            }
            pass.add_parameter_gradient(sinks, by_sink);
        }
        pass.add_gradient(self.q, d_q);
        pass.add_gradient(self.k, d_k);
        pass.add_gradient(self.v, d_v);
        Ok(())
    }
}

impl Attend {
    /// Computes the gradients of each head by queries, keys, values, scores, pattern and the logit of the sink, as the definition says.
    fn plain_backward<F: Real>(&self, pass: &Backward<'_, F>, d_out: View<'_, F>) -> Vec<[Matrix<F>; 6]> {
        let (batch, length) = pass.shape();
        let (k, v) = (pass.get(self.k), pass.get(self.v));
        let rows: Vec<_> = (0..batch).map(|b| (sequence(k, b, length), sequence(v, b, length))).collect();
        let heads = self.heads(pass.get(self.q), &rows, length);
        let (seen, sinks) = (pass.seen(), self.sinks.map(|sinks| pass.parameter(sinks)));
        // The values that hooks left; an edit of them counts as the addition of a constant.
        let left = |which: usize, index: usize| {
            let all = pass.find(self.shown[which])?;
            Some(Matrix::plain(sequence(all, index, length).value.to_owned()))
        };
        heads
            .par_iter()
            .enumerate()
            .map(|(index, one)| {
                let rule = self.pattern(seen, one.sequence, one.index);
                let scores = left(0, index).unwrap_or_else(|| self.scores(one));
                let sink = self.sink(sinks, one.index, length);
                let columns = scores.dim().1;
                let [pattern] = map_rows(&rule, [scores.view(), sink.view()], [columns]);
                let d_z = head(sequence(d_out, one.sequence, length), one.index, self.heads);
                let used = left(1, index);
                let d_v = used.as_ref().unwrap_or(&pattern).view().t().times(d_z, F::one());
                let d_pattern = d_z.times(one.v.t(), F::one());
                let inputs = [scores.view(), pattern.view(), d_pattern.view()];
                let [d_scores, d_sink] =
                    map_rows(&rule, inputs, [columns, usize::from(self.sinks.is_some())]);
                let scale = F::from_f64(self.scale);
                let d_q = d_scores.view().times(one.k, scale);
                let d_k = d_scores.view().t().times(one.q, scale);
                [d_q, d_k, d_v, d_scores, d_pattern, d_sink]
            })
            .collect()
    }

    /// Returns the attention of the kernels, if they compute this one on these keys.
    fn tiled(&self, seen: &Seen, batch: usize) -> Option<Tiled> {
        let plain = self.values == ValueHeads::LikeKeys && self.alibi.is_none();
        let known = plain && (self.causal || self.window.is_none());
        let heads = (self.heads, self.key_heads);
        (known && (0..batch).all(|b| seen.run(b).is_some()))
            .then(|| Tiled::new(heads, self.scale, self.softcap, self.causal, self.window))
    }

    /// Computes z `[b·t, h·e]` by the kernels, if they compute this attention.
    fn tiled_forward<F: Real>(&self, pass: &Forward<'_, F>) -> Result<Option<Array2<F>>, RunError> {
        let (batch, length) = pass.shape();
        if pass.is_along() {
            return Ok(None);
        }
        let Some(tiled) = self.tiled(pass.seen(), batch) else { return Ok(None) };
        let q = pass.get(self.q).value;
        let sinks = self.sink_values(|sinks| pass.parameter(sinks));
        let mut out = zeros((batch * length, q.ncols()));
        let keys: Vec<_> = (0..batch).map(|b| pass.keys_and_values(self.layer, self.k, self.v, b)).collect();
        let seen = pass.seen();
        let sequences: Vec<_> =
            out.axis_chunks_iter_mut(Axis(0), length.max(1)).zip(keys).enumerate().collect();
        let one = |(b, (out, (k, v))): (usize, (ArrayViewMut2<'_, F>, (View<'_, F>, View<'_, F>)))| {
            let real = seen.run(b).expect("the kernel was chosen for such keys");
            let q = q.slice(s![b * length..(b + 1) * length, ..]);
            tiled.forward([q, k.value, v.value], sinks.as_deref(), real, out)
        };
        let done: Vec<Result<(), RunError>> = sequences.into_par_iter().map(one).collect();
        done.into_iter().collect::<Result<(), _>>().map_err(|error| self.place(error))?;
        Ok(Some(out))
    }

    /// Adds the layer to the error of scores or outputs that overflow.
    fn place(&self, error: RunError) -> RunError {
        match error {
            RunError::Attention(source @ AttentionError::Overflow(_)) => {
                RunError::Overflow { point: Site::Scores.of_layer(self.layer), source }
            }
            other => other,
        }
    }

    fn sink_values<'a, F: Real>(&self, parameter: impl Fn(Parameter) -> View<'a, F>) -> Option<Vec<F>> {
        self.sinks.map(|sinks| parameter(sinks).value.iter().copied().collect())
    }

    fn tiled_backward<F: Real>(
        &self,
        tiled: &Tiled,
        d_out: &Matrix<F>,
        pass: &mut Backward<'_, F>,
    ) -> Result<(), RunError> {
        let (batch, length) = pass.shape();
        let slots = [self.q, self.k, self.v];
        let arrays = slots.map(|slot| pass.get(slot).value);
        let sinks = self.sink_values(|sinks| pass.parameter(sinks));
        let mut out = arrays.map(|x| zeros(x.dim()));
        let mut by_sink: Option<Array2<F>> = None;
        let seen = pass.seen();
        let one = |b: usize| {
            let rows = s![b * length..(b + 1) * length, ..];
            let real = seen.run(b).expect("the kernel was chosen for such keys");
            if real.is_empty() {
                return Ok(None);
            }
            let first = b * length + real.start;
            let arrays = arrays.map(|x| x.slice_move(rows));
            let g = tiled.backward(arrays, sinks.as_deref(), real, d_out.value.slice(rows))?;
            Ok(Some((first, g)))
        };
        let gradients: Vec<Result<_, RunError>> = (0..batch).into_par_iter().map(one).collect();
        for gradient in gradients {
            let Some((first, g)) = gradient? else { continue };
            for (from, to) in g.arrays.iter().zip(&mut out) {
                put(from, first, to);
            }
            if let Some(g) = g.sinks {
                let g = g.insert_axis(Axis(0));
                by_sink = Some(by_sink.map_or_else(|| g.clone(), |sum| sum + &g));
            }
        }
        if let (Some(sinks), Some(gradient)) = (self.sinks, by_sink)
            && pass.wants(sinks)
        {
            pass.add_parameter_gradient(sinks, Matrix::plain(gradient));
        }
        for (slot, gradient) in slots.into_iter().zip(out) {
            pass.add_gradient(slot, Matrix::plain(gradient));
        }
        Ok(())
    }
}

/// Puts the outputs of all heads `[t, e]` side by side, and the sequences one below the other.
fn assemble<F: Real>(heads: &[Matrix<F>], batch: usize, per_sequence: usize) -> Matrix<F> {
    let (length, width) = heads[0].dim();
    let along = heads.iter().any(|x| x.tangent.is_some());
    let mut out = Matrix::zeros((batch * length, per_sequence * width), along);
    for (index, one) in heads.iter().enumerate() {
        let (b, h) = (index / per_sequence, index % per_sequence);
        let place = s![b * length..(b + 1) * length, h * width..(h + 1) * width];
        out.value.slice_mut(place).assign(&one.value);
        if let (Some(to), Some(from)) = (&mut out.tangent, &one.tangent) {
            to.slice_mut(place).assign(from);
        }
    }
    out
}

/// Puts the matrices of all heads one below the other.
fn below<F: Real>(heads: &[Matrix<F>]) -> Matrix<F> {
    let views: Vec<_> = heads.iter().map(|one| one.value.view()).collect();
    Matrix::plain(concatenate(Axis(0), &views).expect("heads have equal lengths"))
}

/// Adds the gradients of the query heads to the heads that they read, in order.
fn sum_heads<F: Real>(
    gradients: &[[Matrix<F>; 6]],
    which: usize,
    (batch, heads, read): (usize, usize, usize),
    target: impl Fn(usize) -> usize,
    along: bool,
) -> Matrix<F> {
    let (length, width) = gradients[0][which].dim();
    let mut out = Matrix::zeros((batch * length, read * width), along);
    for (index, gradient) in gradients.iter().enumerate() {
        let (b, h) = (index / heads, target(index % heads));
        let place = s![b * length..(b + 1) * length, h * width..(h + 1) * width];
        let mut to = out.value.slice_mut(place);
        to += &gradient[which].value;
        if let (Some(to), Some(from)) = (&mut out.tangent, &gradient[which].tangent) {
            let mut to = to.slice_mut(place);
            to += from;
        }
    }
    out
}
