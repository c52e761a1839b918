use collimate_output::OutputError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// The reason why a file could not be read or written: the file, the place in it, and what is wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// A file that could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file that the operating system could not open or read.
    #[error("{path}: {place}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The step that failed, or the part that was read.
        place: String,
        /// The reason given by the operating system.
        source: io::Error,
    },
    /// A content that contradicts the format or itself.
    #[error("{path}: {place}: {what}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The place in the file.
        place: String,
        /// The reason.
        what: String,
    },
    /// A content of a kind that is not read here.
    #[error("{path}: {place}: {what} is not supported (supported: {supported})", path = path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The place in the file.
        place: String,
        /// The kind that was found.
        what: String,
        /// The kinds that can be read.
        supported: &'static str,
    },
    /// A content above the limit of size.
    #[error("{path}: {place}: needs {needed} bytes, more than the limit of {limit}", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The place in the file.
        place: String,
        /// The number of bytes it would take.
        needed: u64,
        /// The number of bytes that are allowed.
        limit: u64,
    },
    /// A content that needs more memory than the machine gives.
    #[error("{path}: {place}: needs {needed} bytes of memory, which the machine does not give", path = path.display())]
    Memory {
        /// The file.
        path: PathBuf,
        /// The place in the file.
        place: String,
        /// The number of bytes it would take.
        needed: u64,
    },
    /// A name that the file does not have.
    #[error("{path}: there is no '{name}' among its {count} entries (the nearest in order: {near})", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The name that was asked for.
        name: String,
        /// The number of entries.
        count: usize,
        /// The next entry in the order of names, or an empty text.
        near: String,
    },
    /// A shape that does not agree with the number of elements.
    #[error("an array of shape {shape:?} cannot hold {given} elements")]
    Shape {
        /// The shape that was given.
        shape: Vec<usize>,
        /// The number of elements that was given.
        given: usize,
    },
}
