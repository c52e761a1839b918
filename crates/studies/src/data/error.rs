use std::path::PathBuf;

/// What can go wrong while data are brought into the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The user has no home folder and `COLLIMATE_CACHE` is not set.
    #[error("no folder for caches is known: set COLLIMATE_CACHE to a folder with about 100 MB of space")]
    NoCacheFolder,

    /// The item was never downloaded.
    #[error("{title} is not in {}: {how} downloads it ({megabytes:.0} MB)", .folder.display())]
    Absent {
        /// What is missing, in words.
        title: &'static str,
        /// Where it would be.
        folder: PathBuf,
        /// The command that brings it.
        how: &'static str,
        /// The size of the download.
        megabytes: f64,
    },

    /// A file is not what was pinned.
    #[error("{} is damaged: {what} (expected {expected}, given {given}); `collimate data` (in the repository: `cargo xtask data`) fetches it again", .path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// Which property was compared.
        what: &'static str,
        /// The pinned value.
        expected: String,
        /// What was found.
        given: String,
    },

    /// A package client is not installed.
    #[error("{client} was not found (tried {tried}); it is needed to download {purpose}. {advice}")]
    MissingClient {
        /// The client: `pip` or `npm`.
        client: &'static str,
        /// The commands that were tried.
        tried: String,
        /// What it is needed for.
        purpose: &'static str,
        /// How to get it.
        advice: &'static str,
    },

    /// The package client ran and failed; most often there is no network.
    #[error("downloading {title} failed: `{command}` ended with {status}. It said: {said}")]
    Fetch {
        /// What was being downloaded.
        title: &'static str,
        /// The command line that was run.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines of what it printed.
        said: String,
    },

    /// The archive cannot be read as the format it should have.
    #[error("{} cannot be unpacked: {reason}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },

    /// The file system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// The reason given.
        source: std::io::Error,
    },
}

impl DataError {
    /// Attaches a path to an input/output error.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
