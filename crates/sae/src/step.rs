//! One training step: a dense encoder product, then work on the active latents only.
//!
//! Rows are handled in fixed blocks, latents in fixed blocks, and every sum over blocks runs in their order: the same
//! bits on any number of threads. The passes are `forward` (rows: select, decode, residuals, inner products) and
//! [`latents`](crate::latents) (latents: gather the gradient rows, update).

use crate::adam::{Adam, Moments, Update};
use crate::latents::{self, CollectBlock, LatentBlock, NormBlock, Split, StepBlock};
use crate::rule::{Entry, Rule, Scratch, Vectors};
use crate::{InputBias, Sae, SaeError, Variant, Weights, dense, sparse};
use collimate_tensor::{Scalar, SparseRows, axpy, matmul_into, sum_of_squares};
use ndarray::{Array2, ArrayRef2};
use rayon::prelude::*;

/// Rows in one task.
pub(crate) const ROW_BLOCK: usize = 64;
/// Below this many entries of the product the blocks run on the calling thread.
const SERIAL: usize = 1 << 15;
/// Above this share of active latents, products over all latents are faster than work on the active ones.
const DENSE_ABOVE: f64 = 0.2;

/// What a step minimises besides the parameters of the variant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// The coefficient λ of the penalty, for a loss that sums over the dimensions and averages over the rows.
    pub penalty: f64,
    /// The latents that count as dead, ascending; they get the auxiliary loss of a TopK dictionary.
    pub dead: &'a [u32],
    /// The largest norm of the whole gradient; a longer one is scaled down. It costs a second pass over the latents.
    pub clip: Option<f64>,
    /// Which of the two ways to compute a step is taken.
    pub path: Path,
}

/// How the work behind the encoder product is done. The results agree up to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Path {
    /// Sparse, unless more than a fifth of the latents are active in a sample of the rows.
    #[default]
    Auto,
    /// On the active latents only.
    Sparse,
    /// By products over all latents; a TopK dictionary has no such path and stays sparse.
    Dense,
}

/// The terms of the loss of one batch, and sums from which the batch's metrics follow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// What is minimised.
    pub total: f64,
    /// Mean over rows of ‖x − x̂‖².
    pub reconstruction: f64,
    /// Mean over rows of the weighted sum of codes, without λ; zero for members without a penalty.
    pub sparsity: f64,
    /// The auxiliary term: the gated one, or AuxK without α.
    pub auxiliary: f64,
    /// Mean number of active latents in a row.
    pub l0: f64,
    /// Mean over rows of ‖x‖².
    pub input_norm2: f64,
    /// Mean over rows of ‖x̂‖².
    pub output_norm2: f64,
    /// Mean over rows of x̂·x.
    pub input_output: f64,
    /// Whether the dense path was taken.
    pub dense: bool,
    /// The norm of the gradient (decoder part projected) before clipping; zero where clipping is off.
    pub gradient_norm: f64,
}

/// Sums over the rows of one block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RowSums {
    pub(crate) residual2: f64,
    pub(crate) aux2: f64,
    pub(crate) penalised: f64,
    pub(crate) active: u64,
    pub(crate) input2: f64,
    pub(crate) input_residual: f64,
}

/// What belongs to one block of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowBlock<F> {
    pub(crate) entries: Vec<Entry<F>>,
    /// Where the entries of each row and latent block begin: `cuts[row * (blocks + 1) + block]`.
    pub(crate) cuts: Vec<u32>,
    pub(crate) dead_entries: Vec<Entry<F>>,
    pub(crate) dead_cuts: Vec<u32>,
    pub(crate) scratch: Scratch<F>,
    pub(crate) sums: RowSums,
    pub(crate) residual_sum: Vec<F>,
    pub(crate) aux_sum: Vec<F>,
    pub(crate) column_sums: Vec<F>,
}

/// The buffers of a step, kept between steps so that none is allocated twice.
#[derive(Clone, Debug)]
pub struct Workspace<F> {
    /// x − b_dec, or x.
    pub(crate) input: Array2<F>,
    /// The encoder products.
    pub(crate) products: Array2<F>,
    /// x̂ − x.
    pub(crate) residual: Array2<F>,
    /// The residual of the second decode.
    pub(crate) aux: Array2<F>,
    pub(crate) constants: [Vec<F>; 3],
    /// λ times the weight of each latent in the penalty.
    pub(crate) penalty: Vec<F>,
    pub(crate) decoder_norm: Vec<F>,
    pub(crate) rows: Vec<RowBlock<F>>,
    pub(crate) latents: Vec<LatentBlock<F>>,
    pub(crate) dense: dense::Buffers<F>,
    pub(crate) active: Vec<bool>,
    pub(crate) serial: bool,
}

impl<F: Scalar> Default for Workspace<F> {
    fn default() -> Self {
        let empty = || Array2::zeros((0, 0));
        Self {
            input: empty(),
            products: empty(),
            residual: empty(),
            aux: empty(),
            constants: Default::default(),
            penalty: Vec::new(),
            decoder_norm: Vec::new(),
            rows: Vec::new(),
            latents: Vec::new(),
            dense: dense::Buffers::default(),
            active: Vec::new(),
            serial: true,
        }
    }
}

impl<F: Scalar> Workspace<F> {
    /// Which latents were active in the last batch.
    pub fn active(&self) -> &[bool] {
        &self.active
    }

    fn prepare<R: Rule<F>>(&mut self, rule: &R, sae: &Sae<F>, x: &ArrayRef2<F>, penalty: f64, aux: bool) {
        let (b, d) = x.dim();
        let n = sae.size().n_latents;
        let resize = |a: &mut Array2<F>, shape: (usize, usize)| {
            if a.dim() != shape {
                *a = Array2::zeros(shape);
            }
        };
        resize(&mut self.input, (b, d));
        resize(&mut self.products, (b, n));
        resize(&mut self.residual, (b, d));
        resize(&mut self.aux, if aux { (b, d) } else { (0, d) });
        self.rows.resize_with(b.div_ceil(ROW_BLOCK), RowBlock::default);
        self.latents.resize_with(n.div_ceil(latents::BLOCK), LatentBlock::default);
        self.active.resize(n, false);
        self.serial = b * n < SERIAL;
        set_constants(rule, sae.weights(), &mut self.constants);
        let norm_weighted = sae.variant().norm_weighted();
        self.penalty.clear();
        self.decoder_norm.clear();
        let lambda = F::from_f64(penalty);
        for row in sae.weights().w_dec.rows() {
            let norm = if norm_weighted {
                sum_of_squares(row.to_slice().expect("rows are contiguous")).sqrt()
            } else {
                F::one()
            };
            self.decoder_norm.push(norm);
            self.penalty.push(lambda * norm);
        }
    }
}

fn set_constants<F: Scalar, R: Rule<F>>(rule: &R, weights: &Weights<F>, constants: &mut [Vec<F>; 3]) {
    constants.iter_mut().for_each(Vec::clear);
    let n_vectors = weights.per_latent.len();
    for i in 0..weights.w_dec.nrows() {
        let mut vectors = [F::zero(); 3];
        for (value, vector) in vectors.iter_mut().zip(&weights.per_latent) {
            *value = vector[i];
        }
        for (store, value) in constants.iter_mut().zip(rule.constants(vectors)).take(n_vectors) {
            store.push(value);
        }
    }
}

/// Runs `f` on every block, on the pool unless the work is small.
pub(crate) fn each<T: Send>(serial: bool, blocks: &mut [T], f: impl Fn(usize, &mut T) + Sync + Send) {
    if serial {
        blocks.iter_mut().enumerate().for_each(|(i, block)| f(i, block));
    } else {
        blocks.par_iter_mut().enumerate().for_each(|(i, block)| f(i, block));
    }
}

macro_rules! with_rule {
    ($variant:expr, $rule:ident => $body:expr) => {
        match $variant {
            Variant::Relu($rule) => $body,
            Variant::Gated($rule) => $body,
            Variant::TopK($rule) => $body,
            Variant::JumpRelu($rule) => $body,
        }
    };
}

/// The codes of some rows.
pub(crate) fn encode<F: Scalar>(sae: &Sae<F>, x: &ArrayRef2<F>) -> Result<SparseRows<F>, SaeError> {
    with_rule!(sae.variant(), rule => encode_with(rule, sae, x))
}

/// Rows that are encoded at once: enough for the product, few enough for the memory.
const ENCODE_ROWS: usize = 1024;

fn encode_with<F: Scalar, R: Rule<F>>(
    rule: &R,
    sae: &Sae<F>,
    x: &ArrayRef2<F>,
) -> Result<SparseRows<F>, SaeError> {
    let weights = sae.weights();
    let (n, d) = weights.w_enc.dim();
    let mut codes = SparseRows::new(n);
    let mut constants: [Vec<F>; 3] = Default::default();
    set_constants(rule, weights, &mut constants);
    let constants: Vectors<'_, F> = [&constants[0], &constants[1], &constants[2]];
    let mut blocks: Vec<RowBlock<F>> = Vec::new();
    for start in (0..x.nrows()).step_by(ENCODE_ROWS) {
        let chunk = x.slice(ndarray::s![start..(start + ENCODE_ROWS).min(x.nrows()), ..]);
        let mut input = chunk.to_owned();
        if sae.variant().input_bias() == InputBias::Subtracted {
            input -= &weights.b_dec;
        }
        let mut products = Array2::zeros((chunk.nrows(), n));
        matmul_into(F::one(), &input, &weights.w_enc.t(), F::zero(), &mut products)?;
        blocks.resize_with(chunk.nrows().div_ceil(ROW_BLOCK), RowBlock::default);
        let flat = products.as_slice_mut().expect("standard layout");
        let mut tasks: Vec<_> = blocks.iter_mut().zip(flat.chunks_mut(ROW_BLOCK * n)).collect();
        each(chunk.nrows() * n < SERIAL, &mut tasks, |_, (block, products)| {
            block.entries.clear();
            block.cuts.clear();
            for row in products.chunks_mut(n) {
                rule.select(constants, row, &mut block.scratch, &mut block.entries);
                block.cuts.push(block.entries.len() as u32);
            }
        });
        let (mut columns, mut values): (Vec<u32>, Vec<F>) = Default::default();
        for block in &blocks {
            let mut from = 0;
            for &to in &block.cuts {
                let row = &block.entries[from as usize..to as usize];
                columns.clear();
                values.clear();
                for entry in row.iter().filter(|entry| entry.code != F::zero()) {
                    columns.push(entry.latent);
                    values.push(entry.code);
                }
                codes.push_row(&columns, &values)?;
                from = to;
            }
        }
    }
    debug_assert_eq!(d, x.ncols());
    Ok(codes)
}

/// The loss of a batch and its gradient with respect to every parameter.
pub(crate) fn gradient<F: Scalar>(
    sae: &Sae<F>,
    x: &ArrayRef2<F>,
    settings: &Settings<'_>,
    ws: &mut Workspace<F>,
) -> Result<(Losses, Weights<F>), SaeError> {
    trainable(sae)?;
    with_rule!(sae.variant(), rule => {
        let mut losses = begin(rule, sae, x, settings, ws, 0)?;
        let weights = sae.weights();
        let mut gradient = Weights::zeros(sae.size(), weights.per_latent.len());
        let blocks = Split::of(weights).into_iter().zip(Split::of_mut(&mut gradient));
        let mut blocks: Vec<_> = blocks.map(|(weights, out)| CollectBlock { weights, out }).collect();
        latents::run(rule, sae.variant(), settings, ws, &mut blocks, &mut losses)?;
        drop(blocks);
        let bias = bias_gradient(sae.variant(), ws);
        gradient.b_dec.iter_mut().zip(bias).for_each(|(g, value)| *g = value);
        Ok((losses, gradient))
    })
}

/// One update of every parameter.
pub(crate) fn update<F: Scalar>(
    sae: &mut Sae<F>,
    moments: &mut Moments<F>,
    x: &ArrayRef2<F>,
    settings: &Settings<'_>,
    adam: &Adam,
    learning_rate: f64,
    ws: &mut Workspace<F>,
) -> Result<Losses, SaeError> {
    trainable(sae)?;
    let variant = *sae.variant();
    with_rule!(&variant, rule => {
        let mut losses = begin(rule, sae, x, settings, ws, moments.updates)?;
        let mut scale = F::one();
        if let Some(clip) = settings.clip {
            let mut blocks: Vec<_> =
                Split::of(sae.weights()).into_iter().map(|w| NormBlock::new(w, variant.unit_norm_decoder())).collect();
            latents::run(rule, &variant, settings, ws, &mut blocks, &mut losses)?;
            let of_latents: f64 = blocks.iter().map(|b| b.sum_of_squares).sum();
            let of_bias: f64 = bias_gradient(&variant, ws).iter().map(|&g| g.to_f64().powi(2)).sum();
            losses.gradient_norm = (of_latents + of_bias).sqrt();
            check(losses.gradient_norm, moments.updates, "the gradient")?;
            scale = F::from_f64((clip / (losses.gradient_norm + 1e-6)).min(1.0));
        }
        moments.updates += 1;
        let step = Update::new(adam, learning_rate, moments.updates);
        let project = variant.unit_norm_decoder();
        let parts = Split::of_mut(sae.weights_mut())
            .into_iter()
            .zip(Split::of_mut(&mut moments.first))
            .zip(Split::of_mut(&mut moments.second));
        let mut blocks: Vec<_> =
            parts.map(|((weights, m), v)| StepBlock { weights, m, v, step, scale, project, bad: None }).collect();
        latents::run(rule, &variant, settings, ws, &mut blocks, &mut losses)?;
        if let Some(tensor) = blocks.iter().find_map(|block| block.bad) {
            let tensor = variant.tensor_name(tensor);
            return Err(SaeError::Diverged { step: moments.updates - 1, tensor });
        }
        drop(blocks);
        let mut bias = bias_gradient(&variant, ws);
        bias.iter_mut().for_each(|g| *g *= scale);
        if bias.iter().any(|g| !g.is_finite()) {
            return Err(SaeError::Diverged { step: moments.updates - 1, tensor: "b_dec" });
        }
        let slice = "a vector is contiguous";
        step.apply(
            sae.weights_mut().b_dec.as_slice_mut().expect(slice),
            moments.first.b_dec.as_slice_mut().expect(slice),
            moments.second.b_dec.as_slice_mut().expect(slice),
            &bias,
        );
        Ok(losses)
    })
}

fn trainable<F: Scalar>(sae: &Sae<F>) -> Result<(), SaeError> {
    if let Variant::JumpRelu(_) = sae.variant() {
        let architecture = sae.variant().name();
        return Err(SaeError::Unsupported { operation: "the gradient", architecture });
    }
    Ok(())
}

fn check(value: f64, step: u64, tensor: &'static str) -> Result<(), SaeError> {
    if value.is_finite() { Ok(()) } else { Err(SaeError::Diverged { step, tensor }) }
}

/// Everything before the latents are visited: product, selection, residuals, losses.
fn begin<F: Scalar, R: Rule<F>>(
    rule: &R,
    sae: &Sae<F>,
    x: &ArrayRef2<F>,
    settings: &Settings<'_>,
    ws: &mut Workspace<F>,
    step: u64,
) -> Result<Losses, SaeError> {
    let (b, d) = x.dim();
    if b == 0 {
        return Err(SaeError::OutOfRange { name: "rows of the batch", expected: "at least 1", given: 0.0 });
    }
    let variant = *sae.variant();
    let aux_k = match variant {
        Variant::TopK(top) if !settings.dead.is_empty() => top.aux,
        _ => None,
    };
    ws.prepare(rule, sae, x, settings.penalty, R::TWO_DECODES || aux_k.is_some());
    let weights = sae.weights();
    let bias = weights.b_dec.as_slice().expect("contiguous");
    let subtract = variant.input_bias() == InputBias::Subtracted;
    for (mut to, from) in ws.input.rows_mut().into_iter().zip(x.rows()) {
        if subtract {
            ndarray::Zip::from(&mut to).and(&from).and(&weights.b_dec).for_each(|t, &x, &b| *t = x - b);
        } else {
            to.assign(&from);
        }
    }
    matmul_into(F::one(), &ws.input, &weights.w_enc.t(), F::zero(), &mut ws.products)?;
    // x = input + b_dec or input: the rows are read through `offset` so that x need not be contiguous.
    let offset = |i: usize| if subtract { bias[i] } else { F::zero() };
    let dense = match settings.path {
        Path::Sparse => false,
        Path::Dense => R::ELEMENTWISE,
        Path::Auto => R::ELEMENTWISE && density(rule, ws) > DENSE_ABOVE,
    };
    if dense {
        dense::forward(rule, weights, offset, ws)?;
    } else {
        sparse::forward(rule, weights, offset, settings.dead, aux_k.map_or(0, |a| a.k), ws);
    }
    let rows = b as f64;
    let mut sums = RowSums::default();
    for block in &ws.rows {
        sums.residual2 += block.sums.residual2;
        sums.aux2 += block.sums.aux2;
        sums.penalised += block.sums.penalised;
        sums.active += block.sums.active;
        sums.input2 += block.sums.input2;
        sums.input_residual += block.sums.input_residual;
    }
    let mut losses = Losses {
        reconstruction: sums.residual2 / rows,
        sparsity: sums.penalised / rows,
        auxiliary: sums.aux2 / rows,
        l0: sums.active as f64 / rows,
        input_norm2: sums.input2 / rows,
        // x̂ = x + e
        output_norm2: (sums.input2 + 2.0 * sums.input_residual + sums.residual2) / rows,
        input_output: (sums.input2 + sums.input_residual) / rows,
        dense,
        ..Losses::default()
    };
    let mut aux_scale = 0.0;
    losses.total = losses.reconstruction + settings.penalty * losses.sparsity;
    if let Some(aux) = aux_k {
        let mut mean2 = 0.0;
        for column in 0..d {
            let sum: f64 = ws.rows.iter().map(|block| block.residual_sum[column].to_f64()).sum();
            mean2 += (sum / rows).powi(2);
        }
        let variance = losses.reconstruction - mean2;
        // A residual without variance has nothing for dead latents to explain.
        if variance > 0.0 {
            aux_scale = aux.alpha / variance;
            losses.auxiliary /= variance;
        } else {
            losses.auxiliary = 0.0;
        }
        losses.total += aux.alpha * losses.auxiliary;
    } else {
        losses.total += losses.auxiliary;
    }
    ws.dense.aux_scale = F::from_f64(aux_scale);
    check(losses.reconstruction, step, "the reconstruction loss")?;
    check(losses.sparsity, step, "the sparsity loss")?;
    check(losses.auxiliary, step, "the auxiliary loss")?;
    Ok(losses)
}

/// The share of active latents in every eighth row.
fn density<F: Scalar, R: Rule<F>>(rule: &R, ws: &Workspace<F>) -> f64 {
    let (mut active, mut seen) = (0usize, 0usize);
    for row in ws.products.rows().into_iter().step_by(8) {
        seen += row.len();
        for (i, &product) in row.iter().enumerate() {
            active += usize::from(rule.activate(constants_of(&ws.constants, i), i, product).is_some());
        }
    }
    active as f64 / seen.max(1) as f64
}

pub(crate) fn constants_of<F: Scalar>(constants: &[Vec<F>; 3], latent: usize) -> [F; 3] {
    [0, 1, 2].map(|j| constants[j].get(latent).copied().unwrap_or(F::zero()))
}

/// ∂L/∂b_dec: through both decodes and through the centred input.
fn bias_gradient<F: Scalar>(variant: &Variant, ws: &Workspace<F>) -> Vec<F> {
    let d = ws.input.ncols();
    let two = F::from_f64(2.0 / ws.input.nrows() as f64);
    let mut gradient = vec![F::zero(); d];
    for block in &ws.rows {
        axpy(two, &block.residual_sum, &mut gradient);
        if variant.aux_trains_bias() {
            axpy(two, &block.aux_sum, &mut gradient);
        }
    }
    if variant.input_bias() == InputBias::Subtracted {
        ws.latents.iter().for_each(|block| axpy(-F::one(), &block.bias, &mut gradient));
    }
    gradient
}
