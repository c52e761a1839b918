//! The optimiser: clipping, the updates of Adam, and the checks that a gradient is finite.

use crate::error::SaeError;
use crate::float::Float;
use crate::members::member::Member;
use crate::step::adam::{AdamMoments, AdamParameters, Update};
use crate::step::sinks::{NormBlock, Sink, Split, StepBlock};
use crate::weights::Weights;
use collimate_tensor::Scalar;

/// The optimiser of one step.
#[derive(Clone, Copy)]
pub(crate) struct Optimiser<'a> {
    pub(crate) adam: &'a AdamParameters,
    pub(crate) learning_rate: f64,
}

/// Visits every latent with its gradient: the last pass of a step, for some sinks.
pub(crate) type Visit<'a, F> = dyn FnMut(&mut [&mut dyn Sink<F>]) -> Result<(), SaeError> + 'a;

/// Returns an error unless a value is finite.
pub(crate) fn finite(value: f64, step: u64, tensor: &'static str) -> Result<(), SaeError> {
    if value.is_finite() { Ok(()) } else { Err(SaeError::Diverged { step, tensor }) }
}

/// Computes the norm of the gradient of all latents: the square root of the sum of squares, decoder part projected.
pub(crate) fn sum_of_squares<F: Float>(
    member: &Member,
    weights: &Weights<F>,
    visit: &mut Visit<'_, F>,
) -> Result<f64, SaeError> {
    let project = member.unit_norm_decoder();
    let mut blocks: Vec<_> = Split::of(weights).into_iter().map(|w| NormBlock::new(w, project)).collect();
    let mut sinks: Vec<&mut dyn Sink<F>> = blocks.iter_mut().map(|block| block as _).collect();
    visit(&mut sinks)?;
    Ok(blocks.iter().map(|block| block.sum_of_squares).sum())
}

/// Returns the factor by which clipping scales a gradient of the given norm.
pub(crate) fn clipped<F: Scalar>(norm: f64, clip: f64, step: u64) -> Result<F, SaeError> {
    finite(norm, step, "the gradient")?;
    Ok(F::from_f64((clip / (norm + 1e-6)).min(1.0)))
}

/// Updates the parameters of every latent.
///
/// # Errors
/// [`SaeError::Diverged`] with the tensor whose gradient is not finite.
pub(crate) fn update_latents<F: Float>(
    member: &Member,
    weights: &mut Weights<F>,
    moments: &mut AdamMoments<F>,
    update: Update<F>,
    scale: F,
    visit: &mut Visit<'_, F>,
) -> Result<(), SaeError> {
    let (project, not_negative) = (member.unit_norm_decoder(), member.not_negative);
    let split = Split::of_mut(weights).into_iter();
    let moments_of = Split::of_mut(&mut moments.first).into_iter().zip(Split::of_mut(&mut moments.second));
    let mut blocks: Vec<_> = split
        .zip(moments_of)
        .map(|(weights, (m, v))| StepBlock {
            weights,
            m,
            v,
            step: update,
            scale,
            project,
            not_negative,
            bad: None,
        })
        .collect();
    let mut sinks: Vec<&mut dyn Sink<F>> = blocks.iter_mut().map(|block| block as _).collect();
    visit(&mut sinks)?;
    match blocks.iter().find_map(|block| block.bad) {
        None => Ok(()),
        Some(tensor) => {
            Err(SaeError::Diverged { step: moments.updates - 1, tensor: member.tensor_name(tensor) })
        }
    }
}

/// Updates the decoder bias.
///
/// # Errors
/// [`SaeError::Diverged`] unless its gradient and the squares of it are finite.
pub(crate) fn update_bias<F: Float>(
    weights: &mut Weights<F>,
    moments: &mut AdamMoments<F>,
    update: &Update<F>,
    scale: F,
    mut gradient: Vec<F>,
) -> Result<(), SaeError> {
    gradient.iter_mut().for_each(|g| *g *= scale);
    if gradient.iter().any(|&g| !(g * g).is_finite()) {
        return Err(SaeError::Diverged { step: moments.updates - 1, tensor: "b_dec" });
    }
    let slice = "a vector is contiguous";
    update.apply(
        weights.b_dec.as_slice_mut().expect(slice),
        moments.first.b_dec.as_slice_mut().expect(slice),
        moments.second.b_dec.as_slice_mut().expect(slice),
        &gradient,
    );
    Ok(())
}
