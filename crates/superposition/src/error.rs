//! The errors of this crate: bad arguments, searches that did not converge, training that diverged.

use collimate_grad::GradError;
use collimate_measure::OutOfRange;
use thiserror::Error;

/// An error of this crate.
///
/// The first three variants are about arguments, the last two about a search or a training run.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum SuperpositionError {
    /// An array or slice has the wrong shape.
    #[error("{argument} has shape {given:?}, expected {expected:?}")]
    Shape {
        /// The name of the argument.
        argument: &'static str,
        /// The expected shape.
        expected: Vec<usize>,
        /// The given shape.
        given: Vec<usize>,
    },
    /// A number is NaN or infinite.
    #[error("{argument} holds {value} at flat index {index}; every entry must be finite")]
    NotFinite {
        /// The name of the argument.
        argument: &'static str,
        /// The position of the number in row-major order.
        index: usize,
        /// The number.
        value: f64,
    },
    /// An argument lies outside the range in which the function is defined.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A search for a critical point ended before its gradient was small enough.
    #[error(
        "{search} stopped after {steps} steps with gradient {gradient:e}, expected at most {tolerance:e}"
    )]
    NotConverged {
        /// The name of the search.
        search: &'static str,
        /// The number of steps taken.
        steps: usize,
        /// The largest entry of the gradient at the end, in absolute value.
        gradient: f64,
        /// The largest gradient that counts as converged.
        tolerance: f64,
    },
    /// A training run produced a number that is not finite, or whose square is not.
    #[error("training diverged at step {step}: {quantity} is {value:e}; use a smaller learning rate")]
    Diverged {
        /// The update, counted from 1, whose gradient or result is not finite.
        step: u64,
        /// The name of the quantity that is not finite.
        quantity: &'static str,
        /// The value: NaN, infinity, or a number whose square is infinite.
        value: f64,
    },
}

impl SuperpositionError {
    /// Converts the error of a schedule or an optimiser whose configuration is out of range.
    pub(crate) fn configuration(error: GradError) -> Self {
        match error {
            GradError::OutOfRange(error) => Self::OutOfRange(error),
            other => unreachable!("a configuration has no other error: {other}"),
        }
    }

    /// Converts the error of an optimiser at update `step`. The lengths of the slices are right, so the gradient or its square is not
    /// finite.
    pub(crate) fn diverged(step: u64, error: &GradError) -> Self {
        let value = match error {
            GradError::NonFinite { value, .. } | GradError::TooLarge { value, .. } => *value,
            _ => f64::NAN,
        };
        Self::Diverged { step, quantity: "the gradient", value }
    }
}

/// Returns an error if one of the values is not finite.
pub(crate) fn require_finite<'a>(
    argument: &'static str,
    values: impl IntoIterator<Item = &'a f64>,
) -> Result<(), SuperpositionError> {
    match values.into_iter().enumerate().find(|(_, v)| !v.is_finite()) {
        Some((index, &value)) => Err(SuperpositionError::NotFinite { argument, index, value }),
        None => Ok(()),
    }
}

/// Returns an error if a shape is not the expected one.
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
