//! What can be wrong with a caller's arguments, or with a search that did not end.

use collimate_grad::GradError;
use thiserror::Error;

/// Every way in which a function of this crate can fail.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum SuperpositionError {
    /// An array or slice has the wrong shape.
    #[error("{argument} has shape {given:?}, expected {expected:?}")]
    Shape {
        /// The name of the argument.
        argument: &'static str,
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape that came.
        given: Vec<usize>,
    },
    /// A number is NaN or infinite.
    #[error("{argument} holds {value} at flat index {index}; every entry must be finite")]
    NotFinite {
        /// The name of the argument.
        argument: &'static str,
        /// Where the number stands, in row-major order.
        index: usize,
        /// The number.
        value: f64,
    },
    /// A number lies outside the range in which the function is defined.
    #[error("{argument} is {given}, allowed is {allowed}")]
    OutOfRange {
        /// The name of the argument.
        argument: &'static str,
        /// The value that came.
        given: f64,
        /// The allowed range in words.
        allowed: &'static str,
    },
    /// A search for a critical point ended before its gradient was small enough.
    #[error("{search} stopped after {steps} steps with gradient {gradient:e}, wanted at most {tolerance:e}")]
    NotConverged {
        /// Which search.
        search: &'static str,
        /// Steps taken.
        steps: usize,
        /// The largest entry of the gradient at the end, in absolute value.
        gradient: f64,
        /// The largest gradient that counts as converged.
        tolerance: f64,
    },
    /// A training run left the finite numbers.
    #[error(
        "training left the finite numbers at step {step}: {quantity} is {value}; a smaller learning rate is needed"
    )]
    Diverged {
        /// The update, counted from 1, whose gradient or result is not finite.
        step: u64,
        /// What is not finite.
        quantity: &'static str,
        /// NaN or infinity.
        value: f64,
    },
}

impl SuperpositionError {
    /// What an optimiser that is fed slices of the right lengths can refuse at update `step`: a gradient that is not finite.
    pub(crate) fn diverged(step: u64, error: &GradError) -> Self {
        let value = if let GradError::NonFinite { value, .. } = error { *value } else { f64::NAN };
        Self::Diverged { step, quantity: "the gradient", value }
    }
}

/// Fails when a slice holds a number that is not finite.
pub(crate) fn require_finite<'a>(
    argument: &'static str,
    values: impl IntoIterator<Item = &'a f64>,
) -> Result<(), SuperpositionError> {
    match values.into_iter().enumerate().find(|(_, v)| !v.is_finite()) {
        Some((index, &value)) => Err(SuperpositionError::NotFinite { argument, index, value }),
        None => Ok(()),
    }
}

/// Fails when a shape is not the expected one.
pub(crate) fn require_shape(
    argument: &'static str,
    expected: &[usize],
    given: &[usize],
) -> Result<(), SuperpositionError> {
    if expected == given {
        return Ok(());
    }
    Err(SuperpositionError::Shape { argument, expected: expected.to_vec(), given: given.to_vec() })
}

/// Fails when a scalar lies outside a range given in words.
pub(crate) fn require(
    holds: bool,
    argument: &'static str,
    given: f64,
    allowed: &'static str,
) -> Result<(), SuperpositionError> {
    if holds { Ok(()) } else { Err(SuperpositionError::OutOfRange { argument, given, allowed }) }
}
