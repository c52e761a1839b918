//! One update of a dictionary, from top to bottom.
//!
//! ```text
//! x ── Inputs::set ──▶ Inputs ── select ──▶ Codes ── decode, with y ──▶ Residuals ── gather ──▶ gradients ──▶ optimiser
//! ```
//! Rows are handled in fixed blocks, latents in fixed blocks, and every sum over blocks runs in their order: the same bits on
//! any number of threads. The gradient is never written out: each latent gathers its own rows and hands them to a sink, which
//! updates the parameters at once.

use crate::error::SaeError;
use crate::float::Float;
use crate::members::aux_k::AuxScale;
use crate::members::choices::InputBias;
use crate::members::matching_pursuit::MatchingPursuit;
use crate::members::member::Member;
use crate::members::rule::{Constants, Rule};
use crate::members::variant::Variant;
use crate::step::adam::{AdamMoments, Update};
use crate::step::codes::{density, select};
use crate::step::gather::gather;
use crate::step::optimise::{Optimiser, clipped, finite, sum_of_squares, update_bias, update_latents};
use crate::step::residuals::decode;
use crate::step::settings::{Losses, Path, SERIAL, Settings};
use crate::step::sinks::{CollectBlock, Sink, Split, apply};
use crate::step::task::Task;
use crate::step::workspace::{Passes, Workspace};
use crate::step::{dense, pursuit};
use crate::weights::Weights;
use collimate_measure::ensure;
use collimate_tensor::axpy;
use ndarray::ArrayRef2;

/// The share of active latents above which products over all latents are faster than work on the active ones.
const DENSE_ABOVE: f64 = 0.2;

/// The rows of a step, and the rows that it reconstructs from them.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a, F> {
    pub(crate) x: &'a ArrayRef2<F>,
    pub(crate) y: &'a ArrayRef2<F>,
}

/// Makes one update of every parameter.
pub(crate) fn update<F: Float>(
    variant: &Variant,
    weights: &mut Weights<F>,
    moments: &mut AdamMoments<F>,
    batch: Batch<'_, F>,
    settings: &Settings<'_>,
    optimiser: Optimiser<'_>,
    workspace: &mut Workspace<F>,
) -> Result<Losses, SaeError> {
    ensure(batch.x.nrows() > 0, "rows of the batch", "at least 1", 0.0)?;
    let Some(rule) = variant.rule() else {
        return update_pursuit(variant, weights, moments, batch, settings, optimiser, workspace);
    };
    let member = variant.member();
    let Workspace { constants, passes } = workspace;
    constants.set(rule, &member, weights, settings);
    let task = task(rule, member, weights, constants, settings, batch);
    let mut losses = forward(&task, weights, batch, passes, moments.updates)?;
    let mut source = Gathered { task: &task, passes, dense: losses.dense };
    step(&member, weights, moments, settings.clip, optimiser, &mut losses, &mut source)?;
    Ok(losses)
}

/// Computes the loss of a batch and its gradient with respect to every parameter.
pub(crate) fn gradient<F: Float>(
    variant: &Variant,
    weights: &Weights<F>,
    batch: Batch<'_, F>,
    settings: &Settings<'_>,
    workspace: &mut Workspace<F>,
) -> Result<(Losses, Weights<F>), SaeError> {
    ensure(batch.x.nrows() > 0, "rows of the batch", "at least 1", 0.0)?;
    let Workspace { constants, passes } = workspace;
    let Some(rule) = variant.rule() else {
        let (losses, gradient, active) = pursuit::gradient(pursuit_of(variant), weights, batch.x, 0)?;
        passes.active = active;
        return Ok((losses, gradient));
    };
    let member = variant.member();
    constants.set(rule, &member, weights, settings);
    let task = task(rule, member, weights, constants, settings, batch);
    let losses = forward(&task, weights, batch, passes, 0)?;
    let mut gradient = Weights::zeros_like(weights);
    let blocks = Split::of(weights).into_iter().zip(Split::of_mut(&mut gradient));
    let mut blocks: Vec<_> = blocks.map(|(weights, out)| CollectBlock { weights, out }).collect();
    let mut sinks: Vec<&mut dyn Sink<F>> = blocks.iter_mut().map(|block| block as _).collect();
    backward(&task, passes, losses.dense, &mut sinks)?;
    let bias = bias_gradient(&task, passes);
    gradient.b_dec.iter_mut().zip(bias).for_each(|(g, value)| *g = value);
    Ok((losses, gradient))
}

fn task<'a, F: Float>(
    rule: &'a dyn Rule<F>,
    member: Member,
    weights: &Weights<F>,
    constants: &'a Constants<F>,
    settings: &'a Settings<'a>,
    batch: Batch<'_, F>,
) -> Task<'a, F> {
    let (rows, n_latents) = (batch.x.nrows(), weights.w_dec.nrows());
    Task { rule, member, constants, settings, rows, n_latents, serial: rows * n_latents < SERIAL }
}

/// Runs the passes over the rows: products, codes, residuals, losses.
fn forward<F: Float>(
    task: &Task<'_, F>,
    weights: &Weights<F>,
    batch: Batch<'_, F>,
    passes: &mut Passes<F>,
    step: u64,
) -> Result<Losses, SaeError> {
    passes.resize(task, weights.w_dec.ncols());
    let Passes { inputs, codes, residuals, dense, .. } = passes;
    let y = batch.y.as_standard_layout();
    let target = y.as_slice().expect("standard layout");
    inputs.set(task, weights, batch.x)?;
    let elementwise = task.rule.dense().is_some() && !task.member.untied;
    let on_all = match task.settings.path {
        Path::Sparse => false,
        Path::Dense => elementwise,
        Path::Auto => elementwise && density(task, weights, inputs) > DENSE_ABOVE,
    };
    let mut losses = Losses { dense: on_all, ..Losses::default() };
    if on_all {
        dense::forward(task, weights, target, inputs, &mut codes.penalties, residuals, dense)?;
    } else {
        losses.smallest_kept = select(task, weights, inputs, codes);
    }
    losses.sparsity = penalties(task, &mut codes.penalties);
    if on_all {
        dense::residual_sums(task, target, residuals);
    } else {
        decode(task, weights, target, codes, residuals);
    }
    reconstruction_losses(task, passes, &mut losses);
    finite(losses.reconstruction, step, "the reconstruction loss")?;
    finite(losses.sparsity, step, "the sparsity loss")?;
    finite(losses.auxiliary, step, "the auxiliary loss")?;
    finite(losses.further, step, "a further reconstruction loss")?;
    Ok(losses)
}

/// Returns the mean penalty, and replaces Σ q of each row by the derivative of its penalty.
fn penalties<F: Float>(task: &Task<'_, F>, penalties: &mut [F]) -> f64 {
    let rows = task.rows as f64;
    let all: f64 = penalties.iter().map(|&q| q.to_f64()).sum();
    let batch = F::from_f64(all / rows);
    let mut total = 0.0;
    for q in penalties {
        let (value, slope) = task.rule.penalty(*q, batch);
        total += value.to_f64();
        *q = slope;
    }
    total / rows
}

/// Computes the losses from the sums over the residuals, and the factor of the auxiliary loss.
fn reconstruction_losses<F: Float>(task: &Task<'_, F>, passes: &mut Passes<F>, losses: &mut Losses) {
    let (rows, sums) = (task.rows as f64, passes.residuals.sums());
    losses.reconstruction = sums.residual2 / rows;
    losses.l0 = sums.active as f64 / rows;
    losses.input_norm2 = sums.input2 / rows;
    // x̂ = y + e
    losses.output_norm2 = (sums.input2 + 2.0 * sums.input_residual + sums.residual2) / rows;
    losses.input_output = (sums.input2 + sums.input_residual) / rows;
    losses.further = sums.inner / rows;
    losses.auxiliary = sums.extra / rows;
    losses.total = losses.reconstruction + task.settings.penalty * losses.sparsity;
    match task.member.second {
        Some(second) if second.further => {
            losses.further = F::from_f64(second.weight).to_f64() * sums.aux2 / rows;
        }
        Some(_) => losses.auxiliary = sums.aux2 / rows,
        None => {}
    }
    if let Some(levels) = task.member.levels {
        // The last level is the reconstruction, with a weight of its own.
        let last = levels.weights().last().copied().unwrap_or(1.0);
        losses.total += (last - 1.0) * losses.reconstruction;
    }
    losses.total += losses.further;
    passes.residuals.aux_scale = F::zero();
    let Some(aux) = task.member.aux.filter(|_| task.revives()) else {
        losses.total += losses.auxiliary;
        return;
    };
    let blocks = &passes.residuals.blocks;
    let mean2: f64 = (0..passes.residuals.first.ncols())
        .map(|column| blocks.iter().map(|block| block.first_sum[column].to_f64()).sum::<f64>())
        .map(|sum| (sum / rows).powi(2))
        .sum();
    let variance = losses.reconstruction - mean2;
    let factor = match aux.scale {
        AuxScale::FewDead => (task.settings.dead.len() as f64 / aux.k as f64).min(1.0),
        // Each level has a factor of its own, which its entries carry.
        AuxScale::FewDeadOfLevel => 1.0,
        // A residual without variance leaves nothing for dead latents to explain.
        AuxScale::ResidualVariance if variance > 0.0 => 1.0 / variance,
        AuxScale::ResidualVariance => 0.0,
    };
    passes.residuals.aux_scale = F::from_f64(aux.alpha * factor);
    losses.auxiliary = factor * sums.revive2 / rows;
    losses.total += aux.alpha * losses.auxiliary;
}

/// Runs the pass over the latents: every latent's gradient goes to the sink of its block.
fn backward<F: Float>(
    task: &Task<'_, F>,
    passes: &mut Passes<F>,
    on_all: bool,
    sinks: &mut [&mut dyn Sink<F>],
) -> Result<(), SaeError> {
    let Passes { inputs, codes, residuals, dense, latents, active } = passes;
    if on_all {
        return dense::backward(task, inputs, &codes.penalties, residuals, dense, latents, active, sinks);
    }
    gather(task, inputs, codes, residuals, latents, active, sinks);
    Ok(())
}

/// Computes ∂L/∂b_dec: through all decodes and through the centred input.
fn bias_gradient<F: Float>(task: &Task<'_, F>, passes: &Passes<F>) -> Vec<F> {
    let mut gradient = vec![F::zero(); passes.residuals.first.ncols()];
    let member = &task.member;
    if !member.trains_bias {
        return gradient;
    }
    let two = F::from_f64(2.0 / task.rows as f64);
    let of_second = match member.second {
        Some(second) => two * F::from_f64(second.weight),
        None => two,
    };
    for block in &passes.residuals.blocks {
        // With nested levels, the sum of all weighted residuals replaces the two decodes.
        if member.levels.is_none() {
            axpy(two, &block.first_sum, &mut gradient);
        }
        if member.second_trains_decoder() || member.levels.is_some() {
            axpy(of_second, &block.second_sum, &mut gradient);
        }
    }
    if member.input_bias == InputBias::Subtracted {
        passes.latents.iter().for_each(|block| axpy(-F::one(), &block.bias, &mut gradient));
    }
    gradient
}

/// Returns the member of a matching pursuit.
pub(crate) fn pursuit_of(variant: &Variant) -> MatchingPursuit {
    match variant {
        Variant::MatchingPursuit(pursuit) => *pursuit,
        _ => unreachable!("every other member has a rule"),
    }
}

/// Makes one update of a matching pursuit: its gradient is written out, then the optimiser is the same.
fn update_pursuit<F: Float>(
    variant: &Variant,
    weights: &mut Weights<F>,
    moments: &mut AdamMoments<F>,
    batch: Batch<'_, F>,
    settings: &Settings<'_>,
    optimiser: Optimiser<'_>,
    workspace: &mut Workspace<F>,
) -> Result<Losses, SaeError> {
    let (mut losses, mut gradient, active) =
        pursuit::gradient(pursuit_of(variant), weights, batch.x, moments.updates)?;
    workspace.passes.active = active;
    step(&variant.member(), weights, moments, settings.clip, optimiser, &mut losses, &mut gradient)?;
    weights.w_enc.assign(&weights.w_dec);
    Ok(losses)
}

/// The gradient of a batch, which the optimiser asks for latent by latent: twice if the gradient is clipped.
trait Source<F> {
    /// Hands the gradient of each latent to the sink of its block.
    fn latents(&mut self, sinks: &mut [&mut dyn Sink<F>]) -> Result<(), SaeError>;

    /// Returns ∂L/∂b_dec, after a call of [`Source::latents`].
    fn bias(&self) -> Vec<F>;
}

/// A gradient that is gathered from the passes over the rows.
struct Gathered<'a, F: Float> {
    task: &'a Task<'a, F>,
    passes: &'a mut Passes<F>,
    dense: bool,
}

impl<F: Float> Source<F> for Gathered<'_, F> {
    fn latents(&mut self, sinks: &mut [&mut dyn Sink<F>]) -> Result<(), SaeError> {
        backward(self.task, self.passes, self.dense, sinks)
    }

    fn bias(&self) -> Vec<F> {
        bias_gradient(self.task, self.passes)
    }
}

/// A gradient that is written out.
impl<F: Float> Source<F> for Weights<F> {
    fn latents(&mut self, sinks: &mut [&mut dyn Sink<F>]) -> Result<(), SaeError> {
        apply(self, sinks);
        Ok(())
    }

    fn bias(&self) -> Vec<F> {
        self.b_dec.to_vec()
    }
}

/// Makes the optimiser's step with a gradient, clipped first if that is asked for.
fn step<F: Float>(
    member: &Member,
    weights: &mut Weights<F>,
    moments: &mut AdamMoments<F>,
    clip: Option<f64>,
    optimiser: Optimiser<'_>,
    losses: &mut Losses,
    gradient: &mut dyn Source<F>,
) -> Result<(), SaeError> {
    let mut scale = F::one();
    if let Some(clip) = clip {
        let of_latents = sum_of_squares(member, weights, &mut |sinks| gradient.latents(sinks))?;
        let of_bias: f64 = gradient.bias().iter().map(|&g| g.to_f64().powi(2)).sum();
        losses.gradient_norm = (of_latents + of_bias).sqrt();
        scale = clipped(losses.gradient_norm, clip, moments.updates)?;
    }
    moments.updates += 1;
    let update = Update::new(optimiser.adam, optimiser.learning_rate, moments.updates);
    update_latents(member, weights, moments, update, scale, &mut |sinks| gradient.latents(sinks))?;
    if member.trains_bias {
        update_bias(weights, moments, &update, scale, gradient.bias())?;
    }
    Ok(())
}
