use thiserror::Error;

/// Arrays whose shapes do not fit together.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShapeError {
    /// An argument has another shape than the others demand.
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
    /// Column numbers of a sparse row that do not ascend.
    #[error("`{argument}`: entry {position} does not ascend")]
    NotAscending {
        /// The name of the argument.
        argument: &'static str,
        /// The position of the first entry that is not larger than the one before it.
        position: usize,
    },
}

impl ShapeError {
    /// `Ok` when both shapes agree, else [`ShapeError::Mismatch`] for `argument`.
    pub fn check(argument: &'static str, expected: &[usize], given: &[usize]) -> Result<(), ShapeError> {
        if expected == given {
            return Ok(());
        }
        Err(ShapeError::Mismatch { argument, expected: expected.to_vec(), given: given.to_vec() })
    }
}
