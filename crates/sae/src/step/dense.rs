//! The same step by products over all latents, for the start of training, when most latents are active.
//!
//! Latents are taken in stretches of columns, so that besides the encoder products nothing larger than a batch of one
//! stretch is kept.

use crate::float::Float;
use crate::kernels::entries::{OfRow, Stretch, activate, contribute, sum};
use crate::members::rule::Rule;
use crate::step::latents::{BLOCK, Gradient};
use crate::step::sparse::column_sum;
use crate::step::workspace::{RowSums, Workspace};
use crate::step::{ROW_BLOCK, each};
use crate::{SaeError, Variant, Weights};
use collimate_tensor::{Scalar, dot, matmul_into, sum_of_squares};
use ndarray::{Array2, s};

/// How many blocks of latents make a stretch: enough for fast products, few enough for the cache.
pub(crate) const BLOCKS: usize = 4;
/// Latents in a stretch.
const WIDE: usize = BLOCKS * BLOCK;

/// The buffers of the dense path.
#[derive(Clone, Debug)]
pub(crate) struct Buffers<F> {
    /// Codes of the stretch, later by what the first residual counts.
    codes: Array2<F>,
    /// The same for the second residual.
    gates: Array2<F>,
    /// Products with the first residual, later by what the input counts.
    dots: Array2<F>,
    /// The decoder rows of the stretch.
    atoms: Array2<F>,
    encoder: Array2<F>,
    decoder: Array2<F>,
    /// What the latents of the stretch add up besides rows, sum by sum.
    sums: Vec<F>,
    /// Constants that the member does not have.
    none: Vec<F>,
}

/// How many sums are kept: three vector gradients, the encoder coefficients, the pull on the norm, how often active.
const SUMS: usize = 6;

impl<F: Scalar> Default for Buffers<F> {
    fn default() -> Self {
        let empty = || Array2::zeros((0, 0));
        Self {
            codes: empty(),
            gates: empty(),
            dots: empty(),
            atoms: empty(),
            encoder: empty(),
            decoder: empty(),
            sums: Vec::new(),
            none: Vec::new(),
        }
    }
}

impl<F: Float> Buffers<F> {
    fn resize(&mut self, rows: usize, width: usize, width_in: usize, d: usize, two: bool) {
        let set = |a: &mut Array2<F>, shape: (usize, usize)| {
            if a.dim() != shape {
                *a = Array2::zeros(shape);
            }
        };
        set(&mut self.codes, (rows, width));
        set(&mut self.gates, (if two { rows } else { 0 }, width));
        set(&mut self.dots, (rows, width));
        set(&mut self.atoms, (width, d));
        set(&mut self.encoder, (width, width_in));
        set(&mut self.decoder, (width, d));
        self.none.resize(width, F::zero());
    }

    /// The gradient of latent `index` of the stretch.
    pub(crate) fn latent(&self, index: usize, out: &mut Gradient<F>) {
        for (out, rows) in [(&mut out.encoder, &self.encoder), (&mut out.decoder, &self.decoder)] {
            out.clear();
            out.extend_from_slice(rows.row(index).to_slice().expect("standard layout"));
        }
        let sum = |which: usize| self.sums[which * self.decoder.nrows() + index];
        out.per_latent = [sum(0), sum(1), sum(2)];
        out.pre = sum(3);
        out.norm_pull = sum(4);
        out.active = sum(5) > F::zero();
    }
}

/// What the latents of a stretch are read with.
fn stretch<'a, F: Float>(
    constants: &'a [Vec<F>; 3],
    norms: &'a [F],
    penalty: &'a [F],
    none: &'a [F],
    (start, width): (usize, usize),
) -> Stretch<'a, F> {
    let range = start..start + width;
    let constants = [0, 1, 2].map(|j| constants[j].get(range.clone()).unwrap_or(&none[..width]));
    Stretch { constants, norms: &norms[range.clone()], penalty: &penalty[range] }
}

/// Both decodes: the residuals, and Σ q of each row.
pub(crate) fn forward<F: Float, R: Rule<F>>(
    rule: &R,
    weights: &Weights<F>,
    target: &[F],
    ws: &mut Workspace<F>,
) -> Result<(), SaeError> {
    let (n, d) = weights.w_dec.dim();
    let rows = ws.input.nrows();
    let bias = weights.b_dec.as_slice().expect("contiguous");
    let slice = "standard layout";
    let two = rule.second().is_some();
    for (block, target) in ws.rows.iter_mut().zip(target.chunks(ROW_BLOCK * d)) {
        block.sums = RowSums::default();
        block.penalties.clear();
        block.penalties.resize(target.len() / d, F::zero());
    }
    for residual in [&mut ws.residual, &mut ws.aux] {
        for (mut row, y) in residual.rows_mut().into_iter().zip(target.chunks(d)) {
            row.iter_mut().zip(y).enumerate().for_each(|(i, (r, &y))| *r = bias[i] - y);
        }
    }
    let mut buffers = std::mem::take(&mut ws.dense);
    for start in (0..n).step_by(WIDE) {
        let width = WIDE.min(n - start);
        buffers.resize(rows, width, ws.input.ncols(), d, two);
        let of = stretch(&ws.constants, &ws.decoder_norm, &ws.penalty, &buffers.none, (start, width));
        let products = ws.products.as_slice().expect(slice);
        let codes = buffers.codes.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * width);
        let mut gates = buffers.gates.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * width);
        let mut tasks: Vec<_> = ws
            .rows
            .iter_mut()
            .zip(codes.zip(products.chunks(ROW_BLOCK * n)))
            .map(|(block, (codes, products))| (block, codes, gates.next().unwrap_or_default(), products))
            .collect();
        each(ws.serial, &mut tasks, |_, (block, codes, gates, products)| {
            let [amounts, extras, spare] = &mut block.columns;
            for row in [&mut *amounts, &mut *extras, &mut *spare] {
                row.resize(width, F::zero());
            }
            for (r, products) in products.chunks(n).enumerate() {
                let products = &products[start..start + width];
                let row = r * width..(r + 1) * width;
                let gates = if two { &mut gates[row.clone()] } else { &mut spare[..width] };
                let active = activate(rule, products, &of, &mut codes[row], gates, amounts, extras);
                block.penalties[r] += sum(&amounts[..width]);
                block.sums.extra += sum(&extras[..width]).to_f64();
                block.sums.active += u64::from(active);
            }
        });
        let atoms = weights.w_dec.slice(s![start..start + width, ..]);
        matmul_into(F::one(), &buffers.codes, &atoms, F::one(), &mut ws.residual)?;
        if two {
            matmul_into(F::one(), &buffers.gates, &atoms, F::one(), &mut ws.aux)?;
        }
    }
    ws.dense = buffers;
    Ok(())
}

/// What the losses and the decoder bias need of the residuals.
pub(crate) fn residual_sums<F: Float>(target: &[F], ws: &mut Workspace<F>) {
    let d = ws.residual.ncols();
    let slice = "standard layout";
    let residual = ws.residual.as_slice().expect(slice);
    let mut aux = ws.aux.as_slice().expect(slice).chunks(ROW_BLOCK * d);
    let rows = residual.chunks(ROW_BLOCK * d).zip(target.chunks(ROW_BLOCK * d));
    let mut tasks: Vec<_> = ws
        .rows
        .iter_mut()
        .zip(rows)
        .map(|(block, (residual, target))| (block, residual, target, aux.next()))
        .collect();
    each(ws.serial, &mut tasks, |_, (block, residual, target, aux)| {
        block.dead_entries.clear();
        for (residual, y) in residual.chunks(d).zip(target.chunks(d)) {
            block.sums.residual2 += sum_of_squares(residual).to_f64();
            block.sums.input2 += sum_of_squares(y).to_f64();
            block.sums.input_residual += dot(y, residual).to_f64();
        }
        column_sum(residual, d, &mut block.residual_sum);
        if let Some(aux) = aux {
            block.sums.aux2 += aux.chunks(d).map(|row| sum_of_squares(row).to_f64()).sum::<f64>();
            column_sum(aux, d, &mut block.aux_sum);
        }
    });
}

/// The gradients of the stretch that begins at latent `start`, whose decoder rows come in blocks.
pub(crate) fn backward<'a, F: Float, R: Rule<F>>(
    rule: &R,
    variant: &Variant,
    lambda: F,
    decoder: impl Iterator<Item = &'a [F]>,
    (start, width): (usize, usize),
    ws: &mut Workspace<F>,
    buffers: &mut Buffers<F>,
) -> Result<(), SaeError> {
    let (rows, d) = ws.residual.dim();
    let (n, two) = (ws.products.ncols(), rule.second().is_some());
    buffers.resize(rows, width, ws.input.ncols(), d, two);
    let slice = "standard layout";
    let atoms = buffers.atoms.as_slice_mut().expect(slice).chunks_mut(BLOCK * d);
    atoms.zip(decoder).for_each(|(to, from)| to.copy_from_slice(from));
    matmul_into(F::one(), &ws.residual, &buffers.atoms.t(), F::zero(), &mut buffers.dots)?;
    if two {
        matmul_into(F::one(), &ws.aux, &buffers.atoms.t(), F::zero(), &mut buffers.gates)?;
    }
    let per_row = F::from_f64(1.0 / rows as f64);
    let of = stretch(&ws.constants, &ws.decoder_norm, &ws.penalty, &buffers.none, (start, width));
    let products = ws.products.as_slice().expect(slice).chunks(ROW_BLOCK * n);
    let codes = buffers.codes.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * width);
    let dots = buffers.dots.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * width);
    let mut gates = buffers.gates.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * width);
    let mut tasks: Vec<_> = ws
        .rows
        .iter_mut()
        .zip(products.zip(codes).zip(dots))
        .map(|(block, ((products, codes), dots))| {
            (block, products, codes, dots, gates.next().unwrap_or_default())
        })
        .collect();
    each(ws.serial, &mut tasks, |_, (block, products, codes, dots, gates)| {
        let spare = &mut block.columns[2];
        spare.resize(width, F::zero());
        let sums = &mut block.column_sums;
        sums.clear();
        sums.resize(width * SUMS, F::zero());
        let mut sums = sums.chunks_exact_mut(width);
        let mut next = || sums.next().expect("as many as there are");
        let (first, second, third, encoder, pull, active) = (next(), next(), next(), next(), next(), next());
        for (r, products) in products.chunks(n).enumerate() {
            let products = &products[start..start + width];
            let range = r * width..(r + 1) * width;
            let row = OfRow { slope: block.penalties[r], per_row, lambda, two };
            let gates = if two { &mut gates[range.clone()] } else { &mut spare[..width] };
            let (dots, codes) = (&mut dots[range.clone()], &mut codes[range]);
            contribute(
                rule, products, &of, row, dots, gates, codes, first, second, third, encoder, pull, active,
            );
        }
    });
    buffers.sums.clear();
    buffers.sums.resize(width * SUMS, F::zero());
    for block in &ws.rows {
        buffers.sums.iter_mut().zip(&block.column_sums).for_each(|(sum, &value)| *sum += value);
    }
    matmul_into(F::one(), &buffers.dots.t(), &ws.input, F::zero(), &mut buffers.encoder)?;
    matmul_into(F::one(), &buffers.codes.t(), &ws.residual, F::zero(), &mut buffers.decoder)?;
    if variant.aux_trains_decoder() {
        matmul_into(F::one(), &buffers.gates.t(), &ws.aux, F::one(), &mut buffers.decoder)?;
    }
    Ok(())
}
