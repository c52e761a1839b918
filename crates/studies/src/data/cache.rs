use super::error::DataError;
use super::item::Item;
use std::path::{Path, PathBuf};

/// The folder of the downloaded files.
///
/// # Examples
/// ```
/// use collimate_studies::data::Cache;
/// assert_eq!(Cache::at("models").root(), std::path::Path::new("models"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Makes a cache in the given folder, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the cache of this user: the folder named by the environment variable `COLLIMATE_CACHE`, or else the folder that the
    /// operating system provides for caches.
    ///
    /// # Errors
    /// [`DataError::NoCacheFolder`] when the variable is not set and the user has no home folder.
    pub fn user() -> Result<Self, DataError> {
        if let Some(root) = std::env::var_os("COLLIMATE_CACHE").filter(|value| !value.is_empty()) {
            return Ok(Self::at(root));
        }
        let folders = directories::ProjectDirs::from("", "", "collimate").ok_or(DataError::NoCacheFolder)?;
        Ok(Self::at(folders.cache_dir()))
    }

    /// Returns the folder of activations and dictionaries, which are computed from the data: the folder named by the environment
    /// variable `COLLIMATE_DERIVED`, or else the cache itself.
    ///
    /// Fault trials run wrong code on purpose. They set the variable, so that wrong results never enter the cache.
    pub fn derived(&self) -> PathBuf {
        match std::env::var_os("COLLIMATE_DERIVED").filter(|value| !value.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => self.root.clone(),
        }
    }

    /// Returns the folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of an item that is completely installed.
    pub fn folder_of(&self, item: &Item) -> PathBuf {
        self.root.join(item.folder_name())
    }

    /// Returns the path of the lock that is held while an item is being installed.
    pub(super) fn lock_of(&self, item: &Item) -> PathBuf {
        self.root.join(format!("{}.lock", item.folder_name()))
    }

    /// Returns the prefix of the folders in which an item is being prepared.
    pub(super) fn partial_prefix(item: &Item) -> String {
        format!("partial-{}-", item.folder_name())
    }
}
