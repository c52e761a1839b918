use thiserror::Error;

/// The reasons why arrays do not fit together.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShapeError {
    /// A shape that does not fit the other arguments.
    #[error("`{argument}` must have shape {expected:?}, but has {given:?}")]
    Mismatch {
        /// The name of the argument.
        argument: &'static str,
        /// The shape that would fit.
        expected: Vec<usize>,
        /// The shape that was given.
        given: Vec<usize>,
    },
    /// An index beyond the end of an axis.
    #[error("`{argument}`: index {index} is not below {length}")]
    OutOfBounds {
        /// The name of the argument.
        argument: &'static str,
        /// The index that was given.
        index: usize,
        /// The length of the axis.
        length: usize,
    },
    /// The column numbers of a sparse row that do not ascend.
    #[error("`{argument}`: entry {position} does not ascend")]
    NotAscending {
        /// The name of the argument.
        argument: &'static str,
        /// The position of the first entry that is not larger than the one before it.
        position: usize,
    },
}

impl ShapeError {
    /// Returns [`ShapeError::Mismatch`] for `argument` unless both shapes agree.
    pub fn check(argument: &'static str, expected: &[usize], given: &[usize]) -> Result<(), ShapeError> {
        if expected == given {
            return Ok(());
        }
        Err(ShapeError::Mismatch { argument, expected: expected.to_vec(), given: given.to_vec() })
    }
}
