use super::item::Item;
use std::fmt;
use std::path::PathBuf;

/// A progress message of the installation of an item. `Display` writes it as one line for a person.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Another process is installing the item; this process waits for it.
    Waiting(&'static Item),
    /// The item, its size and its licence, before the first byte is downloaded.
    Announce {
        /// The item.
        item: &'static Item,
        /// The folder in which it will be stored.
        folder: PathBuf,
    },
    /// The number of bytes fetched so far, out of `item.archive_bytes`.
    Fetched {
        /// The item.
        item: &'static Item,
        /// The number of bytes on disk (an estimate while the client runs).
        bytes: u64,
    },
    /// A file on disk, or a downloaded file, differs from its pinned digest and is fetched again.
    Damaged {
        /// The item.
        item: &'static Item,
        /// The difference.
        reason: String,
    },
    /// The archive is complete and is being unpacked.
    Unpacking(&'static Item),
    /// The item is complete and in its place.
    Ready {
        /// The item.
        item: &'static Item,
        /// The file or folder of the item.
        path: PathBuf,
        /// True if this call downloaded it.
        downloaded: bool,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting(item) => write!(f, "waiting: another process is installing {}", item.title),
            Self::Announce { item, folder } => write!(
                f,
                "downloading {} ({:.1} MB, unpacked {:.1} MB) with {} from package {} {} into {}\n  licence: {}",
                item.title,
                item.archive_bytes as f64 / 1e6,
                item.contents.bytes() as f64 / 1e6,
                item.client.name(),
                item.package,
                item.version,
                folder.display(),
                item.licence,
            ),
            Self::Fetched { item, bytes } => {
                let share = 100.0 * *bytes as f64 / item.archive_bytes.max(1) as f64;
                write!(f, "{}: {:.1} MB ({:.0} %)", item.name, *bytes as f64 / 1e6, share.min(100.0))
            }
            Self::Damaged { item, reason } => {
                write!(f, "{} is damaged and is fetched again: {reason}", item.name)
            }
            Self::Unpacking(item) => write!(f, "{}: checked, unpacking", item.name),
            Self::Ready { item, path, downloaded } => {
                let how = if *downloaded { "ready" } else { "already there and complete" };
                write!(f, "{}: {how}: {}", item.name, path.display())
            }
        }
    }
}
