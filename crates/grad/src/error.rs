use collimate_tensor::ShapeError;
use std::ops::Range;

/// What can go wrong in this crate through the caller's doing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GradError {
    /// A slice has another length than the object it belongs to.
    #[error("{argument}: expected {expected} numbers, given {given}")]
    Length {
        /// Which argument.
        argument: &'static str,
        /// The length it should have.
        expected: usize,
        /// The length it has.
        given: usize,
    },
    /// An array has a shape that does not fit the others.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A number is NaN or infinite.
    #[error("{argument}[{index}] is {value}")]
    NonFinite {
        /// Which argument.
        argument: &'static str,
        /// The first bad position.
        index: usize,
        /// The value found there.
        value: f64,
    },
    /// A configuration value lies outside its range.
    #[error("{name} = {value}: must be {expected}")]
    Config {
        /// The name of the field.
        name: &'static str,
        /// The value given.
        value: f64,
        /// The allowed range in words.
        expected: &'static str,
    },
    /// An index points outside its table.
    #[error("{argument}[{position}] = {index}: the table has {len} rows")]
    Index {
        /// Which argument.
        argument: &'static str,
        /// Where in the argument.
        position: usize,
        /// The index found.
        index: usize,
        /// The number of rows.
        len: usize,
    },
    /// A range of parameters reaches outside them.
    #[error("range {}..{} of {len} parameters", range.start, range.end)]
    Range {
        /// The range given.
        range: Range<usize>,
        /// How many parameters there are.
        len: usize,
    },
    /// The variable belongs to another tape, or to none.
    #[error("variable {variable} is not on this tape of {len} nodes")]
    UnknownVariable {
        /// The number of the variable.
        variable: usize,
        /// How many nodes the tape has.
        len: usize,
    },
}

/// `Err` unless the two lengths agree.
pub(crate) fn same_length(argument: &'static str, expected: usize, given: usize) -> Result<(), GradError> {
    if expected == given { Ok(()) } else { Err(GradError::Length { argument, expected, given }) }
}
