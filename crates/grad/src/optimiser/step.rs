//! The trait of optimisers, and the checks that they share.

use crate::error::GradError;
use crate::kernels::{Precision, first_non_finite};
use collimate_measure::{OutOfRange, ensure, same_length};
use collimate_tensor::Scalar;
use std::ops::Range;

/// The number of elements that a thread takes at a time. Slices of fewer than four blocks are computed on one thread.
pub(super) const BLOCK: usize = 1 << 14;

/// Anything that updates parameters along a gradient.
///
/// The learning rate is an argument of every step, so that a [`crate::Schedule`] stays outside the optimiser.
pub trait Optimiser<F: Scalar>: Send {
    /// Returns the number of parameters.
    fn n_parameters(&self) -> usize;

    /// Updates the parameters `w` once.
    ///
    /// # Errors
    /// [`GradError::Length`] for slices of another length, [`GradError::NonFinite`] for a gradient with NaN or infinity, and
    /// [`GradError::OutOfRange`] for a rate that is negative or non-finite. [`Adam`](crate::Adam) returns [`GradError::TooLarge`] for a
    /// finite gradient whose square is infinite. After an error, parameters and state are unchanged.
    fn step(&mut self, rate: f64, gradient: &[F], w: &mut [F]) -> Result<(), GradError>;

    /// Resets the state of a range of parameters to that of new parameters.
    ///
    /// # Errors
    /// [`GradError::Range`] for a range that is reversed or ends after the last parameter.
    fn reset(&mut self, range: Range<usize>) -> Result<(), GradError>;
}

/// Checks the arguments of a step.
pub(super) fn check_step<F: Precision>(
    n: usize,
    rate: f64,
    gradient: &[F],
    w: &[F],
) -> Result<(), GradError> {
    same_length("gradient", n, gradient.len())?;
    same_length("w", n, w.len())?;
    non_negative("rate", rate)?;
    match first_non_finite(gradient) {
        Some((index, value)) => Err(GradError::NonFinite { argument: "gradient", index, value }),
        None => Ok(()),
    }
}

/// Returns the range if it lies within `len` parameters, and an error otherwise.
pub(super) fn check_range(range: Range<usize>, len: usize) -> Result<Range<usize>, GradError> {
    if range.start <= range.end && range.end <= len {
        Ok(range)
    } else {
        Err(GradError::Range { range, len })
    }
}

/// Returns an error unless `0 ≤ value < 1`.
pub(super) fn decay_rate(name: &'static str, value: f64) -> Result<(), OutOfRange> {
    ensure((0.0..1.0).contains(&value), name, "in [0, 1)", value)
}

/// Returns an error unless `value` is finite and at least 0.
pub(super) fn non_negative(name: &'static str, value: f64) -> Result<(), OutOfRange> {
    ensure(value >= 0.0 && value.is_finite(), name, "at least 0 and finite", value)
}
