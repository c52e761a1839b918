use collimate_measure::{OutOfRange, WrongLength};
use collimate_output::OutputError;
use collimate_tensor::ShapeError;
use std::path::PathBuf;
use thiserror::Error;

/// An error of a dictionary, of its training or of its files. [`SaeError::kind`] returns which of the three.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SaeError {
    /// A schedule of the learning rate that is not possible.
    #[error(transparent)]
    Schedule(#[from] collimate_grad::GradError),
    /// Arrays whose shapes do not fit a product.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// An array of another shape than the dictionary needs.
    #[error("{argument} must have the shape {expected:?}, but has {given:?}")]
    Mismatch {
        /// The argument.
        argument: &'static str,
        /// The shape that fits.
        expected: Vec<usize>,
        /// The shape that was given.
        given: Vec<usize>,
    },
    /// An argument outside its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A list or a row of another length than the object it belongs to.
    #[error(transparent)]
    Length(#[from] WrongLength),
    /// NaN or infinity in the given rows.
    #[error("{what}: the value at row {row}, column {column} is {value}")]
    NonFiniteInput {
        /// The array.
        what: &'static str,
        /// The row, counted from zero within the array.
        row: usize,
        /// The column.
        column: usize,
        /// The value.
        value: f64,
    },
    /// A loss, a gradient or the square of a gradient became NaN or infinite, so training stopped before it touched the weights.
    #[error(
        "training diverged at step {step}: {tensor} is not finite, or too large to be squared; try a smaller learning rate"
    )]
    Diverged {
        /// The step, counted from zero.
        step: u64,
        /// The tensor whose gradient is not finite, or the term of the loss that is not finite.
        tensor: &'static str,
    },
    /// The flag of [`Training::stop_on`](crate::Training::stop_on) was set.
    #[error("interrupted before step {step}; a checkpoint saved now can be continued")]
    Interrupted {
        /// The number of steps that are done.
        step: u64,
    },
    /// The operation does not exist for this member of the family.
    #[error("{operation} is not defined for the {architecture} architecture")]
    Unsupported {
        /// The operation.
        operation: &'static str,
        /// The architecture.
        architecture: &'static str,
    },
    /// The source of rows ended too early.
    #[error("the source of rows ended after {given} rows, but {expected} are needed")]
    Exhausted {
        /// The number of rows that are needed.
        expected: u64,
        /// The number of rows that the source gave.
        given: u64,
    },
    /// Two curves of a sweep without a common range.
    #[error("{}", apart(axis, first, second))]
    Apart {
        /// The axis along which they are compared.
        axis: &'static str,
        /// The range of the first curve; NaN without a point.
        first: [f64; 2],
        /// The range of the second curve; NaN without a point.
        second: [f64; 2],
    },
    /// A weight file that could not be read or written.
    #[cfg(feature = "files")]
    #[error(transparent)]
    Format(#[from] collimate_tensor::files::FileError),
    /// A file that could not be written as a whole.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// An error of the operating system.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file with other contents than expected.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The fault, and its place in the file.
        reason: String,
    },
}

/// The part of the work that an error belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// An argument or a configuration that does not fit: nothing was computed, and another argument helps.
    Configuration,
    /// A run that did not end well: the rows, the training or an interruption.
    Run,
    /// A file that is missing, damaged or of another kind.
    Files,
}

impl SaeError {
    /// Returns the part of the work that the error belongs to.
    ///
    /// # Examples
    /// ```
    /// use collimate_sae::{ErrorKind, Gated, RngStream, Sae, SaeError, Size};
    /// let size = Size { d_model: 0, n_latents: 8 };
    /// let error = Sae::<f32>::new(Gated::paper(), size, &mut RngStream::new(1, 0)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Configuration);
    /// assert_eq!(SaeError::Interrupted { step: 3 }.kind(), ErrorKind::Run);
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Schedule(_)
            | Self::Shape(_)
            | Self::Mismatch { .. }
            | Self::OutOfRange(_)
            | Self::Length(_)
            | Self::Unsupported { .. } => ErrorKind::Configuration,
            Self::NonFiniteInput { .. }
            | Self::Diverged { .. }
            | Self::Interrupted { .. }
            | Self::Exhausted { .. }
            | Self::Apart { .. } => ErrorKind::Run,
            #[cfg(feature = "files")]
            Self::Format(_) => ErrorKind::Files,
            Self::Output(_) | Self::Io { .. } | Self::File { .. } => ErrorKind::Files,
        }
    }

    pub(crate) fn shape(argument: &'static str, expected: &[usize], given: &[usize]) -> Self {
        SaeError::Mismatch { argument, expected: expected.to_vec(), given: given.to_vec() }
    }
}

/// Describes two curves without a common range.
fn apart(axis: &str, first: &[f64; 2], second: &[f64; 2]) -> String {
    if first.iter().chain(second).any(|end| end.is_nan()) {
        return format!(
            "a curve that is to be compared at equal {axis} has no point, or a value that is NaN"
        );
    }
    let [(a, b), (c, d)] = [first, second].map(|range| (range[0], range[1]));
    format!(
        "the curves have no common {axis}: they span {a:.4} to {b:.4} and {c:.4} to {d:.4}; train at more sparsities"
    )
}
