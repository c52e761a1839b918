//! The last pass before the optimiser: each latent gathers its gradient from the rows in which it was active.

use crate::float::Float;
use crate::members::rule::Share;
use crate::step::code_block::Codes;
use crate::step::inputs::Inputs;
use crate::step::residuals::Residuals;
use crate::step::settings::{LATENT_BLOCK, each};
use crate::step::sinks::{Gradient, Sink};
use crate::step::task::Task;
use collimate_tensor::{Scalar, axpy, sum_of_squares};

/// The buffers of one block of latents.
#[derive(Clone, Debug, Default)]
pub(crate) struct LatentBlock<F> {
    sorted: Sorted<F>,
    dead: Sorted<F>,
    shares: Vec<Share<F>>,
    sums: Vec<Sums<F>>,
    /// Σ_i s_i w_i with s_i = Σ_rows ∂h_i: the gradient of b_dec through the centred input.
    pub(crate) bias: Vec<F>,
    pub(crate) gradient: Gradient<F>,
}

/// The sums over the entries of one latent that are not vectors.
#[derive(Clone, Copy, Debug, Default)]
struct Sums<F> {
    per_latent: [F; 3],
    encoder: F,
    magnitude: F,
    norm_pull: F,
    active: bool,
}

/// The entries of a block of latents, sorted by latent and then by row: the row of each, and the coefficients of its input
/// and its residuals.
#[derive(Clone, Debug, Default)]
struct Sorted<F> {
    starts: Vec<u32>,
    rows: Vec<u32>,
    encoder: Vec<F>,
    magnitude: Vec<F>,
    decoder: Vec<F>,
    decoder_aux: Vec<F>,
}

/// The coefficients that a member uses.
#[derive(Clone, Copy)]
struct Uses {
    magnitude: bool,
    decoder_aux: bool,
}

impl<F: Scalar> Sorted<F> {
    /// Sorts the entries of latent block `block` of `blocks` by counting.
    ///
    /// `parts` are the entries of the blocks of rows, with their cuts. `of` replaces its last argument by the shares of the
    /// entries of a row.
    fn sort<'a, E: 'a>(
        &mut self,
        parts: impl Iterator<Item = (&'a [E], &'a [u32])> + Clone,
        (block, blocks): (usize, usize),
        uses: Uses,
        sums: &mut [Sums<F>],
        shares: &mut Vec<Share<F>>,
        latent: impl Fn(&E) -> u32,
        of: impl Fn(&[E], &mut Vec<Share<F>>),
    ) {
        let (first, width) = (block * LATENT_BLOCK, sums.len());
        self.starts.clear();
        self.starts.resize(width + 1, 0);
        let stride = blocks + 1;
        for (entries, cuts) in parts.clone() {
            for cuts in cuts.chunks(stride) {
                for entry in &entries[cuts[block] as usize..cuts[block + 1] as usize] {
                    self.starts[latent(entry) as usize - first + 1] += 1;
                }
            }
        }
        for i in 0..width {
            self.starts[i + 1] += self.starts[i];
        }
        let count = self.starts[width] as usize;
        // Old values are overwritten.
        self.rows.resize(count, 0);
        self.encoder.resize(count, F::zero());
        self.decoder.resize(count, F::zero());
        self.magnitude.resize(if uses.magnitude { count } else { 0 }, F::zero());
        self.decoder_aux.resize(if uses.decoder_aux { count } else { 0 }, F::zero());
        let mut row = 0;
        for (entries, cuts) in parts {
            for cuts in cuts.chunks(stride) {
                let entries = &entries[cuts[block] as usize..cuts[block + 1] as usize];
                if entries.is_empty() {
                    row += 1;
                    continue;
                }
                of(entries, shares);
                for share in shares.iter() {
                    let index = share.latent as usize - first;
                    let sums = &mut sums[index];
                    let c = &share.amounts;
                    sums.norm_pull += share.norm_pull;
                    sums.active |= share.active;
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

/// Completes the gradient of a latent and hands it to its sink. `width_in` is the width of the centred input.
pub(crate) fn finish<F: Float>(
    task: &Task<'_, F>,
    sink: &mut dyn Sink<F>,
    gradient: &mut Gradient<F>,
    bias: &mut [F],
    index: usize,
) -> bool {
    let (wide, width_in, d) = (gradient.encoder.len(), bias.len(), gradient.decoder.len());
    if task.member.trains_norms && gradient.norm_pull != F::zero() {
        let row = &sink.decoder()[index * d..(index + 1) * d];
        pull_norm(gradient.norm_pull, task.member.layers, row, &mut gradient.decoder);
    }
    // The centred input reaches b_dec through the gate rows; an untied magnitude path adds its own part before.
    axpy(gradient.pre, &sink.encoder()[index * wide..index * wide + width_in], bias);
    sink.take(index, gradient);
    gradient.active
}

/// Gathers the gradient of every latent and hands it to the sink of its block. `active` tells which latents had a code.
pub(crate) fn gather<F: Float>(
    task: &Task<'_, F>,
    inputs: &Inputs<F>,
    codes: &Codes<F>,
    residuals: &Residuals<F>,
    blocks: &mut [LatentBlock<F>],
    active: &mut [bool],
    sinks: &mut [&mut dyn Sink<F>],
) {
    let n_blocks = blocks.len();
    let gathering = Gathering::new(task, inputs, codes, residuals);
    let mut tasks: Vec<_> = blocks.iter_mut().zip(sinks).zip(active.chunks_mut(LATENT_BLOCK)).collect();
    each(task.serial, &mut tasks, |b, ((block, sink), active)| {
        gathering.sort((b, n_blocks), block, active.len());
        block.bias.clear();
        block.bias.resize(gathering.width_in, F::zero());
        for (index, active) in active.iter_mut().enumerate() {
            gathering.latent(b, index, block, &mut ***sink);
            *active = finish(task, &mut ***sink, &mut block.gradient, &mut block.bias, index);
        }
    });
}

/// The inputs of a gathering, and the coefficients that it uses.
struct Gathering<'a, F: Float> {
    task: &'a Task<'a, F>,
    input: &'a [F],
    codes: &'a Codes<F>,
    residuals: &'a Residuals<F>,
    uses: Uses,
    width_in: usize,
    d: usize,
    has_dead: bool,
    /// The latents at which the groups of dead latents end.
    ends: Vec<u32>,
}

impl<'a, F: Float> Gathering<'a, F> {
    fn new(
        task: &'a Task<'a, F>,
        inputs: &'a Inputs<F>,
        codes: &'a Codes<F>,
        residuals: &'a Residuals<F>,
    ) -> Self {
        Self {
            task,
            input: inputs.centred.as_slice().expect("standard layout"),
            codes,
            residuals,
            uses: Uses { magnitude: task.member.untied, decoder_aux: task.member.second_trains_decoder() },
            width_in: inputs.centred.ncols(),
            d: residuals.first.ncols(),
            has_dead: residuals.blocks.iter().any(|block| !block.dead.is_empty()),
            ends: task.member.group_ends(task.n_latents),
        }
    }

    /// Sorts the entries of a block of `width` latents, and the entries of its dead latents.
    fn sort(&self, place: (usize, usize), block: &mut LatentBlock<F>, width: usize) {
        let LatentBlock { sorted, dead, shares, sums, .. } = block;
        sums.clear();
        sums.resize(width, Sums::default());
        let (rule, constants, factors) = (self.task.rule, self.task.constants, self.task.factors(F::zero()));
        sorted.sort(
            self.codes.blocks.iter().map(|code| (&code.entries[..], &code.cuts[..])),
            place,
            self.uses,
            sums,
            shares,
            |entry| entry.latent,
            |entries, shares| rule.shares(constants, factors, entries, shares),
        );
        if self.has_dead {
            let scale = self.residuals.aux_scale * F::from_f64(1.0 / self.task.rows as f64);
            let rows = self.residuals.blocks.iter().zip(&self.codes.blocks);
            dead.sort(
                rows.map(|(residual, code)| (&residual.dead[..], &code.dead_cuts[..])),
                place,
                Uses { magnitude: false, decoder_aux: false },
                sums,
                shares,
                |share| share.latent,
                |dead, shares| {
                    shares.clear();
                    shares.extend(dead.iter().map(|share| share.scaled(scale)));
                },
            );
        }
    }

    /// Adds up the rows of the gradient of latent `index` of block `b`.
    fn latent(&self, b: usize, index: usize, block: &mut LatentBlock<F>, sink: &mut dyn Sink<F>) {
        let LatentBlock { sorted, dead, sums, bias, gradient, .. } = block;
        let (width_in, of_latent) = (self.width_in, sums[index]);
        let wide = if self.uses.magnitude { 2 * width_in } else { width_in };
        gradient.clear(wide, self.d);
        gradient.per_latent = of_latent.per_latent;
        gradient.pre = of_latent.encoder;
        gradient.norm_pull = of_latent.norm_pull;
        gradient.active = of_latent.active;
        let latent = (b * LATENT_BLOCK + index) as u32;
        let range = sorted.of(index);
        let rows = &sorted.rows[range.clone()];
        let (gate_row, magnitude_row) = gradient.encoder.split_at_mut(width_in);
        F::combine(rows, &sorted.encoder[range.clone()], self.input, gate_row);
        if self.uses.magnitude {
            F::combine(rows, &sorted.magnitude[range.clone()], self.input, magnitude_row);
            let path = index * wide + width_in..(index + 1) * wide;
            axpy(of_latent.magnitude, &sink.encoder()[path], bias);
        }
        let errors = self.residuals.of_level(self.task.member.levels.map(|levels| levels.of(latent)));
        F::combine(rows, &sorted.decoder[range.clone()], errors, &mut gradient.decoder);
        if self.uses.decoder_aux {
            let second = self.residuals.second.as_slice().expect("standard layout");
            F::combine(rows, &sorted.decoder_aux[range], second, &mut gradient.decoder);
        }
        if self.has_dead {
            let range = dead.of(index);
            let rows = &dead.rows[range.clone()];
            let gate_row = &mut gradient.encoder[..width_in];
            F::combine(rows, &dead.encoder[range.clone()], self.input, gate_row);
            let group = self.ends.partition_point(|&end| end <= latent);
            let revived = self.residuals.of_group(group);
            F::combine(rows, &dead.decoder[range], revived, &mut gradient.decoder);
        }
    }
}
