//! Optimisers: they turn a gradient and a learning rate into a step of the parameters.

mod adam;
mod clip;
mod sgd;

pub use adam::{Adam, AdamConfig, AdamState, EpsilonPlacement, ResetSteps, WeightDecay};
pub use clip::{clip_global_norm, global_norm};
pub use sgd::{Momentum, Sgd, SgdConfig, SgdState};

use crate::error::same_length;
use crate::{GradError, kernels};
use collimate_tensor::Scalar;
use std::ops::Range;

/// Elements a thread takes at a time; below four of these one thread does it all.
const BLOCK: usize = 1 << 14;

/// Anything that steps parameters along a gradient.
///
/// The learning rate is an argument of every step, so that a [`crate::Schedule`] stays outside the optimiser.
pub trait Optimiser<F: Scalar>: Send {
    /// How many parameters it holds state for.
    fn n_parameters(&self) -> usize;

    /// One step.
    ///
    /// # Errors
    /// [`GradError::Length`] for slices of another length, [`GradError::NonFinite`] when the gradient holds a NaN or
    /// infinity: then neither parameters nor state have changed. [`GradError::Config`] for a rate that is negative
    /// or not finite.
    fn step(&mut self, rate: f64, gradient: &[F], w: &mut [F]) -> Result<(), GradError>;

    /// Forgets the history of a range of parameters, as if they had just been made.
    ///
    /// # Errors
    /// [`GradError::Range`] when the range reaches outside the parameters.
    fn reset(&mut self, range: Range<usize>) -> Result<(), GradError>;
}

/// What every step checks before it touches anything.
fn check_step<F: Scalar>(n: usize, rate: f64, gradient: &[F], w: &[F]) -> Result<(), GradError> {
    same_length("gradient", n, gradient.len())?;
    same_length("w", n, w.len())?;
    if !(rate >= 0.0 && rate.is_finite()) {
        return Err(GradError::Config { name: "rate", value: rate, expected: "at least 0 and finite" });
    }
    match kernels::first_non_finite(gradient) {
        Some((index, value)) => Err(GradError::NonFinite { argument: "gradient", index, value }),
        None => Ok(()),
    }
}

/// The range, if it lies within `len` parameters.
fn check_range(range: Range<usize>, len: usize) -> Result<Range<usize>, GradError> {
    if range.start <= range.end && range.end <= len {
        Ok(range)
    } else {
        Err(GradError::Range { range, len })
    }
}

/// `Err` unless `0 ≤ value < 1`.
fn decay_rate(name: &'static str, value: f64) -> Result<(), GradError> {
    if (0.0..1.0).contains(&value) {
        Ok(())
    } else {
        Err(GradError::Config { name, value, expected: "in [0, 1)" })
    }
}

/// `Err` unless `value ≥ 0` and finite.
fn non_negative(name: &'static str, value: f64) -> Result<(), GradError> {
    if value >= 0.0 && value.is_finite() {
        Ok(())
    } else {
        Err(GradError::Config { name, value, expected: "at least 0 and finite" })
    }
}
