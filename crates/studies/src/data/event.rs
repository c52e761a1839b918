use super::item::Item;
use std::fmt;
use std::path::PathBuf;

/// What the installation of an item tells while it goes on; `Display` is one line for a person.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Another process is installing the same item; this one waits for it.
    Waiting(&'static Item),
    /// What will be downloaded, how large it is and under which licence. Comes before the first byte.
    Announce {
        /// The item.
        item: &'static Item,
        /// Where it will be kept.
        folder: PathBuf,
    },
    /// Bytes fetched so far, of `item.archive_bytes`.
    Fetched {
        /// The item.
        item: &'static Item,
        /// Bytes on disk so far (an estimate while a client still works).
        bytes: u64,
    },
    /// Something on disk or just downloaded is not what was pinned, and is fetched again.
    Damaged {
        /// The item.
        item: &'static Item,
        /// What was found.
        reason: String,
    },
    /// The archive is whole and is being unpacked.
    Unpacking(&'static Item),
    /// The item is whole and in place.
    Ready {
        /// The item.
        item: &'static Item,
        /// Its file or folder.
        path: PathBuf,
        /// Whether this call downloaded it.
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
                let how = if *downloaded { "ready" } else { "already there and whole" };
                write!(f, "{}: {how}: {}", item.name, path.display())
            }
        }
    }
}
