use super::error::DataError;
use super::item::Item;
use std::path::{Path, PathBuf};

/// The folder that holds what was downloaded.
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
    /// A cache in the given folder, which need not exist yet.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The cache of this user: the folder named by the environment variable `COLLIMATE_CACHE`, or else the one the
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

    /// The folder of what is computed from the data (activations, dictionaries): the one named by the environment
    /// variable `COLLIMATE_DERIVED`, or else the cache itself.
    ///
    /// Runs of code that was put wrong on purpose set it, so that nothing wrong is ever found in the cache.
    pub fn derived(&self) -> PathBuf {
        match std::env::var_os("COLLIMATE_DERIVED").filter(|value| !value.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => self.root.clone(),
        }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder in which an item is kept once it is whole.
    pub fn folder_of(&self, item: &Item) -> PathBuf {
        self.root.join(item.folder_name())
    }

    /// The file whose lock is held while an item is being installed.
    pub(super) fn lock_of(&self, item: &Item) -> PathBuf {
        self.root.join(format!("{}.lock", item.folder_name()))
    }

    /// How the folders begin in which an item is being prepared.
    pub(super) fn partial_prefix(item: &Item) -> String {
        format!("partial-{}-", item.folder_name())
    }
}
