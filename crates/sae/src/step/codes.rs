//! The second pass: the active latents of every row.

use crate::float::Float;
use crate::members::aux_k::{AuxK, select_dead};
use crate::members::choices::Ranking;
use crate::members::member::Member;
use crate::members::rule::{Constants, Entry, Row, Rule, Scratch};
use crate::step::batch;
use crate::step::code_block::{CodeBlock, Codes, Ranked};
use crate::step::inputs::{Inputs, stride, tile_products, tiled};
use crate::step::settings::{LATENT_BLOCK, ROW_BLOCK, each};
use crate::step::task::Task;
use crate::weights::Weights;
use collimate_tensor::{BufferPool, PackedMatrix};

/// The number of rows from which the density of a batch is estimated.
const SAMPLE: usize = 64;

/// The selection of the active latents of a row.
pub(crate) struct Selection<'a, F> {
    rule: &'a dyn Rule<F>,
    constants: &'a Constants<F>,
    encoder: &'a [F],
    /// The auxiliary loss with its dead latents, group by group.
    aux: Option<(AuxK, Ranking, Vec<&'a [u32]>)>,
    /// The bound that a score must exceed.
    pub(crate) above: F,
    n: usize,
    width: usize,
}

impl<'a, F: Float> Selection<'a, F> {
    pub(crate) fn new(
        rule: &'a dyn Rule<F>,
        member: &Member,
        weights: &'a Weights<F>,
        constants: &'a Constants<F>,
    ) -> Self {
        Self {
            rule,
            constants,
            encoder: weights.w_enc.as_slice().expect("standard layout"),
            aux: None,
            above: F::zero(),
            n: weights.w_dec.nrows(),
            width: member.input_width(weights),
        }
    }

    /// Appends the entries of one row.
    fn row(&self, products: &[F], input: &[F], scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        let [first, second, third] = &self.constants.vectors;
        let constants = [&first[..], &second[..], &third[..]];
        let (norms, encoder, above) = (&self.constants.norms[..], self.encoder, self.above);
        self.rule.select(&Row { products, constants, norms, input, encoder, above }, scratch, out);
    }

    /// Finds the entries of a block of rows, whose products lie `stride` apart.
    fn block(&self, block: &mut CodeBlock<F>, products: &[F], stride: usize, input: &[F]) {
        let CodeBlock { entries, ends, dead_entries, dead_ends, dead_cuts, scratch, .. } = block;
        entries.clear();
        ends.clear();
        dead_entries.clear();
        dead_ends.clear();
        dead_cuts.clear();
        for (products, input) in products.chunks(stride).zip(input.chunks(self.width)) {
            self.row(&products[..self.n], input, scratch, entries);
            ends.push(entries.len() as u32);
            if let Some((aux, ranking, groups)) = &self.aux {
                let mut pre = std::mem::take(&mut scratch.second);
                let from = dead_entries.len();
                let bias = &self.constants.vectors[0];
                for dead in groups {
                    pre.clear();
                    pre.extend(dead.iter().map(|&i| products[i as usize] + bias[i as usize]));
                    select_dead(aux, *ranking, dead, &pre, &self.constants.norms, scratch, dead_entries);
                }
                scratch.second = pre;
                dead_ends.push(dead_entries.len() as u32);
                push_cuts(dead_cuts, &dead_entries[from..], from, self.n);
            }
        }
    }

    /// Finds the entries of all blocks from the given products.
    pub(crate) fn select_products(
        &self,
        serial: bool,
        blocks: &mut [CodeBlock<F>],
        products: &[F],
        input: &[F],
    ) {
        let rows = products.chunks(ROW_BLOCK * self.n).zip(input.chunks(ROW_BLOCK * self.width));
        let mut tasks: Vec<_> = blocks.iter_mut().zip(rows).collect();
        each(serial, &mut tasks, |_, (block, (products, input))| self.block(block, products, self.n, input));
    }

    /// Finds the entries of all blocks; each task computes the products of its own rows and drops them.
    pub(crate) fn select_tiles(
        &self,
        serial: bool,
        blocks: &mut [CodeBlock<F>],
        packed: &PackedMatrix<F>,
        tiles: &BufferPool<Vec<F>>,
        input: &[F],
    ) {
        let stride = stride::<F>(self.n);
        let mut tasks: Vec<_> = blocks.iter_mut().zip(input.chunks(ROW_BLOCK * self.width)).collect();
        each(serial, &mut tasks, |_, (block, input)| {
            tiles.lend(|tile| {
                let filled = tile_products(packed, input, self.width, tile);
                self.block(block, &tile[..filled], stride, input);
            });
        });
    }
}

/// Estimates the share of active latents from rows that lie equally far apart.
pub(crate) fn density<F: Float>(task: &Task<'_, F>, weights: &Weights<F>, inputs: &Inputs<F>) -> f64 {
    let slice = "standard layout";
    let selection = Selection::new(task.rule, &task.member, weights, task.constants);
    let (mut scratch, mut entries) = (Scratch::default(), Vec::new());
    let (mut active, mut all) = (0, 0);
    let step = task.rows.div_ceil(SAMPLE).max(1);
    for (products, input) in inputs.products.rows().into_iter().zip(inputs.centred.rows()).step_by(step) {
        entries.clear();
        let (products, input) = (products.to_slice().expect(slice), input.to_slice().expect(slice));
        selection.row(products, input, &mut scratch, &mut entries);
        active += entries.len();
        all += products.len();
    }
    active as f64 / all.max(1) as f64
}

/// Finds the active latents of every row, and Σ q of their penalties.
///
/// Returns the smallest score that was kept, for members that select over the batch; otherwise zero.
pub(crate) fn select<F: Float>(
    task: &Task<'_, F>,
    weights: &Weights<F>,
    inputs: &Inputs<F>,
    codes: &mut Codes<F>,
) -> f64 {
    let slice = "standard layout";
    let mut selection = Selection::new(task.rule, &task.member, weights, task.constants);
    selection.aux = dead_groups(task);
    let Codes { blocks, penalties, ranked } = codes;
    blocks.resize_with(task.rows.div_ceil(ROW_BLOCK), CodeBlock::default);
    let input = inputs.centred.as_slice().expect(slice);
    let mut smallest = F::zero();
    if tiled(task) {
        let packed = inputs.packed.as_ref().expect("packed before");
        selection.select_tiles(task.serial, blocks, packed, &inputs.tiles, input);
    } else if let Some(keep) = task.rule.keep(task.rows) {
        smallest = select_over_batch(task, &mut selection, inputs, keep, blocks, ranked);
    } else {
        selection.select_products(task.serial, blocks, inputs.products.as_slice().expect(slice), input);
    }
    penalties.clear();
    penalties.resize(task.rows, F::zero());
    let mut tasks: Vec<_> = blocks.iter_mut().zip(penalties.chunks_mut(ROW_BLOCK)).collect();
    each(task.serial, &mut tasks, |_, (block, penalties)| {
        let CodeBlock { entries, ends, cuts, .. } = &mut **block;
        cuts.clear();
        let mut from = 0;
        for (&end, penalty) in ends.iter().zip(penalties.iter_mut()) {
            let row = &mut entries[from..end as usize];
            *penalty = task.rule.weigh(row, &task.constants.norms);
            push_cuts(cuts, row, from, task.n_latents);
            from = end as usize;
        }
    });
    smallest.to_f64()
}

/// Returns the auxiliary loss with its dead latents, group by group, if there are any.
fn dead_groups<'a, F: Float>(task: &Task<'a, F>) -> Option<(AuxK, Ranking, Vec<&'a [u32]>)> {
    let aux = task.member.aux.filter(|_| task.revives())?;
    let ranking = task.member.ranking.unwrap_or(Ranking::PreActivation);
    let mut left = task.settings.dead;
    let groups = task.member.group_ends(task.n_latents).into_iter().map(|end| {
        let (group, rest) = left.split_at(left.partition_point(|&i| i < end));
        left = rest;
        group
    });
    Some((aux, ranking, groups.collect()))
}

/// Keeps the entries with the `keep` largest scores of the batch; returns the smallest score that was kept.
///
/// A bound that is estimated from a sample of the scores saves time: only the scores above it are ranked. If fewer than
/// `keep` exceed it, all positive scores are ranked.
fn select_over_batch<F: Float>(
    task: &Task<'_, F>,
    selection: &mut Selection<'_, F>,
    inputs: &Inputs<F>,
    keep: usize,
    blocks: &mut [CodeBlock<F>],
    ranked: &mut Vec<Ranked<F>>,
) -> F {
    let (rows, slice) = (task.rows, "standard layout");
    let products = inputs.products.as_slice().expect(slice);
    let input = inputs.centred.as_slice().expect(slice);
    let Constants { vectors: [bias, ..], norms, .. } = task.constants;
    let mut sample: Vec<F> = Vec::new();
    for row in inputs.products.rows().into_iter().step_by(32).take(if rows < 256 { 0 } else { rows }) {
        sample.extend(row.iter().zip(bias).zip(norms).map(|((&p, &b), &norm)| (p + b) * norm));
    }
    selection.above = batch::estimate_bound(&mut sample, keep as f64 / (rows * task.n_latents) as f64);
    selection.select_products(task.serial, blocks, products, input);
    let found: usize = blocks.iter().map(|block| block.entries.len()).sum();
    if found < keep && selection.above > F::zero() {
        selection.above = F::zero();
        selection.select_products(task.serial, blocks, products, input);
    }
    batch::keep_largest(blocks, norms, keep, ranked)
}

/// Appends the positions at which the blocks of latents begin among the entries of a row.
fn push_cuts<F>(cuts: &mut Vec<u32>, entries: &[Entry<F>], from: usize, n: usize) {
    let mut position = 0;
    for start in (0..n).step_by(LATENT_BLOCK) {
        while position < entries.len() && (entries[position].latent as usize) < start {
            position += 1;
        }
        cuts.push((from + position) as u32);
    }
    cuts.push((from + entries.len()) as u32);
}
