use super::error::DataError;
use super::item::Item;
use std::path::Path;

/// Checks that a folder has room for the archive of an item and for its contents, which lie side by side for a moment.
pub(super) fn check_space(item: &Item, folder: &Path) -> Result<(), DataError> {
    let needed = item.archive_bytes.saturating_add(item.contents.bytes());
    match free(folder) {
        Some(free) if free < needed => {
            Err(DataError::Space { title: item.title, folder: folder.to_owned(), needed, free })
        }
        _ => Ok(()),
    }
}

/// Returns the number of bytes that a user can still write into a folder, if the system tells it.
#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}
