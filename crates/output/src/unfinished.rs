//! The files and folders that this process has not finished.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The parts of a path that are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removal {
    /// A file, or a folder with everything in it.
    Whole,
    /// A folder that is empty.
    EmptyFolder,
}

static UNFINISHED: Mutex<BTreeMap<PathBuf, Removal>> = Mutex::new(BTreeMap::new());

fn unfinished() -> MutexGuard<'static, BTreeMap<PathBuf, Removal>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files, folders and locks of this process.
///
/// Call it before [`std::process::exit`], which drops nothing, for example when a signal ends the program. Files that are
/// finished stay.
///
/// # Examples
/// ```
/// use collimate_output::{lock, remove_unfinished};
/// let path = std::env::temp_dir().join(format!("collimate-unfinished-{}", std::process::id()));
/// let held = lock(&path)?;
/// remove_unfinished();
/// assert_eq!(std::fs::read_dir(std::env::temp_dir())?.flatten()
///     .filter(|entry| entry.file_name().to_string_lossy().contains(&format!("unfinished-{}", std::process::id())))
///     .count(), 0);
/// # drop(held);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn remove_unfinished() {
    let all = std::mem::take(&mut *unfinished());
    // Inner folders stand behind outer ones, and whole files and folders may lie in folders that are then empty.
    for wanted in [Removal::Whole, Removal::EmptyFolder] {
        for (path, removal) in all.iter().rev().filter(|(_, removal)| **removal == wanted) {
            remove(path, *removal);
        }
    }
}

fn remove(path: &Path, removal: Removal) {
    // What cannot be removed is only untidy: the error that ends the work is the one to report.
    let _ = match removal {
        Removal::EmptyFolder => fs::remove_dir(path),
        Removal::Whole if path.is_dir() => fs::remove_dir_all(path),
        Removal::Whole => fs::remove_file(path),
    };
}

/// A file or folder that is removed when this value is dropped, unless it was given its name.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    removal: Removal,
}

impl Unfinished {
    /// Notes a path that is to be removed.
    pub(crate) fn note(path: PathBuf) -> Self {
        Self::with(path, Removal::Whole)
    }

    /// Notes a folder that is to be removed if it is empty.
    pub(crate) fn empty_folder(path: PathBuf) -> Self {
        Self::with(path, Removal::EmptyFolder)
    }

    fn with(path: PathBuf, removal: Removal) -> Self {
        unfinished().insert(path.clone(), removal);
        Self { path, removal }
    }

    /// Creates a new file in the folder of a target. A file that replaces another one is private until it has the
    /// permissions of that one.
    pub(crate) fn file(target: &Path, private: bool) -> io::Result<(Self, File)> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if private {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        #[cfg(not(unix))]
        let _ = private;
        beside(target, |path| options.open(path))
    }

    /// Creates a new folder in the folder of a target.
    pub(crate) fn folder(target: &Path) -> io::Result<Self> {
        Ok(beside(target, |path| fs::create_dir(path))?.0)
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the file or folder, which has another name by now.
    pub(crate) fn keep(self) {
        unfinished().remove(&self.path);
        std::mem::forget(self);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        unfinished().remove(&self.path);
        remove(&self.path, self.removal);
    }
}

/// The end of every temporary name.
const END: &str = ".part";

/// The end of the name of a lock file.
pub(crate) const LOCK_END: &str = ".lock";

/// Returns the beginning of the temporary names for a target.
fn beginning(target: &Path) -> String {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // A temporary name must not be too long where the name is not.
    format!(".{}.", name.chars().take(40).collect::<String>())
}

/// Makes something with a temporary name in the folder of the target.
fn beside<T>(target: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(Unfinished, T)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}.{number}{END}", beginning(target), std::process::id());
        let path = target.with_file_name(OsString::from(name));
        match make(&path) {
            // A killed process with this process number left it behind, so take the next name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(made) => return Ok((Unfinished::note(path), made)),
        }
    }
}

/// Returns true for a name that a process gives to what it has not finished.
pub(crate) fn is_temporary(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with('.') && (name.ends_with(END) || name.ends_with(LOCK_END))
}

/// Removes what killed processes left behind for a target. The caller holds the lock of the target.
pub(crate) fn remove_left_behind(target: &Path) {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else { return };
    let beginning = beginning(target);
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let numbers = name.strip_prefix(&beginning).and_then(|rest| rest.strip_suffix(END));
        let ours = numbers.is_some_and(|numbers| numbers.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
        if ours && !unfinished().contains_key(&entry.path()) {
            remove(&entry.path(), Removal::Whole);
        }
    }
}
