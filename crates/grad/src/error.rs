use collimate_measure::{OutOfRange, WrongLength};
use collimate_tensor::ShapeError;
use std::ops::Range;

/// The errors of this crate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GradError {
    /// A slice does not have the length of the object it belongs to.
    #[error(transparent)]
    Length(#[from] WrongLength),
    /// An array has a shape that does not fit the others.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A number is NaN or infinite.
    #[error("{argument}[{index}] must be finite, but is {value}")]
    NonFinite {
        /// The name of the argument.
        argument: &'static str,
        /// The position of the first non-finite number.
        index: usize,
        /// The value at that position.
        value: f64,
    },
    /// A finite gradient is so large that its square is infinite in the type of the parameters.
    #[error(
        "{argument}[{index}] is {value:e}, but Adam squares it and the square must be finite: at most {largest:e} in {kind}; \
         clip the gradient or scale the loss"
    )]
    TooLarge {
        /// The name of the argument.
        argument: &'static str,
        /// The position of the first such number.
        index: usize,
        /// The value at that position.
        value: f64,
        /// The largest absolute value whose square is finite.
        largest: f64,
        /// The name of the type, `f32` or `f64`.
        kind: &'static str,
    },
    /// A batch names a sample that does not exist.
    #[error("batch[{position}] is sample {index}, but there are only {n_samples} samples")]
    Sample {
        /// The position in the batch.
        position: usize,
        /// The index at that position.
        index: usize,
        /// The number of samples.
        n_samples: usize,
    },
    /// A setting lies outside its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// An index lies outside its table.
    #[error("{argument}[{position}] is {index}, but the table has only {len} rows")]
    Index {
        /// The name of the argument.
        argument: &'static str,
        /// The position in the argument.
        position: usize,
        /// The index at that position.
        index: usize,
        /// The number of rows of the table.
        len: usize,
    },
    /// The model of an objective refused an evaluation.
    #[error("the objective cannot be evaluated: {0}")]
    Evaluation(String),
    /// A range is reversed or ends after the last parameter.
    #[error("the range {}..{} does not fit {len} parameters", range.start, range.end)]
    Range {
        /// The given range.
        range: Range<usize>,
        /// The number of parameters.
        len: usize,
    },
    /// A variable is not on this tape.
    #[error("variable {variable} is not on this tape of {len} nodes; record it on this tape first")]
    UnknownVariable {
        /// The number of the variable.
        variable: usize,
        /// The number of nodes on the tape.
        len: usize,
    },
}
