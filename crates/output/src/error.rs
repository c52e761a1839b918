use std::io;
use std::path::PathBuf;

/// The reason why a file was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The file exists and may not be replaced.
    #[error(
        "{path:?} exists already and is left as it is; choose another name, or ask for it to be replaced"
    )]
    Exists {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path names a folder.
    #[error("{path:?} is a folder; a file name is needed")]
    Folder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path is a chain of links without an end.
    #[error("{path:?} is a chain of links that does not end")]
    Links {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The operating system refused a step.
    #[error("cannot {step} {path:?}: {source}")]
    Io {
        /// The path as it was given.
        path: PathBuf,
        /// The step that failed, a verb.
        step: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
}
