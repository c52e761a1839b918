//! The dense path: a step by products over all latents, for the start of training, when most latents are active.
//!
//! Latents are taken in stretches of columns. So besides the encoder products, nothing larger than a batch of one stretch is
//! kept.

use crate::error::SaeError;
use crate::float::Float;
use crate::members::kernels::sum;
use crate::members::rule::{Columns, Constants, DenseRows, Stretch};
use crate::step::gather::{LatentBlock, finish};
use crate::step::inputs::{Inputs, resize};
use crate::step::residuals::{Residuals, RowSums, column_sum};
use crate::step::settings::{LATENT_BLOCK, ROW_BLOCK, each};
use crate::step::sinks::{Gradient, Sink};
use crate::step::task::Task;
use crate::weights::Weights;
use collimate_tensor::{Scalar, dot, matmul_into, sum_of_squares};
use ndarray::{Array2, s};

/// The number of blocks of latents in a stretch: enough for fast products, few enough for the cache.
const BLOCKS: usize = 4;
/// The number of latents in a stretch.
const WIDE: usize = BLOCKS * LATENT_BLOCK;

/// The buffers of the dense path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers<F: Scalar> {
    /// The codes of the stretch, later the coefficients of the first residual.
    codes: Array2<F>,
    /// The codes of the second decode, later the coefficients of the second residual.
    gates: Array2<F>,
    /// The products with the first residual, later the coefficients of the input.
    dots: Array2<F>,
    /// The decoder rows of the stretch.
    atoms: Array2<F>,
    encoder: Array2<F>,
    decoder: Array2<F>,
    /// The sums of the stretch over all rows: [`SUMS`] rows, one number a latent each.
    sums: Vec<F>,
    /// Zeros, for constants that the member does not have.
    none: Vec<F>,
    rows: Vec<RowBuffers<F>>,
}

/// The buffers of one block of rows.
#[derive(Clone, Debug, Default)]
struct RowBuffers<F> {
    /// Rows of numbers, one a latent, that are not kept.
    columns: [Vec<F>; 3],
    sums: Vec<F>,
}

/// The number of sums: three vector gradients, the encoder coefficients, the pull on the norm, the active rows.
const SUMS: usize = 6;

impl<F: Float> Buffers<F> {
    fn resize(&mut self, rows: usize, width: usize, width_in: usize, d: usize, two: bool) {
        resize(&mut self.codes, (rows, width));
        resize(&mut self.gates, (if two { rows } else { 0 }, width));
        resize(&mut self.dots, (rows, width));
        resize(&mut self.atoms, (width, d));
        resize(&mut self.encoder, (width, width_in));
        resize(&mut self.decoder, (width, d));
        self.none.resize(width, F::zero());
        self.rows.resize_with(rows.div_ceil(ROW_BLOCK), RowBuffers::default);
    }

    /// Reads the gradient of latent `index` of the stretch.
    fn latent(&self, index: usize, out: &mut Gradient<F>) {
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

/// Returns the numbers of the latents of a stretch.
fn stretch<'a, F: Float>(
    constants: &'a Constants<F>,
    none: &'a [F],
    (start, width): (usize, usize),
) -> Stretch<'a, F> {
    let range = start..start + width;
    let vectors = [0, 1, 2].map(|j| constants.vectors[j].get(range.clone()).unwrap_or(&none[..width]));
    Stretch { constants: vectors, norms: &constants.norms[range.clone()], penalty: &constants.penalty[range] }
}

fn rule<'a, F: Float>(task: &Task<'a, F>) -> &'a dyn DenseRows<F> {
    task.rule.dense().expect("only elementwise members take the dense path")
}

/// Computes both decodes: the residuals, and Σ q of each row.
pub(crate) fn forward<F: Float>(
    task: &Task<'_, F>,
    weights: &Weights<F>,
    target: &[F],
    inputs: &Inputs<F>,
    penalties: &mut Vec<F>,
    residuals: &mut Residuals<F>,
    buffers: &mut Buffers<F>,
) -> Result<(), SaeError> {
    let (n, d) = weights.w_dec.dim();
    let (rows, two) = (task.rows, task.member.second.is_some());
    let bias = weights.b_dec.as_slice().expect("contiguous");
    let slice = "standard layout";
    penalties.clear();
    penalties.resize(rows, F::zero());
    residuals.blocks.iter_mut().for_each(|block| block.sums = RowSums::default());
    for residual in [&mut residuals.first, &mut residuals.second] {
        for (mut row, y) in residual.rows_mut().into_iter().zip(target.chunks(d)) {
            row.iter_mut().zip(y).enumerate().for_each(|(i, (r, &y))| *r = bias[i] - y);
        }
    }
    let products = inputs.products.as_slice().expect(slice);
    for start in (0..n).step_by(WIDE) {
        let width = WIDE.min(n - start);
        buffers.resize(rows, width, inputs.centred.ncols(), d, two);
        let of = stretch(task.constants, &buffers.none, (start, width));
        let codes = buffers.codes.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * width);
        let mut gates = buffers.gates.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * width);
        let mut tasks: Vec<_> = buffers
            .rows
            .iter_mut()
            .zip(residuals.blocks.iter_mut().zip(penalties.chunks_mut(ROW_BLOCK)))
            .zip(codes.zip(products.chunks(ROW_BLOCK * n)))
            .map(|((buffers, (block, penalties)), (codes, products))| {
                let gates = gates.next().unwrap_or_default();
                (buffers, &mut block.sums, penalties, codes, gates, products)
            })
            .collect();
        each(task.serial, &mut tasks, |_, (buffers, sums, penalties, codes, gates, products)| {
            let [amounts, extras, spare] = &mut buffers.columns;
            for row in [&mut *amounts, &mut *extras, &mut *spare] {
                row.resize(width, F::zero());
            }
            for (r, products) in products.chunks(n).enumerate() {
                let products = &products[start..start + width];
                let row = r * width..(r + 1) * width;
                let gates = if two { &mut gates[row.clone()] } else { &mut spare[..width] };
                let active = rule(task).activate_row(products, &of, &mut codes[row], gates, amounts, extras);
                penalties[r] += sum(&amounts[..width]);
                sums.extra += sum(&extras[..width]).to_f64();
                sums.active += u64::from(active);
            }
        });
        let atoms = weights.w_dec.slice(s![start..start + width, ..]);
        matmul_into(F::one(), &buffers.codes, &atoms, F::one(), &mut residuals.first)?;
        if two {
            matmul_into(F::one(), &buffers.gates, &atoms, F::one(), &mut residuals.second)?;
        }
    }
    Ok(())
}

/// Computes the sums over the residuals that the losses and the decoder bias need.
pub(crate) fn residual_sums<F: Float>(task: &Task<'_, F>, target: &[F], residuals: &mut Residuals<F>) {
    let Residuals { first, second, blocks, .. } = residuals;
    let d = first.ncols();
    let slice = "standard layout";
    let mut second = second.as_slice().expect(slice).chunks(ROW_BLOCK * d);
    let rows = first.as_slice().expect(slice).chunks(ROW_BLOCK * d).zip(target.chunks(ROW_BLOCK * d));
    let mut tasks: Vec<_> = blocks
        .iter_mut()
        .zip(rows)
        .map(|(block, (residual, target))| (block, residual, target, second.next()))
        .collect();
    each(task.serial, &mut tasks, |_, (block, residual, target, second)| {
        for (residual, y) in residual.chunks(d).zip(target.chunks(d)) {
            block.sums.residual2 += sum_of_squares(residual).to_f64();
            block.sums.input2 += sum_of_squares(y).to_f64();
            block.sums.input_residual += dot(y, residual).to_f64();
        }
        column_sum(residual, d, &mut block.first_sum);
        if let Some(second) = second {
            block.sums.aux2 += second.chunks(d).map(|row| sum_of_squares(row).to_f64()).sum::<f64>();
            column_sum(second, d, &mut block.second_sum);
        }
    });
}

/// Computes the gradient of every latent, stretch by stretch, and hands it to the sink of its block.
///
/// `slopes` holds the derivatives of the penalties of the rows. `active` tells which latents had a code.
pub(crate) fn backward<F: Float>(
    task: &Task<'_, F>,
    inputs: &Inputs<F>,
    slopes: &[F],
    residuals: &Residuals<F>,
    buffers: &mut Buffers<F>,
    blocks: &mut [LatentBlock<F>],
    active: &mut [bool],
    sinks: &mut [&mut dyn Sink<F>],
) -> Result<(), SaeError> {
    let mut tasks: Vec<_> = blocks.iter_mut().zip(sinks).zip(active.chunks_mut(LATENT_BLOCK)).collect();
    let mut start = 0;
    for tasks in tasks.chunks_mut(BLOCKS) {
        let width = tasks.iter().map(|task| task.1.len()).sum();
        let decoder: Vec<&[F]> = tasks.iter().map(|((_, sink), _)| sink.decoder()).collect();
        stretch_gradient(task, inputs, slopes, residuals, &decoder, (start, width), buffers)?;
        let buffers = &*buffers;
        each(task.serial, tasks, |b, ((block, sink), active)| {
            let LatentBlock { bias, gradient, .. } = &mut **block;
            bias.clear();
            bias.resize(inputs.centred.ncols(), F::zero());
            for (index, active) in active.iter_mut().enumerate() {
                buffers.latent(b * LATENT_BLOCK + index, gradient);
                *active = finish(task, &mut ***sink, gradient, bias, index);
            }
        });
        start += width;
    }
    Ok(())
}

/// Computes the gradients of the stretch that begins at latent `start`; `decoder` holds its decoder rows, block by block.
fn stretch_gradient<F: Float>(
    task: &Task<'_, F>,
    inputs: &Inputs<F>,
    slopes: &[F],
    residuals: &Residuals<F>,
    decoder: &[&[F]],
    (start, width): (usize, usize),
    buffers: &mut Buffers<F>,
) -> Result<(), SaeError> {
    let (rows, d) = residuals.first.dim();
    let (n, two) = (inputs.products.ncols(), task.member.second.is_some());
    buffers.resize(rows, width, inputs.centred.ncols(), d, two);
    let slice = "standard layout";
    let atoms = buffers.atoms.as_slice_mut().expect(slice).chunks_mut(LATENT_BLOCK * d);
    atoms.zip(decoder).for_each(|(to, from)| to.copy_from_slice(from));
    matmul_into(F::one(), &residuals.first, &buffers.atoms.t(), F::zero(), &mut buffers.dots)?;
    if two {
        matmul_into(F::one(), &residuals.second, &buffers.atoms.t(), F::zero(), &mut buffers.gates)?;
    }
    let of = stretch(task.constants, &buffers.none, (start, width));
    let products = inputs.products.as_slice().expect(slice).chunks(ROW_BLOCK * n);
    let codes = buffers.codes.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * width);
    let dots = buffers.dots.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * width);
    let mut gates = buffers.gates.as_slice_mut().expect(slice).chunks_mut(ROW_BLOCK * width);
    let mut tasks: Vec<_> = buffers
        .rows
        .iter_mut()
        .zip(slopes.chunks(ROW_BLOCK))
        .zip(products.zip(codes).zip(dots))
        .map(|((buffers, slopes), ((products, codes), dots))| {
            (buffers, slopes, products, codes, dots, gates.next().unwrap_or_default())
        })
        .collect();
    each(task.serial, &mut tasks, |_, (buffers, slopes, products, codes, dots, gates)| {
        let spare = &mut buffers.columns[2];
        spare.resize(width, F::zero());
        buffers.sums.clear();
        buffers.sums.resize(width * SUMS, F::zero());
        for (r, products) in products.chunks(n).enumerate() {
            let products = &products[start..start + width];
            let range = r * width..(r + 1) * width;
            let mut sums = buffers.sums.chunks_exact_mut(width);
            let mut next = || sums.next().expect("one run for each sum");
            let columns = Columns {
                gates: if two { &mut gates[range.clone()] } else { &mut spare[..width] },
                dots: &mut dots[range.clone()],
                codes: &mut codes[range],
                vectors: [next(), next(), next()],
                encoder: next(),
                pull: next(),
                active: next(),
            };
            rule(task).contribute_row(products, &of, task.factors(slopes[r]), columns);
        }
    });
    buffers.sums.clear();
    buffers.sums.resize(width * SUMS, F::zero());
    for block in &buffers.rows {
        buffers.sums.iter_mut().zip(&block.sums).for_each(|(sum, &value)| *sum += value);
    }
    matmul_into(F::one(), &buffers.dots.t(), &inputs.centred, F::zero(), &mut buffers.encoder)?;
    matmul_into(F::one(), &buffers.codes.t(), &residuals.first, F::zero(), &mut buffers.decoder)?;
    if task.member.second_trains_decoder() {
        matmul_into(F::one(), &buffers.gates.t(), &residuals.second, F::one(), &mut buffers.decoder)?;
    }
    Ok(())
}
