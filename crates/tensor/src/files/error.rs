use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a file could not be read or written: which file, where in it, and what is wrong.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused.
    #[error("{path}: {place}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done or read.
        place: String,
        /// The reason given by the operating system.
        source: io::Error,
    },
    /// The content contradicts the format or itself.
    #[error("{path}: {place}: {what}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// The content is sound as far as known, but of a kind that is not read here.
    #[error("{path}: {place}: {what} is not supported (supported: {supported})", path = path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        place: String,
        /// What was met.
        what: String,
        /// What could have been read.
        supported: &'static str,
    },
    /// More was asked for than the limit allows.
    #[error("{path}: {place}: needs {needed} bytes, more than the limit of {limit}", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        place: String,
        /// How many bytes it would take.
        needed: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The file is sound but has nothing by this name.
    #[error("{path}: there is no '{name}' among its {count} entries (the nearest in order: {near})", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        name: String,
        /// How many entries there are.
        count: usize,
        /// The entry that would come next in the order of names, or nothing.
        near: String,
    },
    /// An array's shape and its number of elements do not agree.
    #[error("an array of shape {shape:?} cannot hold {given} elements")]
    Shape {
        /// The shape given.
        shape: Vec<usize>,
        /// The number of elements given.
        given: usize,
    },
}
