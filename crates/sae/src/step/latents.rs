//! The pass over the latents: each gathers its own gradient rows from the rows in which it was active.

use crate::float::Float;
use crate::members::rule::{Contribution, Entry, Rule};
use crate::step::dense;
use crate::step::workspace::{RowBlock, Workspace};
use crate::step::{Losses, Settings, constants_of, each};
use crate::train::adam::Update;
use crate::{SaeError, Variant, Weights, normalise};
use collimate_tensor::{Scalar, axpy, dot, sum_of_squares};

/// Latents in one task.
pub(crate) const BLOCK: usize = 256;

/// The buffers of one block of latents.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatentBlock<F> {
    sorted: Sorted<F>,
    dead: Sorted<F>,
    /// What the entries of each latent add up to besides rows.
    sums: Vec<Sums<F>>,
    /// Σ_i s_i w_i with s_i = Σ_rows ∂h_i: what b_dec gets through the centred input.
    pub(crate) bias: Vec<F>,
    pub(crate) gradient: Gradient<F>,
}

/// What the entries of one latent add up to besides rows.
#[derive(Clone, Copy, Debug, Default)]
struct Sums<F> {
    per_latent: [F; 3],
    encoder: F,
    magnitude: F,
    norm_pull: F,
    active: bool,
}

/// The gradient of one latent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gradient<F> {
    pub(crate) encoder: Vec<F>,
    pub(crate) decoder: Vec<F>,
    pub(crate) per_latent: [F; 3],
    /// The sum of the encoder coefficients.
    pub(crate) pre: F,
    /// ∂L/∂‖d‖ through the penalty.
    pub(crate) norm_pull: F,
    pub(crate) active: bool,
}

impl<F: Scalar> Gradient<F> {
    fn clear(&mut self, encoder: usize, decoder: usize) {
        for (row, width) in [(&mut self.encoder, encoder), (&mut self.decoder, decoder)] {
            row.clear();
            row.resize(width, F::zero());
        }
        self.per_latent = [F::zero(); 3];
        self.pre = F::zero();
        self.norm_pull = F::zero();
        self.active = false;
    }
}

/// The entries of a block of latents, latent by latent, rows ascending within: the row of each, and by what its inputs and
/// residuals count.
#[derive(Clone, Debug, Default)]
struct Sorted<F> {
    starts: Vec<u32>,
    rows: Vec<u32>,
    encoder: Vec<F>,
    magnitude: Vec<F>,
    decoder: Vec<F>,
    decoder_aux: Vec<F>,
}

/// Which of the amounts a member uses.
#[derive(Clone, Copy)]
struct Uses {
    magnitude: bool,
    decoder_aux: bool,
}

impl<F: Scalar> Sorted<F> {
    /// A counting sort of the entries that fall into latent block `block`; `of` tells what an entry adds.
    fn gather<'a>(
        &mut self,
        rows: &'a [RowBlock<F>],
        (block, blocks): (usize, usize),
        uses: Uses,
        sums: &mut [Sums<F>],
        part: impl Fn(&'a RowBlock<F>) -> (&'a [Entry<F>], &'a [u32]),
        of: impl Fn(&Entry<F>, &mut Sums<F>) -> Contribution<F>,
    ) {
        let (first, width) = (block * BLOCK, sums.len());
        self.starts.clear();
        self.starts.resize(width + 1, 0);
        let stride = blocks + 1;
        for row_block in rows {
            let (entries, cuts) = part(row_block);
            for cuts in cuts.chunks(stride) {
                for entry in &entries[cuts[block] as usize..cuts[block + 1] as usize] {
                    self.starts[entry.latent as usize - first + 1] += 1;
                }
            }
        }
        for i in 0..width {
            self.starts[i + 1] += self.starts[i];
        }
        let count = self.starts[width] as usize;
        // What was there before is overwritten.
        self.rows.resize(count, 0);
        self.encoder.resize(count, F::zero());
        self.decoder.resize(count, F::zero());
        self.magnitude.resize(if uses.magnitude { count } else { 0 }, F::zero());
        self.decoder_aux.resize(if uses.decoder_aux { count } else { 0 }, F::zero());
        let mut row = 0;
        for row_block in rows {
            let (entries, cuts) = part(row_block);
            for cuts in cuts.chunks(stride) {
                for entry in &entries[cuts[block] as usize..cuts[block + 1] as usize] {
                    let index = entry.latent as usize - first;
                    let sums = &mut sums[index];
                    let c = of(entry, sums);
                    let slot = self.starts[index] as usize;
                    self.rows[slot] = row;
                    self.encoder[slot] = c.encoder;
                    self.decoder[slot] = c.decoder;
                    if uses.magnitude {
                        self.magnitude[slot] = c.magnitude;
                        sums.magnitude += c.magnitude;
                    }
                    if uses.decoder_aux {
                        self.decoder_aux[slot] = c.decoder_aux;
                    }
                    sums.encoder += c.encoder;
                    sums.per_latent.iter_mut().zip(c.per_latent).for_each(|(sum, value)| *sum += value);
                    self.starts[index] += 1;
                }
                row += 1;
            }
        }
        // Every start has moved to its end, which is the next start.
        self.starts.pop();
        self.starts.insert(0, 0);
    }

    fn of(&self, index: usize) -> std::ops::Range<usize> {
        self.starts[index] as usize..self.starts[index + 1] as usize
    }
}

/// The parameters of one block of latents.
pub(crate) struct Split<T> {
    pub(crate) encoder: T,
    pub(crate) decoder: T,
    pub(crate) per_latent: Vec<T>,
}

impl<'a, F: Scalar> Split<&'a [F]> {
    /// The blocks of some weights.
    pub(crate) fn of(weights: &'a Weights<F>) -> Vec<Self> {
        let (wide, d) = (weights.w_enc.ncols(), weights.w_dec.ncols());
        let slice = "standard layout";
        let encoder = weights.w_enc.as_slice().expect(slice).chunks(BLOCK * wide);
        let decoder = weights.w_dec.as_slice().expect(slice).chunks(BLOCK * d);
        let mut vectors: Vec<_> =
            weights.per_latent.iter().map(|v| v.as_slice().expect(slice).chunks(BLOCK)).collect();
        encoder
            .zip(decoder)
            .map(|(encoder, decoder)| {
                let per_latent = vectors.iter_mut().map(|v| v.next().expect("one chunk a block")).collect();
                Split { encoder, decoder, per_latent }
            })
            .collect()
    }
}

impl<'a, F: Scalar> Split<&'a mut [F]> {
    /// The blocks of some weights, to change.
    pub(crate) fn of_mut(weights: &'a mut Weights<F>) -> Vec<Self> {
        let (wide, d) = (weights.w_enc.ncols(), weights.w_dec.ncols());
        let slice = "standard layout";
        let encoder = weights.w_enc.as_slice_mut().expect(slice).chunks_mut(BLOCK * wide);
        let decoder = weights.w_dec.as_slice_mut().expect(slice).chunks_mut(BLOCK * d);
        let mut vectors: Vec<_> =
            weights.per_latent.iter_mut().map(|v| v.as_slice_mut().expect(slice).chunks_mut(BLOCK)).collect();
        encoder
            .zip(decoder)
            .map(|(encoder, decoder)| {
                let per_latent = vectors.iter_mut().map(|v| v.next().expect("one chunk a block")).collect();
                Split { encoder, decoder, per_latent }
            })
            .collect()
    }
}

/// What is done with the gradient of each latent of a block.
pub(crate) trait Sink<F: Scalar>: Send {
    fn encoder(&self) -> &[F];
    fn decoder(&self) -> &[F];
    fn take(&mut self, index: usize, gradient: &mut Gradient<F>);
}

/// Keeps the gradient.
pub(crate) struct CollectBlock<'a, F> {
    pub(crate) weights: Split<&'a [F]>,
    pub(crate) out: Split<&'a mut [F]>,
}

impl<F: Scalar> Sink<F> for CollectBlock<'_, F> {
    fn encoder(&self) -> &[F] {
        self.weights.encoder
    }

    fn decoder(&self) -> &[F] {
        self.weights.decoder
    }

    fn take(&mut self, index: usize, gradient: &mut Gradient<F>) {
        let (wide, d) = (gradient.encoder.len(), gradient.decoder.len());
        self.out.encoder[index * wide..(index + 1) * wide].copy_from_slice(&gradient.encoder);
        self.out.decoder[index * d..(index + 1) * d].copy_from_slice(&gradient.decoder);
        for (vector, &value) in self.out.per_latent.iter_mut().zip(&gradient.per_latent) {
            vector[index] = value;
        }
    }
}

/// Sums the squares of the gradient.
pub(crate) struct NormBlock<'a, F> {
    weights: Split<&'a [F]>,
    project: bool,
    pub(crate) sum_of_squares: f64,
}

impl<'a, F> NormBlock<'a, F> {
    pub(crate) fn new(weights: Split<&'a [F]>, project: bool) -> Self {
        Self { weights, project, sum_of_squares: 0.0 }
    }
}

impl<F: Scalar> Sink<F> for NormBlock<'_, F> {
    fn encoder(&self) -> &[F] {
        self.weights.encoder
    }

    fn decoder(&self) -> &[F] {
        self.weights.decoder
    }

    fn take(&mut self, index: usize, gradient: &mut Gradient<F>) {
        let d = gradient.decoder.len();
        if self.project {
            project_out(&self.weights.decoder[index * d..(index + 1) * d], &mut gradient.decoder);
        }
        self.sum_of_squares += sum_of_squares(&gradient.encoder).to_f64();
        self.sum_of_squares += sum_of_squares(&gradient.decoder).to_f64();
        let n_vectors = self.weights.per_latent.len();
        self.sum_of_squares +=
            gradient.per_latent[..n_vectors].iter().map(|&g| g.to_f64().powi(2)).sum::<f64>();
    }
}

/// Projects, updates by Adam and normalises again.
pub(crate) struct StepBlock<'a, F> {
    pub(crate) weights: Split<&'a mut [F]>,
    pub(crate) m: Split<&'a mut [F]>,
    pub(crate) v: Split<&'a mut [F]>,
    pub(crate) step: Update<F>,
    /// The factor by which clipping scales the gradient.
    pub(crate) scale: F,
    pub(crate) project: bool,
    /// The vector that must not fall below zero.
    pub(crate) not_negative: Option<usize>,
    /// The tensor whose gradient is not finite: 0 the encoder, 1 the decoder, 2 + j the vector j.
    pub(crate) bad: Option<usize>,
}

impl<F: Scalar> Sink<F> for StepBlock<'_, F> {
    fn encoder(&self) -> &[F] {
        self.weights.encoder
    }

    fn decoder(&self) -> &[F] {
        self.weights.decoder
    }

    fn take(&mut self, index: usize, gradient: &mut Gradient<F>) {
        let (wide, d) = (gradient.encoder.len(), gradient.decoder.len());
        let range = index * d..(index + 1) * d;
        let encoder_range = index * wide..(index + 1) * wide;
        if self.project {
            project_out(&self.weights.decoder[range.clone()], &mut gradient.decoder);
        }
        if self.scale != F::one() {
            let rows = gradient.encoder.iter_mut().chain(&mut gradient.decoder);
            rows.chain(&mut gradient.per_latent).for_each(|g| *g *= self.scale);
        }
        let norms = [sum_of_squares(&gradient.encoder), sum_of_squares(&gradient.decoder)];
        let vectors = &gradient.per_latent[..self.weights.per_latent.len()];
        if let Some(bad) = norms.iter().chain(vectors).position(|g| !g.is_finite()) {
            self.bad.get_or_insert(bad);
            return;
        }
        let Split { encoder, decoder, per_latent } = &mut self.weights;
        let (m, v) = (&mut self.m, &mut self.v);
        let step = &self.step;
        step.apply(
            &mut encoder[encoder_range.clone()],
            &mut m.encoder[encoder_range.clone()],
            &mut v.encoder[encoder_range],
            &gradient.encoder,
        );
        let row = &mut decoder[range.clone()];
        step.apply(row, &mut m.decoder[range.clone()], &mut v.decoder[range], &gradient.decoder);
        if self.project {
            normalise(row);
        }
        let one = index..index + 1;
        for (j, vector) in per_latent.iter_mut().enumerate() {
            step.apply(
                &mut vector[one.clone()],
                &mut m.per_latent[j][one.clone()],
                &mut v.per_latent[j][one.clone()],
                &gradient.per_latent[j..=j],
            );
            if self.not_negative == Some(j) {
                vector[index] = vector[index].max(F::zero());
            }
        }
    }
}

/// Removes the component of the gradient along the decoder row: g ← g − (g·d) d/‖d‖².
fn project_out<F: Scalar>(row: &[F], gradient: &mut [F]) {
    let norm2 = sum_of_squares(row);
    if norm2 > F::zero() {
        axpy(-dot(row, gradient) / norm2, row, gradient);
    }
}

/// Hands a gradient that was written out to the sinks of the blocks.
pub(crate) fn apply<F: Scalar, S: Sink<F>>(gradient: &Weights<F>, sinks: &mut [S]) {
    let mut of_latent = Gradient::default();
    for (b, sink) in sinks.iter_mut().enumerate() {
        for latent in b * BLOCK..gradient.w_dec.nrows().min((b + 1) * BLOCK) {
            of_latent.clear(gradient.w_enc.ncols(), gradient.w_dec.ncols());
            of_latent.encoder.iter_mut().zip(gradient.w_enc.row(latent)).for_each(|(to, &g)| *to = g);
            of_latent.decoder.iter_mut().zip(gradient.w_dec.row(latent)).for_each(|(to, &g)| *to = g);
            for (to, vector) in of_latent.per_latent.iter_mut().zip(&gradient.per_latent) {
                *to = vector[latent];
            }
            sink.take(latent - b * BLOCK, &mut of_latent);
        }
    }
}

/// Adds the gradient of a decoder row through its norm (part by part for a crosscoder).
fn pull_norm<F: Scalar>(pull: F, layers: usize, row: &[F], gradient: &mut [F]) {
    let part = row.len() / layers;
    for (row, gradient) in row.chunks(part).zip(gradient.chunks_mut(part)) {
        let norm = sum_of_squares(row).sqrt();
        if norm > F::zero() {
            axpy(pull / norm, row, gradient);
        }
    }
}

/// Visits every latent once and hands its gradient to the sink of its block.
pub(crate) fn run<F: Float, R: Rule<F>, S: Sink<F>>(
    rule: &R,
    variant: &Variant,
    settings: &Settings<'_>,
    ws: &mut Workspace<F>,
    sinks: &mut [S],
    losses: &mut Losses,
) -> Result<(), SaeError> {
    let (width_in, d) = (ws.input.ncols(), ws.residual.ncols());
    let wide = if variant.untied() { 2 * width_in } else { width_in };
    let lambda = F::from_f64(settings.penalty);
    let mut blocks = std::mem::take(&mut ws.latents);
    let mut active = std::mem::take(&mut ws.active);
    let (pulls, layers) = (variant.penalty_trains_decoder(), variant.layers());
    let finish =
        |sink: &mut S, gradient: &mut Gradient<F>, bias: &mut [F], index: usize, active: &mut bool| {
            if pulls && gradient.norm_pull != F::zero() {
                let row = &sink.decoder()[index * d..(index + 1) * d];
                pull_norm(gradient.norm_pull, layers, row, &mut gradient.decoder);
            }
            // The centred input reaches b_dec through the gate rows; an untied magnitude path adds its own above.
            axpy(gradient.pre, &sink.encoder()[index * wide..index * wide + width_in], bias);
            *active = gradient.active;
            sink.take(index, gradient);
        };
    let n_blocks = blocks.len();
    let mut result = Ok(());
    if losses.dense {
        let mut buffers = std::mem::take(&mut ws.dense);
        let mut tasks: Vec<_> = blocks.iter_mut().zip(sinks).zip(active.chunks_mut(BLOCK)).collect();
        let mut start = 0;
        for tasks in tasks.chunks_mut(dense::BLOCKS) {
            let width = tasks.iter().map(|task| task.1.len()).sum();
            let decoder = tasks.iter().map(|((_, sink), _)| sink.decoder());
            result = dense::backward(rule, variant, lambda, decoder, (start, width), ws, &mut buffers);
            if result.is_err() {
                break;
            }
            let buffers = &buffers;
            each(ws.serial, tasks, |b, ((block, sink), active)| {
                let LatentBlock { bias, gradient, .. } = &mut **block;
                bias.clear();
                bias.resize(width_in, F::zero());
                for (index, active) in active.iter_mut().enumerate() {
                    buffers.latent(b * BLOCK + index, gradient);
                    finish(sink, gradient, bias, index, active);
                }
            });
            start += width;
        }
        ws.dense = buffers;
    } else {
        let (rows, constants, norms) = (&ws.rows, &ws.constants, &ws.decoder_norm);
        let slice = "standard layout";
        let input = ws.input.as_slice().expect(slice);
        let residual = ws.residual.as_slice().expect(slice);
        let suffix = ws.suffix.as_slice().expect(slice);
        let aux = ws.aux.as_slice().expect(slice);
        let revive = ws.revive.as_slice().expect(slice);
        let aux_scale = ws.aux_scale;
        let per_row = F::from_f64(1.0 / ws.input.nrows() as f64);
        let has_dead = rows.iter().any(|block| !block.dead_entries.is_empty());
        let ends = variant.revival_ends(norms.len());
        let uses = Uses { magnitude: wide > width_in, decoder_aux: variant.aux_trains_decoder() };
        let mut tasks: Vec<_> = blocks.iter_mut().zip(sinks).zip(active.chunks_mut(BLOCK)).collect();
        each(ws.serial, &mut tasks, |b, ((block, sink), active)| {
            let width = active.len();
            let LatentBlock { sorted, dead, sums, bias, gradient } = &mut **block;
            sums.clear();
            sums.resize(width, Sums::default());
            let place = (b, n_blocks);
            sorted.gather(
                rows,
                place,
                uses,
                sums,
                |r| (&r.entries, &r.cuts),
                |entry, sums| {
                    let latent = entry.latent as usize;
                    let constants = constants_of(constants, latent);
                    if pulls {
                        sums.norm_pull += rule.norm_pull(constants, entry, norms[latent], lambda) * per_row;
                    }
                    sums.active |= entry.code != F::zero();
                    rule.contribution(constants, entry).times(per_row)
                },
            );
            if has_dead {
                let neither = Uses { magnitude: false, decoder_aux: false };
                let factor = aux_scale * per_row;
                dead.gather(
                    rows,
                    place,
                    neither,
                    sums,
                    |r| (&r.dead_entries, &r.dead_cuts),
                    |entry, _| {
                        let factor = entry.slope * factor;
                        let encoder = entry.d_code * factor;
                        Contribution {
                            encoder,
                            magnitude: F::zero(),
                            decoder: (entry.code + entry.code) * factor,
                            decoder_aux: F::zero(),
                            per_latent: [encoder, F::zero(), F::zero()],
                        }
                    },
                );
            }
            bias.clear();
            bias.resize(width_in, F::zero());
            for index in 0..width {
                let of_latent = sums[index];
                gradient.clear(wide, d);
                gradient.per_latent = of_latent.per_latent;
                gradient.pre = of_latent.encoder;
                gradient.norm_pull = of_latent.norm_pull;
                gradient.active = of_latent.active;
                let range = sorted.of(index);
                let rows = &sorted.rows[range.clone()];
                let (gate_row, magnitude_row) = gradient.encoder.split_at_mut(width_in);
                F::combine(rows, &sorted.encoder[range.clone()], input, gate_row);
                if uses.magnitude {
                    F::combine(rows, &sorted.magnitude[range.clone()], input, magnitude_row);
                    let path = index * wide + width_in..(index + 1) * wide;
                    axpy(of_latent.magnitude, &sink.encoder()[path], bias);
                }
                let errors = match variant.levels() {
                    None => residual,
                    Some(levels) => {
                        let size = residual.len();
                        &suffix[levels.of((b * BLOCK + index) as u32) * size..][..size]
                    }
                };
                F::combine(rows, &sorted.decoder[range.clone()], errors, &mut gradient.decoder);
                if uses.decoder_aux {
                    F::combine(rows, &sorted.decoder_aux[range], aux, &mut gradient.decoder);
                }
                if has_dead {
                    let range = dead.of(index);
                    let rows = &dead.rows[range.clone()];
                    let gate_row = &mut gradient.encoder[..width_in];
                    F::combine(rows, &dead.encoder[range.clone()], input, gate_row);
                    let plane = ends.partition_point(|&end| end <= (b * BLOCK + index) as u32);
                    let revive = &revive[plane * residual.len()..][..residual.len()];
                    F::combine(rows, &dead.decoder[range], revive, &mut gradient.decoder);
                }
                finish(sink, gradient, bias, index, &mut active[index]);
            }
        });
    }
    ws.latents = blocks;
    ws.active = active;
    result
}
