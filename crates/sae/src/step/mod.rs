//! One training step: a dense encoder product, then work on the active latents only.
//!
//! Rows are handled in fixed blocks, latents in fixed blocks, and every sum over blocks runs in their order: the same
//! bits on any number of threads. The passes are `select` (rows: which latents are active), `decode` (rows: residuals and
//! inner products) and [`latents`](crate::step::latents) (latents: gather the gradient rows, update). Between the first two
//! stands what needs the whole batch.

mod batch;
mod buffer_pool;
mod dense;
pub(crate) mod latents;
mod sparse;
pub(crate) mod workspace;

use crate::float::Float;
use crate::members::matching_pursuit;
use crate::members::rule::Rule;
use crate::step::latents::{CollectBlock, NormBlock, Split, StepBlock};
use crate::step::workspace::{RowSums, Workspace, set_constants, set_norms, tiled};
use crate::train::adam::{Adam, Moments, Update};
use crate::{AuxScale, InputBias, Sae, SaeError, Variant, Weights};
use collimate_tensor::{PackedMatrix, Scalar, axpy, matmul_into};
use ndarray::{ArrayRef2, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Rows in one task.
pub(crate) const ROW_BLOCK: usize = 64;
/// Below this many entries of the product the blocks run on the calling thread.
pub(crate) const SERIAL: usize = 1 << 15;
/// Above this share of active latents, products over all latents are faster than work on the active ones.
const DENSE_ABOVE: f64 = 0.2;

/// What a step minimises besides the parameters of the variant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings<'a> {
    /// The coefficient λ of the penalty, for a loss that sums over the dimensions and averages over the rows.
    pub penalty: f64,
    /// The latents that count as dead, ascending; they get the auxiliary loss or the pull of members that have one.
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
    /// By products over all latents; members that compare latents with each other have no such path and stay sparse.
    Dense,
}

/// The terms of the loss of one batch, and sums from which the batch's metrics follow.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// What is minimised.
    pub total: f64,
    /// Mean over rows of ‖x − x̂‖².
    pub reconstruction: f64,
    /// Mean over rows of the penalty, without λ; zero for members without one.
    pub sparsity: f64,
    /// The auxiliary term: the gated one, AuxK without α, or the pre-activation loss of JumpReLU.
    pub auxiliary: f64,
    /// Further reconstructions with their weights: of 4k latents (multi-TopK), of the inner levels (Matryoshka).
    pub further: f64,
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
    /// The smallest score that was kept, for members that select over the batch; zero when nothing was.
    pub smallest_kept: f64,
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
            Variant::PNorm($rule) => $body,
            Variant::Gated($rule) => $body,
            Variant::RescaleAndShift($rule) => $body,
            Variant::JumpRelu($rule) => $body,
            Variant::TopK($rule) => $body,
            Variant::BatchTopK($rule) => $body,
            Variant::Matryoshka($rule) => $body,
            Variant::AbsTopK($rule) => $body,
            Variant::Crosscoder($rule) => $body,
            Variant::MatchingPursuit(_) => unreachable!("a pursuit has steps of its own"),
        }
    };
}

/// The codes of some rows.
pub(crate) fn encode<F: Float>(
    sae: &Sae<F>,
    x: &ArrayRef2<F>,
) -> Result<collimate_tensor::SparseRows<F>, SaeError> {
    if let Variant::MatchingPursuit(pursuit) = sae.variant() {
        return matching_pursuit::encode(pursuit, sae, x);
    }
    with_rule!(sae.variant(), rule => {
        let mut constants: [Vec<F>; 3] = Default::default();
        set_constants(rule, sae.weights(), &mut constants);
        let mut norms = Vec::new();
        set_norms(sae.variant(), sae.weights(), &mut norms);
        sparse::encode(rule, sae, &constants, &norms, x)
    })
}

/// The loss of a batch and its gradient with respect to every parameter.
pub(crate) fn gradient<F: Float>(
    sae: &Sae<F>,
    x: &ArrayRef2<F>,
    y: &ArrayRef2<F>,
    settings: &Settings<'_>,
    ws: &mut Workspace<F>,
) -> Result<(Losses, Weights<F>), SaeError> {
    let variant = sae.variant();
    if let Variant::MatchingPursuit(_) = variant {
        not_empty(x)?;
        let (losses, gradient, active) = matching_pursuit::gradient(sae, x, 0)?;
        ws.active = active;
        return Ok((losses, gradient));
    }
    with_rule!(variant, rule => {
        let mut losses = begin(rule, sae, x, y, settings, ws, 0)?;
        let weights = sae.weights();
        let mut gradient = Weights::zeros_like(weights);
        let blocks = Split::of(weights).into_iter().zip(Split::of_mut(&mut gradient));
        let mut blocks: Vec<_> = blocks.map(|(weights, out)| CollectBlock { weights, out }).collect();
        latents::run(rule, variant, settings, ws, &mut blocks, &mut losses)?;
        drop(blocks);
        let bias = bias_gradient(variant, ws);
        gradient.b_dec.iter_mut().zip(bias).for_each(|(g, value)| *g = value);
        Ok((losses, gradient))
    })
}

/// One update of every parameter.
pub(crate) fn update<F: Float>(
    sae: &mut Sae<F>,
    moments: &mut Moments<F>,
    x: &ArrayRef2<F>,
    y: &ArrayRef2<F>,
    settings: &Settings<'_>,
    adam: &Adam,
    learning_rate: f64,
    ws: &mut Workspace<F>,
) -> Result<Losses, SaeError> {
    let variant = *sae.variant();
    let project = variant.unit_norm_decoder();
    if let Variant::MatchingPursuit(_) = variant {
        not_empty(x)?;
        let (mut losses, gradient, active) = matching_pursuit::gradient(sae, x, moments.updates)?;
        ws.active = active;
        let mut scale = F::one();
        if let Some(clip) = settings.clip {
            let mut blocks: Vec<_> =
                Split::of(sae.weights()).into_iter().map(|w| NormBlock::new(w, project)).collect();
            latents::apply(&gradient, &mut blocks);
            let of_latents: f64 = blocks.iter().map(|b| b.sum_of_squares).sum();
            let of_bias: f64 = gradient.b_dec.iter().map(|&g| g.to_f64().powi(2)).sum();
            losses.gradient_norm = (of_latents + of_bias).sqrt();
            scale = clipped(losses.gradient_norm, clip, moments.updates)?;
        }
        moments.updates += 1;
        let step = Update::new(adam, learning_rate, moments.updates);
        let mut blocks = step_blocks(&variant, sae.weights_mut(), moments, step, scale);
        latents::apply(&gradient, &mut blocks);
        let bad = blocks.iter().find_map(|block| block.bad);
        drop(blocks);
        named(&variant, bad, moments.updates - 1)?;
        update_bias(sae, moments, scale, gradient.b_dec.to_vec(), &step)?;
        let weights = sae.weights_mut();
        weights.w_enc.assign(&weights.w_dec);
        return Ok(losses);
    }
    with_rule!(&variant, rule => {
        let mut losses = begin(rule, sae, x, y, settings, ws, moments.updates)?;
        let mut scale = F::one();
        if let Some(clip) = settings.clip {
            let mut blocks: Vec<_> =
                Split::of(sae.weights()).into_iter().map(|w| NormBlock::new(w, project)).collect();
            latents::run(rule, &variant, settings, ws, &mut blocks, &mut losses)?;
            let of_latents: f64 = blocks.iter().map(|b| b.sum_of_squares).sum();
            let of_bias: f64 = bias_gradient(&variant, ws).iter().map(|&g| g.to_f64().powi(2)).sum();
            losses.gradient_norm = (of_latents + of_bias).sqrt();
            scale = clipped(losses.gradient_norm, clip, moments.updates)?;
        }
        moments.updates += 1;
        let step = Update::new(adam, learning_rate, moments.updates);
        let mut blocks = step_blocks(&variant, sae.weights_mut(), moments, step, scale);
        latents::run(rule, &variant, settings, ws, &mut blocks, &mut losses)?;
        let bad = blocks.iter().find_map(|block| block.bad);
        drop(blocks);
        named(&variant, bad, moments.updates - 1)?;
        if variant.trains_bias() {
            let bias = bias_gradient(&variant, ws);
            update_bias(sae, moments, scale, bias, &step)?;
        }
        Ok(losses)
    })
}

/// The blocks of latents with everything that an update changes.
fn step_blocks<'a, F: Scalar>(
    variant: &Variant,
    weights: &'a mut Weights<F>,
    moments: &'a mut Moments<F>,
    step: Update<F>,
    scale: F,
) -> Vec<StepBlock<'a, F>> {
    let (project, not_negative) = (variant.unit_norm_decoder(), variant.not_negative());
    Split::of_mut(weights)
        .into_iter()
        .zip(Split::of_mut(&mut moments.first))
        .zip(Split::of_mut(&mut moments.second))
        .map(|((weights, m), v)| StepBlock { weights, m, v, step, scale, project, not_negative, bad: None })
        .collect()
}

/// Names the tensor whose gradient was not finite.
fn named(variant: &Variant, bad: Option<usize>, step: u64) -> Result<(), SaeError> {
    bad.map_or(Ok(()), |tensor| Err(SaeError::Diverged { step, tensor: variant.tensor_name(tensor) }))
}

/// The factor by which clipping scales a gradient.
fn clipped<F: Scalar>(norm: f64, clip: f64, step: u64) -> Result<F, SaeError> {
    check(norm, step, "the gradient")?;
    Ok(F::from_f64((clip / (norm + 1e-6)).min(1.0)))
}

fn update_bias<F: Scalar>(
    sae: &mut Sae<F>,
    moments: &mut Moments<F>,
    scale: F,
    mut bias: Vec<F>,
    step: &Update<F>,
) -> Result<(), SaeError> {
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
    Ok(())
}

fn not_empty<F>(x: &ArrayRef2<F>) -> Result<(), SaeError> {
    if x.nrows() == 0 {
        return Err(SaeError::OutOfRange { name: "rows of the batch", expected: "at least 1", given: 0.0 });
    }
    Ok(())
}

pub(crate) fn check(value: f64, step: u64, tensor: &'static str) -> Result<(), SaeError> {
    if value.is_finite() { Ok(()) } else { Err(SaeError::Diverged { step, tensor }) }
}

/// The gate rows of the encoder: all of each row, or its first half where the magnitude path is untied.
pub(crate) fn gate_rows<F: Float>(sae: &Sae<F>) -> ArrayView2<'_, F> {
    sae.weights().w_enc.slice(s![.., ..sae.input_width()])
}

/// Packs the encoder in the place of the last.
pub(crate) fn pack<F: Scalar>(
    encoder: &ArrayRef2<F>,
    packed: &mut Option<PackedMatrix<F>>,
) -> Result<(), SaeError> {
    match packed {
        Some(packed) if packed.shape() == (encoder.ncols(), encoder.nrows()) => {
            packed.repack(&encoder.t())?
        }
        _ => *packed = Some(PackedMatrix::new(&encoder.t())),
    }
    Ok(())
}

/// Everything before the latents are visited: product, selection, residuals, losses.
fn begin<F: Float, R: Rule<F>>(
    rule: &R,
    sae: &Sae<F>,
    x: &ArrayRef2<F>,
    y: &ArrayRef2<F>,
    settings: &Settings<'_>,
    ws: &mut Workspace<F>,
    step: u64,
) -> Result<Losses, SaeError> {
    not_empty(x)?;
    let (b, d) = y.dim();
    let variant = *sae.variant();
    ws.prepare(rule, sae, b, settings);
    let weights = sae.weights();
    let subtract = variant.input_bias() == InputBias::Subtracted;
    let input = ws.input.axis_chunks_iter_mut(Axis(0), ROW_BLOCK);
    let mut tasks: Vec<_> = input.zip(x.axis_chunks_iter(Axis(0), ROW_BLOCK)).collect();
    each(ws.serial, &mut tasks, |_, (to, from)| {
        to.assign(from);
        if subtract {
            *to -= &weights.b_dec;
        }
    });
    if tiled(rule, b) {
        pack(&gate_rows(sae), &mut ws.packed)?;
    } else {
        matmul_into(F::one(), &ws.input, &gate_rows(sae).t(), F::zero(), &mut ws.products)?;
    }
    let y = y.as_standard_layout();
    let target = y.as_slice().expect("standard layout");
    let elementwise = R::ELEMENTWISE && !variant.untied();
    let dense = match settings.path {
        Path::Sparse => false,
        Path::Dense => elementwise,
        Path::Auto => elementwise && sparse::density(rule, sae, ws) > DENSE_ABOVE,
    };
    let mut losses = Losses { dense, ..Losses::default() };
    if dense {
        dense::forward(rule, weights, target, ws)?;
    } else {
        losses.smallest_kept = sparse::select(rule, sae, settings, ws)?;
    }
    losses.sparsity = penalties(rule, ws);
    if dense {
        dense::residual_sums(target, ws);
    } else {
        sparse::decode(rule, sae, target, settings, ws);
    }
    let rows = b as f64;
    let mut sums = RowSums::default();
    for block in &ws.rows {
        sums.residual2 += block.sums.residual2;
        sums.aux2 += block.sums.aux2;
        sums.revive2 += block.sums.revive2;
        sums.inner += block.sums.inner;
        sums.extra += block.sums.extra;
        sums.active += block.sums.active;
        sums.input2 += block.sums.input2;
        sums.input_residual += block.sums.input_residual;
    }
    losses.reconstruction = sums.residual2 / rows;
    losses.l0 = sums.active as f64 / rows;
    losses.input_norm2 = sums.input2 / rows;
    // x̂ = y + e
    losses.output_norm2 = (sums.input2 + 2.0 * sums.input_residual + sums.residual2) / rows;
    losses.input_output = (sums.input2 + sums.input_residual) / rows;
    losses.further = sums.inner / rows;
    losses.auxiliary = sums.extra / rows;
    losses.total = losses.reconstruction + settings.penalty * losses.sparsity;
    match (variant, rule.second()) {
        (Variant::TopK(_), Some(weight)) => losses.further = weight.to_f64() * sums.aux2 / rows,
        (_, Some(_)) => losses.auxiliary = sums.aux2 / rows,
        _ => {}
    }
    if let Variant::Matryoshka(nested) = variant {
        // The last level is the reconstruction, with a weight of its own.
        let last = nested.levels.weights().last().copied().unwrap_or(1.0);
        losses.total += (last - 1.0) * losses.reconstruction;
    }
    losses.total += losses.further;
    ws.aux_scale = F::zero();
    match variant.aux().filter(|_| !settings.dead.is_empty()) {
        None => losses.total += losses.auxiliary,
        Some(aux) => {
            let mean2: f64 = (0..d)
                .map(|column| ws.rows.iter().map(|block| block.residual_sum[column].to_f64()).sum::<f64>())
                .map(|sum| (sum / rows).powi(2))
                .sum();
            let variance = losses.reconstruction - mean2;
            let factor = match aux.scale {
                AuxScale::FewDead => (settings.dead.len() as f64 / aux.k as f64).min(1.0),
                // Each level has a share of its own, and its entries bring it.
                AuxScale::FewDeadOfLevel => 1.0,
                // A residual without variance has nothing for dead latents to explain.
                AuxScale::ResidualVariance if variance > 0.0 => 1.0 / variance,
                AuxScale::ResidualVariance => 0.0,
            };
            ws.aux_scale = F::from_f64(aux.alpha * factor);
            losses.auxiliary = factor * sums.revive2 / rows;
            losses.total += aux.alpha * losses.auxiliary;
        }
    }
    check(losses.reconstruction, step, "the reconstruction loss")?;
    check(losses.sparsity, step, "the sparsity loss")?;
    check(losses.auxiliary, step, "the auxiliary loss")?;
    check(losses.further, step, "a further reconstruction loss")?;
    Ok(losses)
}

/// The mean penalty, and in place of Σ q of each row the derivative of its penalty with respect to that.
fn penalties<F: Float, R: Rule<F>>(rule: &R, ws: &mut Workspace<F>) -> f64 {
    let rows = ws.input.nrows() as f64;
    let all: f64 = ws.rows.iter().flat_map(|block| &block.penalties).map(|&q| q.to_f64()).sum();
    let batch = F::from_f64(all / rows);
    let mut total = 0.0;
    for q in ws.rows.iter_mut().flat_map(|block| &mut block.penalties) {
        let (value, slope) = rule.penalty(*q, batch);
        total += value.to_f64();
        *q = slope;
    }
    total / rows
}

pub(crate) fn constants_of<F: Scalar>(constants: &[Vec<F>; 3], latent: usize) -> [F; 3] {
    [0, 1, 2].map(|j| constants[j].get(latent).copied().unwrap_or(F::zero()))
}

/// ∂L/∂b_dec: through all decodes and through the centred input.
fn bias_gradient<F: Float>(variant: &Variant, ws: &Workspace<F>) -> Vec<F> {
    let mut gradient = vec![F::zero(); ws.residual.ncols()];
    if !variant.trains_bias() {
        return gradient;
    }
    let two = F::from_f64(2.0 / ws.input.nrows() as f64);
    let of_aux = match variant {
        Variant::TopK(top) => two * F::from_f64(top.multi.map_or(0.0, |multi| multi.weight)),
        _ => two,
    };
    for block in &ws.rows {
        // With nested levels the sum of all weighted residuals stands in the place of the second decode.
        if variant.levels().is_none() {
            axpy(two, &block.residual_sum, &mut gradient);
        }
        if variant.aux_trains_decoder() || variant.levels().is_some() {
            axpy(of_aux, &block.aux_sum, &mut gradient);
        }
    }
    if variant.input_bias() == InputBias::Subtracted {
        ws.latents.iter().for_each(|block| axpy(-F::one(), &block.bias, &mut gradient));
    }
    gradient
}
