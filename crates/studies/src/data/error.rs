use std::path::PathBuf;

/// An error of a download or of the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No folder for the cache: the user has no home folder, and `COLLIMATE_CACHE` is not set.
    #[error(
        "no folder for the cache was found: set COLLIMATE_CACHE to a folder with about 100 MB of free space"
    )]
    NoCacheFolder,

    /// An item that was never downloaded.
    #[error("{title} is not in {}: {how} downloads it ({megabytes:.0} MB)", .folder.display())]
    Absent {
        /// The missing item, in words.
        title: &'static str,
        /// The folder of the item.
        folder: PathBuf,
        /// The command that downloads it.
        how: &'static str,
        /// The size of the download.
        megabytes: f64,
    },

    /// A folder without room for an item. Nothing was downloaded.
    #[error(
        "{title} needs {:.0} MB in {}, but {:.0} MB are free; free some space, or name another folder with --cache or \
         COLLIMATE_CACHE", *.needed as f64 / 1e6, .folder.display(), *.free as f64 / 1e6
    )]
    Space {
        /// The item, in words.
        title: &'static str,
        /// The folder of the cache.
        folder: PathBuf,
        /// The number of bytes for the archive and its contents.
        needed: u64,
        /// The number of bytes that are free.
        free: u64,
    },

    /// A file that differs from its pinned size or digest.
    #[error("{} is damaged: {what} (expected {expected}, given {given}); `collimate data` (in the repository: `cargo xtask data`) fetches it again", .path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// The compared property.
        what: &'static str,
        /// The pinned value.
        expected: String,
        /// The value found.
        given: String,
    },

    /// A package client that is not installed.
    #[error("{client} was not found (tried {tried}); it is needed to download {purpose}. {advice}")]
    MissingClient {
        /// The client: `pip` or `npm`.
        client: &'static str,
        /// The commands that were tried.
        tried: String,
        /// The item that it should download.
        purpose: &'static str,
        /// The way to install it.
        advice: &'static str,
    },

    /// A package client that ran and failed, most often because there is no network.
    #[error(
        "downloading {title} failed: `{command}` ended with {status}. Its last output: {said}. Check the network and try again"
    )]
    Fetch {
        /// The item.
        title: &'static str,
        /// The command line.
        command: String,
        /// The exit status.
        status: String,
        /// The last lines of its output.
        said: String,
    },

    /// A download that was told to end. Nothing of it stays.
    #[error(
        "the download of {title} was interrupted, and nothing of it was kept; the same command begins it again"
    )]
    Interrupted {
        /// The item.
        title: &'static str,
    },

    /// An archive that cannot be read in its format.
    #[error("{} cannot be unpacked: {reason}", .path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The message of the reader.
        reason: String,
    },

    /// An error of the file system.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
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
