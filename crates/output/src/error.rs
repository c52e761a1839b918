use std::io;
use std::path::PathBuf;

/// The reason why a file or folder was not written.
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
    /// The path names a folder, by a separator at its end or because a folder is there.
    #[error("{path:?} is a folder; a file name is needed")]
    Folder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path of a folder names a thing of another kind.
    #[error("{path:?} is not a folder; choose another name for the folder")]
    NotAFolder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path names a device or a pipe, where a file is needed that can be read again.
    #[error("{path:?} is a device or a pipe; a file is needed, because it is read again")]
    Device {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path names a socket.
    #[error("{path:?} is a socket; expected a file, a device or a pipe")]
    Socket {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The path is a chain of links without an end.
    #[error("{path:?} is a chain of links that does not end")]
    Links {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The output would replace an input of the same work.
    #[error("{path:?} would replace the input {input:?}; choose another name for the output")]
    Input {
        /// The path of the output.
        path: PathBuf,
        /// The path of the input.
        input: PathBuf,
    },
    /// Another process writes the same output.
    #[error("another process is writing {path:?}; wait until it has ended, or choose another name")]
    Busy {
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

impl OutputError {
    /// Attaches a path and a step to an error of the operating system.
    pub(crate) fn io(path: &std::path::Path, step: &'static str) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path: path.clone(), step, source }
    }
}
