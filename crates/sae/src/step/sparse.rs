//! The rows of a step, on their active latents only.

use crate::float::Float;
use crate::members::rule::{Entry, Row, Rule, Scratch, Vectors};
use crate::members::topk::select_dead;
use crate::step::buffer_pool::BufferPool;
use crate::step::workspace::{RowBlock, RowSums, Workspace, stride, tiled};
use crate::step::{ROW_BLOCK, SERIAL, Settings, constants_of, each, gate_rows};
use crate::step::{batch, latents};
use crate::{AuxK, InputBias, Ranking, Sae, SaeError};
use collimate_tensor::{PackedMatrix, Scalar, SparseRows, dot, matmul_into, sum_of_squares};
use ndarray::{Array2, ArrayRef2, ArrayView2, ArrayViewMut2, s};

/// Rows that are encoded at once: enough for the product, few enough for the memory.
const ENCODE_ROWS: usize = 1024;
/// Rows from which the density of a batch is guessed.
const SAMPLE: usize = 64;
/// From so many rows on an encoder is packed for them.
const PACK_FROM: usize = 256;

/// Which latents of each row are active.
struct Selection<'a, F, R> {
    rule: &'a R,
    constants: Vectors<'a, F>,
    norms: &'a [F],
    encoder: &'a [F],
    /// The auxiliary loss, and the latents it is for: those of each residual by themselves.
    aux: Option<(AuxK, Ranking, Vec<&'a [u32]>)>,
    above: F,
    n: usize,
    width: usize,
}

impl<'a, F: Float, R: Rule<F>> Selection<'a, F, R> {
    fn new(rule: &'a R, sae: &'a Sae<F>, constants: &'a [Vec<F>; 3], norms: &'a [F]) -> Self {
        Self {
            rule,
            constants: [&constants[0], &constants[1], &constants[2]],
            norms,
            encoder: sae.weights().w_enc.as_slice().expect("standard layout"),
            aux: None,
            above: F::zero(),
            n: sae.size().n_latents,
            width: sae.input_width(),
        }
    }

    /// The entries of one row.
    fn row(&self, products: &[F], input: &[F], scratch: &mut Scratch<F>, out: &mut Vec<Entry<F>>) {
        let Selection { constants, norms, encoder, above, .. } = *self;
        self.rule.select(&Row { products, constants, norms, input, encoder, above }, scratch, out);
    }

    /// Fills the entries of a block of rows, whose products lie `stride` apart.
    fn block(&self, block: &mut RowBlock<F>, products: &[F], stride: usize, input: &[F]) {
        let RowBlock { entries, ends, dead_entries, dead_ends, dead_cuts, scratch, .. } = block;
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
                for dead in groups {
                    pre.clear();
                    pre.extend(dead.iter().map(|&i| products[i as usize] + self.constants[0][i as usize]));
                    select_dead(aux, *ranking, dead, &pre, self.norms, scratch, dead_entries);
                }
                scratch.second = pre;
                dead_ends.push(dead_entries.len() as u32);
                push_cuts(dead_cuts, &dead_entries[from..], from, self.n);
            }
        }
    }

    /// Fills the entries of blocks of rows from products that were made before.
    fn run(&self, serial: bool, blocks: &mut [RowBlock<F>], products: &[F], input: &[F]) {
        let rows = products.chunks(ROW_BLOCK * self.n).zip(input.chunks(ROW_BLOCK * self.width));
        let mut tasks: Vec<_> = blocks.iter_mut().zip(rows).collect();
        each(serial, &mut tasks, |_, (block, (products, input))| self.block(block, products, self.n, input));
    }

    /// The same with products that each task makes for its own rows and forgets.
    fn run_tiled(
        &self,
        serial: bool,
        blocks: &mut [RowBlock<F>],
        packed: &PackedMatrix<F>,
        tiles: &BufferPool<Vec<F>>,
        input: &[F],
    ) {
        let stride = stride::<F>(self.n);
        let mut tasks: Vec<_> = blocks.iter_mut().zip(input.chunks(ROW_BLOCK * self.width)).collect();
        each(serial, &mut tasks, |_, (block, input)| {
            let rows = input.len() / self.width;
            let fits = "shapes of one workspace";
            tiles.lend(|tile| {
                tile.resize(ROW_BLOCK * stride, F::zero());
                let tile = &mut tile[..rows * stride];
                let input_rows = ArrayView2::from_shape((rows, self.width), input).expect(fits);
                let mut products = ArrayViewMut2::from_shape((rows, stride), &mut *tile).expect(fits);
                let mut products = products.slice_mut(s![.., ..self.n]);
                packed.serial_matmul_into(&input_rows, &mut products).expect(fits);
                self.block(block, tile, stride, input);
            });
        });
    }
}

/// The share of active latents in some rows that lie equally far apart.
pub(crate) fn density<F: Float, R: Rule<F>>(rule: &R, sae: &Sae<F>, ws: &Workspace<F>) -> f64 {
    let slice = "standard layout";
    let selection = Selection::new(rule, sae, &ws.constants, &ws.decoder_norm);
    let (mut scratch, mut entries) = (Scratch::default(), Vec::new());
    let (mut active, mut all) = (0, 0);
    let step = ws.input.nrows().div_ceil(SAMPLE).max(1);
    for (products, input) in ws.products.rows().into_iter().zip(ws.input.rows()).step_by(step) {
        entries.clear();
        let (products, input) = (products.to_slice().expect(slice), input.to_slice().expect(slice));
        selection.row(products, input, &mut scratch, &mut entries);
        active += entries.len();
        all += products.len();
    }
    active as f64 / all.max(1) as f64
}

/// Selection for a step; returns the smallest score that was kept where the batch is selected from as a whole.
pub(crate) fn select<F: Float, R: Rule<F>>(
    rule: &R,
    sae: &Sae<F>,
    settings: &Settings<'_>,
    ws: &mut Workspace<F>,
) -> Result<f64, SaeError> {
    let (n, slice) = (sae.size().n_latents, "standard layout");
    let input = ws.input.as_slice().expect(slice);
    let mut selection = Selection::new(rule, sae, &ws.constants, &ws.decoder_norm);
    let ranking = sae.variant().ranking().unwrap_or(Ranking::PreActivation);
    let aux = sae.variant().aux().filter(|_| !settings.dead.is_empty());
    let mut left = settings.dead;
    let groups = sae.variant().revival_ends(n).into_iter().map(|end| {
        let (group, rest) = left.split_at(left.partition_point(|&i| i < end));
        left = rest;
        group
    });
    selection.aux = aux.map(|aux| (aux, ranking, groups.collect()));
    let rows = ws.input.nrows();
    let mut smallest = F::zero();
    if tiled(rule, rows) {
        let packed = ws.packed.as_ref().expect("packed before");
        selection.run_tiled(ws.serial, &mut ws.rows, packed, &ws.tiles, input);
    } else if let Some(keep) = rule.keep(rows) {
        let products = ws.products.as_slice().expect(slice);
        // What so few of all scores exceed need not be sorted; when the sample misled, everything positive is.
        let mut sample: Vec<F> = Vec::new();
        for row in ws.products.rows().into_iter().step_by(32).take(if rows < 256 { 0 } else { rows }) {
            let scores = row.iter().zip(&ws.constants[0]).zip(&ws.decoder_norm);
            sample.extend(scores.map(|((&p, &b), &norm)| (p + b) * norm));
        }
        selection.above = batch::guess(&mut sample, keep as f64 / (rows * n) as f64);
        selection.run(ws.serial, &mut ws.rows, products, input);
        let found: usize = ws.rows.iter().map(|block| block.entries.len()).sum();
        if found < keep && selection.above > F::zero() {
            selection.above = F::zero();
            selection.run(ws.serial, &mut ws.rows, products, input);
        }
        smallest = batch::keep_largest(&mut ws.rows, &ws.decoder_norm, keep, &mut ws.ranked);
    } else {
        selection.run(ws.serial, &mut ws.rows, ws.products.as_slice().expect(slice), input);
    }
    let (norms, serial) = (&ws.decoder_norm, ws.serial);
    each(serial, &mut ws.rows, |_, block| {
        block.penalties.clear();
        block.cuts.clear();
        let mut from = 0;
        for &end in &block.ends {
            let mut sum = F::zero();
            for entry in &mut block.entries[from..end as usize] {
                let (q, slope) = rule.amount(entry, norms[entry.latent as usize]);
                sum += q;
                entry.slope = slope;
            }
            block.penalties.push(sum);
            push_cuts(&mut block.cuts, &block.entries[from..end as usize], from, n);
            from = end as usize;
        }
    });
    Ok(smallest.to_f64())
}

/// All decodes, the residuals and every inner product with them, row by row.
pub(crate) fn decode<F: Float, R: Rule<F>>(
    rule: &R,
    sae: &Sae<F>,
    target: &[F],
    settings: &Settings<'_>,
    ws: &mut Workspace<F>,
) {
    let (weights, variant) = (sae.weights(), sae.variant());
    let d = weights.w_dec.ncols();
    let slice = "standard layout";
    let decoder = weights.w_dec.as_slice().expect(slice);
    let bias = weights.b_dec.as_slice().expect("contiguous");
    let (penalty, constants) = (&ws.penalty, &ws.constants);
    let second = rule.second().is_some();
    let has_dead = variant.aux().is_some() && !settings.dead.is_empty();
    let levels = variant.levels();
    let ends = variant.revival_ends(weights.w_dec.nrows());
    let of_level = ends.len() > 1;
    // How much the auxiliary loss of each group counts; one, where a factor for all of them does it.
    let mut dead_before = 0;
    let shares: Vec<f64> = ends
        .iter()
        .map(|&end| {
            let dead = settings.dead.partition_point(|&i| i < end);
            let few = (dead - std::mem::replace(&mut dead_before, dead)) as f64;
            variant.aux().map_or(1.0, |aux| aux.scale.of_group(few, aux.k))
        })
        .collect();
    let rows = ws.residual.nrows();
    let run = ROW_BLOCK * d;
    let mut seconds = ws.aux.as_slice_mut().expect(slice).chunks_mut(run);
    let revives = ws.revive.as_slice_mut().expect(slice).chunks_mut(rows * d);
    let mut revives: Vec<_> = revives.map(|plane| plane.chunks_mut(run)).collect();
    let mut suffixes: Vec<_> = match levels {
        None => Vec::new(),
        Some(_) => {
            ws.suffix.as_slice_mut().expect(slice).chunks_mut(rows * d).map(|l| l.chunks_mut(run)).collect()
        }
    };
    let residual = ws.residual.as_slice_mut().expect(slice).chunks_mut(run);
    let mut tasks: Vec<_> = ws
        .rows
        .iter_mut()
        .zip(residual.zip(target.chunks(run)))
        .map(|(block, (residual, target))| {
            let nested: Vec<&mut [F]> =
                suffixes.iter_mut().map(|level| level.next().unwrap_or_default()).collect();
            let revive: Vec<&mut [F]> =
                revives.iter_mut().map(|plane| plane.next().unwrap_or_default()).collect();
            (block, residual, target, seconds.next().unwrap_or_default(), revive, nested)
        })
        .collect();
    each(ws.serial, &mut tasks, |_, (block, residual, target, aux_rows, revive, nested)| {
        let mut sums = RowSums::default();
        let mut scratch = std::mem::take(&mut block.scratch);
        let (mut from, mut dead_from) = (0, 0);
        for r in 0..residual.len() / d {
            let range = r * d..(r + 1) * d;
            let end = block.ends[r] as usize;
            let (entries, slope) = (&mut block.entries[from..end], block.penalties[r]);
            from = end;
            let (residual, y) = (&mut residual[range.clone()], &target[range.clone()]);
            for i in 0..d {
                residual[i] = bias[i] - y[i];
            }
            scratch.latents.clear();
            scratch.latents.extend(entries.iter().map(|entry| entry.latent));
            scratch.first.clear();
            scratch.first.extend(entries.iter().map(|entry| entry.code));
            match levels {
                None if second => {
                    let aux = &mut aux_rows[range.clone()];
                    aux.copy_from_slice(residual);
                    scratch.second.clear();
                    scratch.second.extend(entries.iter().map(|entry| entry.gate));
                    let amounts = [&scratch.first[..], &scratch.second];
                    F::combine_twice(&scratch.latents, amounts, decoder, [&mut *residual, &mut *aux]);
                    sums.aux2 += sum_of_squares(aux).to_f64();
                }
                None => F::combine(&scratch.latents, &scratch.first, decoder, residual),
                Some(levels) => {
                    let mut start = 0;
                    for (level, &width) in levels.widths().iter().enumerate() {
                        let stop = start + scratch.latents[start..].partition_point(|&i| i < width);
                        F::combine(
                            &scratch.latents[start..stop],
                            &scratch.first[start..stop],
                            decoder,
                            residual,
                        );
                        start = stop;
                        if of_level && has_dead {
                            revive[level][range.clone()].copy_from_slice(residual);
                        }
                        let (to, weight) = (&mut nested[level][range.clone()], levels.weights()[level]);
                        let factor = F::from_f64(weight);
                        to.iter_mut().zip(&*residual).for_each(|(to, &e)| *to = factor * e);
                        if level + 1 < levels.len() {
                            sums.inner += weight * sum_of_squares(residual).to_f64();
                        }
                    }
                    for level in (1..levels.len()).rev() {
                        let (before, after) = nested.split_at_mut(level);
                        let to = &mut before[level - 1][range.clone()];
                        to.iter_mut().zip(&after[0][range.clone()]).for_each(|(to, &s)| *to += s);
                    }
                }
            }
            sums.active += entries.iter().filter(|entry| entry.code != F::zero()).count() as u64;
            sums.residual2 += sum_of_squares(residual).to_f64();
            sums.input2 += sum_of_squares(y).to_f64();
            sums.input_residual += dot(y, residual).to_f64();
            let mut local = |entry: &mut Entry<F>, on_residual: F, on_aux: F| {
                let latent = entry.latent as usize;
                let constants = constants_of(constants, latent);
                entry.slope *= slope;
                rule.local(constants, entry, on_residual, on_aux, penalty[latent]);
                sums.extra += rule.extra(constants, entry).to_f64();
            };
            if second {
                let aux = &aux_rows[range.clone()];
                let products = [&mut scratch.values, &mut scratch.first];
                F::dots(&scratch.latents, decoder, [&*residual, aux], products);
                let products = scratch.values.iter().zip(&scratch.first);
                entries.iter_mut().zip(products).for_each(|(e, (&dot, &on_aux))| local(e, dot, on_aux));
            } else if let Some(levels) = levels {
                let mut start = 0;
                for (level, &width) in levels.widths().iter().enumerate() {
                    let stop = start + scratch.latents[start..].partition_point(|&i| i < width);
                    let row = &nested[level][range.clone()];
                    F::dots(&scratch.latents[start..stop], decoder, [row], [&mut scratch.values]);
                    let products = scratch.values.iter();
                    entries[start..stop]
                        .iter_mut()
                        .zip(products)
                        .for_each(|(e, &dot)| local(e, dot, F::zero()));
                    start = stop;
                }
            } else {
                F::dots(&scratch.latents, decoder, [&*residual], [&mut scratch.values]);
                entries.iter_mut().zip(&scratch.values).for_each(|(e, &dot)| local(e, dot, F::zero()));
            }
            if has_dead {
                let end = block.dead_ends[r] as usize;
                let mut left = &mut block.dead_entries[dead_from..end];
                dead_from = end;
                for ((plane, &end), &share) in revive.iter_mut().zip(&ends).zip(&shares) {
                    let stop = left.partition_point(|entry| entry.latent < end);
                    let (entries, rest) = left.split_at_mut(stop);
                    left = rest;
                    let revive = &mut plane[range.clone()];
                    if !of_level {
                        revive.copy_from_slice(residual);
                    }
                    scratch.latents.clear();
                    scratch.latents.extend(entries.iter().map(|entry| entry.latent));
                    scratch.first.clear();
                    scratch.first.extend(entries.iter().map(|entry| entry.code));
                    F::combine(&scratch.latents, &scratch.first, decoder, revive);
                    F::dots(&scratch.latents, decoder, [&*revive], [&mut scratch.values]);
                    for (entry, &on_aux) in entries.iter_mut().zip(&scratch.values) {
                        entry.d_code = on_aux + on_aux;
                        entry.slope = F::from_f64(share);
                    }
                    sums.revive2 += share * sum_of_squares(revive).to_f64();
                }
            }
        }
        block.scratch = scratch;
        block.sums = sums;
        column_sum(residual, d, &mut block.residual_sum);
        match nested.first() {
            Some(first) => column_sum(first, d, &mut block.aux_sum),
            None => column_sum(aux_rows, d, &mut block.aux_sum),
        }
    });
}

/// The codes of some rows.
pub(crate) fn encode<F: Float, R: Rule<F>>(
    rule: &R,
    sae: &Sae<F>,
    constants: &[Vec<F>; 3],
    norms: &[F],
    x: &ArrayRef2<F>,
) -> Result<SparseRows<F>, SaeError> {
    let (weights, n) = (sae.weights(), sae.size().n_latents);
    let threshold = sae.variant().threshold();
    let keep = rule.keep(x.nrows()).filter(|_| threshold.is_none());
    let mut selection = Selection::new(rule, sae, constants, norms);
    selection.above = F::from_f64(threshold.unwrap_or(0.0));
    let (tiles, slice) = (BufferPool::default(), "standard layout");
    let packed = (x.nrows() >= PACK_FROM).then(|| PackedMatrix::new(&gate_rows(sae).t()));
    let mut codes = SparseRows::new(n);
    let mut all: Vec<RowBlock<F>> = Vec::new();
    let mut blocks: Vec<RowBlock<F>> = Vec::new();
    for start in (0..x.nrows()).step_by(ENCODE_ROWS) {
        let chunk = x.slice(s![start..(start + ENCODE_ROWS).min(x.nrows()), ..]);
        let mut input = chunk.as_standard_layout().into_owned();
        if sae.variant().input_bias() == InputBias::Subtracted {
            input -= &weights.b_dec;
        }
        blocks.resize_with(chunk.nrows().div_ceil(ROW_BLOCK), RowBlock::default);
        let serial = chunk.nrows() * n < SERIAL;
        let centred = input.as_slice().expect(slice);
        match &packed {
            Some(packed) => selection.run_tiled(serial, &mut blocks, packed, &tiles, centred),
            None => {
                let mut products = Array2::zeros((chunk.nrows(), n));
                matmul_into(F::one(), &input, &gate_rows(sae).t(), F::zero(), &mut products)?;
                selection.run(serial, &mut blocks, products.as_slice().expect(slice), centred);
            }
        }
        if keep.is_some() {
            all.append(&mut blocks);
        } else {
            push_codes(&blocks, &mut codes)?;
        }
    }
    if let Some(keep) = keep {
        batch::keep_largest(&mut all, norms, keep, &mut Vec::new());
        push_codes(&all, &mut codes)?;
    }
    Ok(codes)
}

fn push_codes<F: Float>(blocks: &[RowBlock<F>], codes: &mut SparseRows<F>) -> Result<(), SaeError> {
    let (mut columns, mut values): (Vec<u32>, Vec<F>) = Default::default();
    for block in blocks {
        let mut from = 0;
        for &end in &block.ends {
            columns.clear();
            values.clear();
            for entry in block.entries[from..end as usize].iter().filter(|entry| entry.code != F::zero()) {
                columns.push(entry.latent);
                values.push(entry.code);
            }
            codes.push_row(&columns, &values)?;
            from = end as usize;
        }
    }
    Ok(())
}

/// Where each block of latents begins among the entries of a row.
fn push_cuts<F>(cuts: &mut Vec<u32>, entries: &[Entry<F>], from: usize, n: usize) {
    let mut position = 0;
    for start in (0..n).step_by(latents::BLOCK) {
        while position < entries.len() && (entries[position].latent as usize) < start {
            position += 1;
        }
        cuts.push((from + position) as u32);
    }
    cuts.push((from + entries.len()) as u32);
}

/// The sums of the columns of a row-major run.
pub(crate) fn column_sum<F: Scalar>(rows: &[F], d: usize, out: &mut Vec<F>) {
    out.clear();
    out.resize(d, F::zero());
    for row in rows.chunks(d) {
        out.iter_mut().zip(row).for_each(|(sum, &v)| *sum += v);
    }
}
