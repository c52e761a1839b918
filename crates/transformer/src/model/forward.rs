//! The forward pass through the layers.

use super::decoder::{Decoder, Run};
use super::scratch::Scratch;
use crate::error::{RunError, check_finite};
use crate::hooks::Hooks;
use crate::site::{HookPoint, Site};
use collimate_attention::{Intervention, RotaryTable, split_heads_mut};
use collimate_tensor::{rms_norm_into, silu_times};
use ndarray::{
    Array2, Array3, ArrayRef2, ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3, ArrayViewMutD, Axis, s,
};
use rayon::prelude::*;
use std::ops::Range;

/// The number of rows of one task of an elementwise step.
const ROWS: usize = 32;

impl Decoder {
    /// Checks the input of a run and returns the residual stream that it starts with.
    pub(super) fn enter(&self, run: &Run<'_>) -> Result<Array2<f32>, RunError> {
        let c = &self.config;
        if run.tokens.is_empty() {
            return Err(RunError::EmptyInput);
        }
        if run.tokens.len() > c.context {
            return Err(RunError::ContextOverflow { given: run.tokens.len(), context: c.context });
        }
        if let Some(position) = run.tokens.iter().position(|&id| id as usize >= c.n_vocab) {
            return Err(RunError::UnknownToken { id: run.tokens[position], position, n_vocab: c.n_vocab });
        }
        let Some((layer, residual)) = run.start else {
            let rows: Vec<usize> = run.tokens.iter().map(|&id| id as usize).collect();
            return Ok(self.weights.embedding.select(Axis(0), &rows));
        };
        if layer > c.n_layers {
            return Err(RunError::Layer { given: layer, first: 0, last: c.n_layers });
        }
        let expected = vec![run.tokens.len(), c.d_model];
        if residual.shape() != expected {
            let given = residual.shape().to_vec();
            return Err(RunError::Shape { argument: "residual", expected, given });
        }
        check_finite(|| "residual".into(), residual.iter())?;
        // Standard layout whatever the view's: rows are handed to kernels as slices.
        Ok(residual.as_standard_layout().into_owned())
    }

    /// Passes the residual stream through a range of layers.
    pub(super) fn layers(
        &self,
        layers: Range<usize>,
        residual: &mut Array2<f32>,
        hooks: &mut dyn Hooks,
    ) -> Result<(), RunError> {
        if layers.is_empty() {
            return Ok(());
        }
        let table = self.rotary(residual.nrows())?;
        let mut scratch = self.pool.take(&self.config, residual.nrows());
        let mut pass = Pass { decoder: self, table: &table, hooks };
        let done = layers.into_iter().try_for_each(|index| pass.layer(index, residual, &mut scratch));
        self.pool.give_back(scratch);
        done
    }
}

/// A run on its way through the layers.
struct Pass<'a> {
    decoder: &'a Decoder,
    table: &'a RotaryTable<f32>,
    hooks: &'a mut dyn Hooks,
}

impl Pass<'_> {
    fn layer(
        &mut self,
        index: usize,
        residual: &mut Array2<f32>,
        scratch: &mut Scratch,
    ) -> Result<(), RunError> {
        let (decoder, t) = (self.decoder, residual.nrows());
        let (epsilon, d_ff) = (decoder.config.norm_epsilon as f32, decoder.config.d_ff);
        let layer = &decoder.weights.layers[index];
        let rows = s![..t, ..];
        let mut normed = scratch.normed.slice_mut(rows);
        let mut query_key_value = scratch.query_key_value.slice_mut(rows);
        let mut z = scratch.z.slice_mut(rows);
        let mut added = scratch.added.slice_mut(rows);
        let mut gate_up = scratch.gate_up.slice_mut(rows);
        let mut hidden = scratch.hidden.slice_mut(s![..t, ..d_ff]);

        self.show(index, Site::ResidualPre, || residual.view_mut().into_dyn())?;
        norm_rows(residual, &layer.attention_gain, epsilon, &mut normed);
        layer.query_key_value.matmul_into(&normed, &mut query_key_value)?;
        self.attend(index, &mut query_key_value, &mut z)?;
        let sites = [Site::HeadOutput, Site::AttentionOutput];
        self.add(index, sites, &layer.attention_out, &z.view(), &mut added, residual)?;

        self.show(index, Site::ResidualMid, || residual.view_mut().into_dyn())?;
        norm_rows(residual, &layer.mlp_gain, epsilon, &mut normed);
        layer.gate_up.matmul_into(&normed, &mut gate_up)?;
        gate_rows(&gate_up, &mut hidden);
        self.show(index, Site::MlpNeurons, || hidden.view_mut().into_dyn())?;
        let sites = [Site::MlpNeurons, Site::MlpOutput];
        self.add(index, sites, &layer.down, &hidden.view(), &mut added, residual)?;
        self.show(index, Site::ResidualPost, || residual.view_mut().into_dyn())
    }

    /// Shows an activation to the hooks, if they want it, and checks the values that they leave.
    fn show<'v>(
        &mut self,
        layer: usize,
        site: Site,
        view: impl FnOnce() -> ArrayViewMutD<'v, f32>,
    ) -> Result<(), RunError> {
        let point = HookPoint { layer, site };
        if !self.hooks.wants(point) {
            return Ok(());
        }
        let mut activation = view();
        self.hooks.at(point, activation.view_mut());
        Ok(check_finite(|| point.to_string(), activation.iter())?)
    }

    /// Computes residual ← residual + input·matrix, through `added` when a hook wants the product. `sites` are those of the input and
    /// of the product. Numbers that have overflowed are an error that names the first of the two sites with such a number.
    fn add(
        &mut self,
        layer: usize,
        [of_input, site]: [Site; 2],
        matrix: &collimate_tensor::PackedMatrix<f32>,
        input: &ArrayView2<'_, f32>,
        added: &mut ArrayViewMut2<'_, f32>,
        residual: &mut Array2<f32>,
    ) -> Result<(), RunError> {
        if self.hooks.wants(HookPoint { layer, site }) {
            matrix.matmul_into(input, added)?;
            self.show(layer, site, || added.view_mut().into_dyn())?;
            *residual += &*added;
        } else {
            matrix.add_matmul_into(input, residual)?;
        }
        let Err(overflow) = check_finite(|| overflow_at(layer, site), residual.iter()) else { return Ok(()) };
        check_finite(|| overflow_at(layer, of_input), input.iter())?;
        Err(overflow.into())
    }

    /// Computes z `[t, h·e]` from queries, keys and values `[t, (h + 2g)·e]`.
    fn attend(
        &mut self,
        layer: usize,
        query_key_value: &mut ArrayViewMut2<'_, f32>,
        z: &mut ArrayViewMut2<'_, f32>,
    ) -> Result<(), RunError> {
        let c = &self.decoder.config;
        let (h, g) = (c.n_heads, c.n_key_heads);
        let mut heads = split_heads_mut(query_key_value, c.d_head)?;
        rotate(self.table, heads.slice_mut(s![..h + g, .., ..]))?;
        let q = heads.slice(s![..h, .., ..]);
        let k = heads.slice(s![h..h + g, .., ..]);
        let v = heads.slice(s![h + g.., .., ..]);
        let mut z = split_heads_mut(z, c.d_head)?;
        if self.hooks.wants(Site::Pattern.of_layer(layer)) {
            self.attend_by_pattern(layer, [&q, &k, &v], &mut z)?;
        } else {
            self.decoder.attention.forward_into(&q, &k, &v, &mut z)?;
        }
        self.show(layer, Site::HeadOutput, || z.view_mut().into_dyn())
    }

    /// Computes attention with the whole pattern, for a hook. Only the rows that the hook changes are computed from the pattern, so
    /// that a hook that only reads changes no bit, and a change of one query changes no bit of another query.
    fn attend_by_pattern(
        &mut self,
        layer: usize,
        [q, k, v]: [&ArrayView3<'_, f32>; 3],
        z: &mut ArrayViewMut3<'_, f32>,
    ) -> Result<(), RunError> {
        let attention = &self.decoder.attention;
        let (out, saved) = attention.forward(q, k, v)?;
        z.assign(&out);
        let (h, t) = (q.dim().0, q.dim().1);
        let heads = (0..h).into_par_iter().map(|head| saved.pattern(head)).collect::<Result<Vec<_>, _>>()?;
        let mut pattern = Array3::zeros((h, t, t));
        for (mut to, from) in pattern.outer_iter_mut().zip(&heads) {
            to.assign(from);
        }
        let before = pattern.clone();
        self.show(layer, Site::Pattern, || pattern.view_mut().into_dyn())?;
        if pattern == before {
            return Ok(());
        }
        let replaced = attention.intervene(q, k, v, Intervention::Replace(pattern.view()))?;
        for head in 0..h {
            for query in 0..t {
                if pattern.slice(s![head, query, ..]) != before.slice(s![head, query, ..]) {
                    z.slice_mut(s![head, query, ..]).assign(&replaced.slice(s![head, query, ..]));
                }
            }
        }
        Ok(())
    }
}

/// Returns the place of numbers that have overflowed, for the error.
fn overflow_at(layer: usize, site: Site) -> String {
    format!("{}, computed from finite numbers that are too large", HookPoint { layer, site })
}

/// Calls `work` for each row of two matrices, in parallel over blocks of rows.
fn for_row_blocks(x: &ArrayRef2<f32>, out: &mut ArrayRef2<f32>, work: impl Fn(&[f32], &mut [f32]) + Sync) {
    let inputs = x.axis_chunks_iter(Axis(0), ROWS);
    let pairs: Vec<_> = inputs.zip(out.axis_chunks_iter_mut(Axis(0), ROWS)).collect();
    pairs.into_par_iter().for_each(|(x, mut out)| {
        for (x, mut out) in x.rows().into_iter().zip(out.rows_mut()) {
            work(x.to_slice().expect("contiguous rows"), out.as_slice_mut().expect("contiguous rows"));
        }
    });
}

/// Normalises each row by its root mean square.
pub(super) fn norm_rows(x: &ArrayRef2<f32>, gain: &[f32], epsilon: f32, out: &mut ArrayRef2<f32>) {
    for_row_blocks(x, out, |x, out| rms_norm_into(x, gain, epsilon, out));
}

/// Computes hidden = silu(gate) ∘ up, row by row.
fn gate_rows(gate_up: &ArrayRef2<f32>, hidden: &mut ArrayRef2<f32>) {
    for_row_blocks(gate_up, hidden, |gate_up, hidden| {
        let (gate, up) = gate_up.split_at(hidden.len());
        silu_times(gate, up, hidden);
    });
}

/// Turns the queries and keys by the angles of their positions.
fn rotate(table: &RotaryTable<f32>, mut heads: ArrayViewMut3<'_, f32>) -> Result<(), RunError> {
    let blocks: Vec<_> = heads.axis_chunks_iter_mut(Axis(1), ROWS).enumerate().collect();
    blocks.into_par_iter().try_for_each(|(index, mut block)| Ok(table.apply_from(index * ROWS, &mut block)?))
}
