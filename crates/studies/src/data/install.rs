use super::cache::Cache;
use super::digest::{file_sha256, tree_sha256};
use super::error::DataError;
use super::event::Event;
use super::fetch::Fetcher;
use super::item::{Contents, Item, PinnedFile};
use super::space::check_space;
use super::unpack::unpack;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The number of attempts to fetch an archive that arrives damaged.
const ATTEMPTS: usize = 2;

/// Returns the path of an item if it is complete in the cache. It never downloads.
///
/// The path is the file of a [`Contents::File`], or the folder of [`Contents::Files`] and of a [`Contents::Tree`].
///
/// # Errors
/// [`DataError::Absent`] when it was never installed; [`DataError::Damaged`] when its size or digest differs from the pinned one.
pub fn locate(item: &Item, cache: &Cache) -> Result<PathBuf, DataError> {
    let folder = cache.folder_of(item);
    if !folder.is_dir() {
        let megabytes = item.archive_bytes as f64 / 1e6;
        return Err(DataError::Absent { title: item.title, folder, how: item.how, megabytes });
    }
    check_contents(item, &folder)
}

/// Returns the path of an item, and installs it first if it is missing or damaged in the cache.
///
/// Several processes may call it at once: one of them installs, the others wait for it. A process may be killed at any moment: the next
/// call deletes its temporary files.
///
/// # Errors
/// The errors of [`Fetcher::fetch`]; [`DataError::Damaged`] or [`DataError::Archive`] when the download differed twice from the pinned
/// digest; [`DataError::Space`] when there is no room for it; [`DataError::Io`].
pub fn install(
    item: &'static Item,
    cache: &Cache,
    fetcher: &dyn Fetcher,
    on_event: &mut dyn FnMut(Event),
) -> Result<PathBuf, DataError> {
    if let Ok(path) = locate(item, cache) {
        on_event(Event::Ready { item, path: path.clone(), downloaded: false });
        return Ok(path);
    }
    fs::create_dir_all(cache.root()).map_err(DataError::io(cache.root()))?;
    let _lock = acquire(item, cache, on_event)?;
    clear_partial(item, cache)?;
    // Another process may have finished it while this one waited.
    match locate(item, cache) {
        Ok(path) => {
            on_event(Event::Ready { item, path: path.clone(), downloaded: false });
            return Ok(path);
        }
        Err(DataError::Absent { .. }) => {}
        Err(damage) => on_event(Event::Damaged { item, reason: damage.to_string() }),
    }
    check_space(item, cache.root())?;
    on_event(Event::Announce { item, folder: cache.folder_of(item) });
    let mut attempt = 1;
    loop {
        match install_once(item, cache, fetcher, on_event) {
            Ok(path) => {
                on_event(Event::Ready { item, path: path.clone(), downloaded: true });
                return Ok(path);
            }
            Err(damage @ (DataError::Damaged { .. } | DataError::Archive { .. })) if attempt < ATTEMPTS => {
                on_event(Event::Damaged { item, reason: damage.to_string() });
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes one attempt: fetch, check, unpack, check, rename into place. The caller holds the lock.
fn install_once(
    item: &'static Item,
    cache: &Cache,
    fetcher: &dyn Fetcher,
    on_event: &mut dyn FnMut(Event),
) -> Result<PathBuf, DataError> {
    // The temporary folder lies beside the target, so that the last step is a rename within one file system.
    let partial = tempfile::Builder::new()
        .prefix(&Cache::partial_prefix(item))
        .tempdir_in(cache.root())
        .map_err(DataError::io(cache.root()))?;
    let archive =
        fetcher.fetch(item, partial.path(), &mut |bytes| on_event(Event::Fetched { item, bytes }))?;
    let (digest, bytes) = file_sha256(&archive)?;
    if digest != item.archive_sha256 {
        let what = if bytes == item.archive_bytes {
            "SHA-256 of the archive"
        } else {
            "size and SHA-256 of the archive"
        };
        return Err(DataError::Damaged {
            path: archive,
            what,
            expected: item.archive_sha256.into(),
            given: digest,
        });
    }
    on_event(Event::Unpacking(item));
    let contents = partial.path().join("contents");
    fs::create_dir(&contents).map_err(DataError::io(&contents))?;
    unpack(item, &archive, &contents)?;
    check_contents(item, &contents)?;
    let target = cache.folder_of(item);
    if target.exists() {
        // The damaged version moves into the folder that is deleted at the end.
        fs::rename(&target, partial.path().join("damaged")).map_err(DataError::io(&target))?;
    }
    fs::rename(&contents, &target).map_err(DataError::io(&target))?;
    Ok(path_in(item, &target))
}

/// Compares the files of a folder with the pinned sizes and digests of the item.
fn check_contents(item: &Item, folder: &Path) -> Result<PathBuf, DataError> {
    let path = path_in(item, folder);
    match item.contents {
        Contents::File(file) => check_file(&file, path.clone())?,
        Contents::Files(files) => {
            check_count(folder, files.len())?;
            files.iter().try_for_each(|file| check_file(file, folder.join(file.name)))?;
        }
        Contents::Tree { files, sha256, .. } => {
            check_count(folder, files)?;
            let digest = tree_sha256(folder)?;
            if digest != sha256 {
                return Err(damaged(path, "SHA-256 of all files", sha256.into(), digest));
            }
        }
    }
    Ok(path)
}

/// Compares a file with its pinned size and digest.
fn check_file(file: &PinnedFile, path: PathBuf) -> Result<(), DataError> {
    let size = fs::metadata(&path).map_or(0, |found| found.len());
    if size != file.bytes {
        return Err(damaged(path, "size", format!("{} bytes", file.bytes), format!("{size} bytes")));
    }
    let digest = file_sha256(&path)?.0;
    if digest != file.sha256 {
        return Err(damaged(path, "SHA-256", file.sha256.into(), digest));
    }
    Ok(())
}

/// Checks the number of files in a folder.
fn check_count(folder: &Path, files: usize) -> Result<(), DataError> {
    match folder.read_dir().map_err(DataError::io(folder))?.count() {
        found if found == files => Ok(()),
        found => Err(damaged(folder.to_owned(), "number of files", files.to_string(), found.to_string())),
    }
}

fn damaged(path: PathBuf, what: &'static str, expected: String, given: String) -> DataError {
    DataError::Damaged { path, what, expected, given }
}

/// Returns the path that `install` returns: the only file, or the folder.
fn path_in(item: &Item, folder: &Path) -> PathBuf {
    match item.contents {
        Contents::File(file) => folder.join(file.name),
        Contents::Files(_) | Contents::Tree { .. } => folder.to_owned(),
    }
}

/// Takes the lock of the item, and reports it when it must wait. The system releases the lock when the process ends, even if it is
/// killed.
fn acquire(item: &'static Item, cache: &Cache, on_event: &mut dyn FnMut(Event)) -> Result<File, DataError> {
    let path = cache.lock_of(item);
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(DataError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            on_event(Event::Waiting(item));
            file.lock().map_err(DataError::io(&path))?;
            Ok(file)
        }
        Err(TryLockError::Error(error)) => Err(DataError::io(&path)(error)),
    }
}

/// Deletes the temporary files of processes that were killed. The caller holds the lock, so none of them is in use.
fn clear_partial(item: &Item, cache: &Cache) -> Result<(), DataError> {
    let prefix = Cache::partial_prefix(item);
    for entry in cache.root().read_dir().map_err(DataError::io(cache.root()))? {
        let entry = entry.map_err(DataError::io(cache.root()))?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_dir_all(entry.path()).map_err(DataError::io(entry.path()))?;
        }
    }
    Ok(())
}
