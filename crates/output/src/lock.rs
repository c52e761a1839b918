//! Locks, so that two processes do not write one output.

use crate::OutputError;
use crate::place::Place;
use crate::unfinished::{LOCK_END, Unfinished};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// A lock on an output. It ends when the value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    /// The lock file, which is removed. It stands first, so that it is removed while the lock is held.
    _beside: Option<Unfinished>,
    _held: Option<File>,
}

/// Locks an output for the time of a long work. The lock is a hidden file beside the output.
///
/// [`write()`](crate::write()) needs no lock: it takes a moment, and its file is complete. A work of hours that also has
/// checkpoints or logs needs one. A device or a pipe has no lock.
///
/// # Errors
/// [`OutputError::Busy`] if another process holds the lock; [`OutputError::Io`] if no file can be created beside the output;
/// those of a path that names no file.
///
/// # Examples
/// ```
/// use collimate_output::{OutputError, lock};
/// let path = std::env::temp_dir().join(format!("collimate-lock-doc-{}", std::process::id()));
/// let held = lock(&path)?;
/// assert!(matches!(lock(&path), Err(OutputError::Busy { .. })));
/// drop(held);
/// assert!(lock(&path).is_ok());
/// # Ok::<(), OutputError>(())
/// ```
pub fn lock(path: &Path) -> Result<Lock, OutputError> {
    match Place::of(path)? {
        Place::Device { .. } => Ok(Lock { _beside: None, _held: None }),
        Place::File { target, .. } => lock_beside(&target, path),
    }
}

/// Locks the hidden file beside a target. `path` is the name for errors.
pub(crate) fn lock_beside(target: &Path, path: &Path) -> Result<Lock, OutputError> {
    let failed = OutputError::io(path, "lock");
    let name = target.file_name().unwrap_or_default();
    let mut hidden = OsString::from(".");
    hidden.push(name.to_string_lossy().chars().take(60).collect::<String>());
    hidden.push(LOCK_END);
    let beside = target.with_file_name(hidden);
    loop {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&beside);
        let file = held(file.map_err(&failed)?, path)?;
        // Another process may have removed the file between its opening and its locking. Then the lock is of no use.
        if is_still(&file, &beside) {
            return Ok(Lock { _beside: Some(Unfinished::note(beside)), _held: Some(file) });
        }
    }
}

/// Locks a folder that exists, without a file of its own.
pub(crate) fn lock_folder(folder: &Path, path: &Path) -> Result<Lock, OutputError> {
    let held = match File::open(folder) {
        Ok(folder) => Some(held(folder, path)?),
        // Some systems open no folder. Then there is no lock.
        Err(_) => None,
    };
    Ok(Lock { _beside: None, _held: held })
}

fn held(file: File, path: &Path) -> Result<File, OutputError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(OutputError::Busy { path: path.to_owned() }),
        // Some file systems have no locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_still(_: &File, path: &Path) -> bool {
    path.exists()
}
