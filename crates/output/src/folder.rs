//! Folders for several files, and folders that appear as a whole.

use crate::OutputError;
use crate::lock::{Lock, lock_beside, lock_folder};
use crate::unfinished::{Unfinished, is_temporary, remove_left_behind};
use std::fs;
use std::path::{Path, PathBuf};

/// Checks that files can be written into a folder, and leaves nothing behind.
///
/// Missing folders are created for the trial and removed again. Call it before the work whose results the folder will hold.
///
/// # Errors
/// [`OutputError::NotAFolder`] if a file has the name; [`OutputError::Io`] if the folder cannot be created or written to.
///
/// # Examples
/// ```
/// use collimate_output::check_folder;
/// let folder = std::env::temp_dir().join(format!("collimate-folder-doc-{}", std::process::id())).join("inner");
/// check_folder(&folder)?;
/// assert!(!folder.parent().unwrap().exists());
/// # Ok::<(), collimate_output::OutputError>(())
/// ```
pub fn check_folder(folder: &Path) -> Result<(), OutputError> {
    let _made = Made::folders(folder, folder)?;
    let inside = folder.join("trial");
    Unfinished::file(&inside, true).map(drop).map_err(OutputError::io(folder, "create a file in"))
}

/// Creates a folder and the folders above it, where they are missing.
///
/// # Errors
/// As [`check_folder`].
///
/// # Examples
/// ```
/// use collimate_output::create_folder;
/// let folder = std::env::temp_dir().join(format!("collimate-create-doc-{}", std::process::id()));
/// create_folder(&folder)?;
/// create_folder(&folder)?;
/// assert!(folder.is_dir());
/// # std::fs::remove_dir(&folder).unwrap();
/// # Ok::<(), collimate_output::OutputError>(())
/// ```
pub fn create_folder(folder: &Path) -> Result<(), OutputError> {
    Made::folders(folder, folder).map(Made::keep)
}

/// Returns true if a folder holds nothing but what killed processes left behind, or does not exist.
///
/// # Errors
/// [`OutputError::NotAFolder`]; [`OutputError::Io`].
///
/// # Examples
/// ```
/// let folder = std::env::temp_dir().join(format!("collimate-empty-doc-{}", std::process::id()));
/// assert!(collimate_output::is_free(&folder)?);
/// # Ok::<(), collimate_output::OutputError>(())
/// ```
pub fn is_free(folder: &Path) -> Result<bool, OutputError> {
    match fs::metadata(folder) {
        Ok(found) if !found.is_dir() => return Err(OutputError::NotAFolder { path: folder.to_owned() }),
        Ok(_) => {}
        Err(_) => return Ok(true),
    }
    let entries = fs::read_dir(folder).map_err(OutputError::io(folder, "list the files of"))?;
    Ok(entries.flatten().all(|entry| is_temporary(&entry.file_name())))
}

/// Folders that were created, the innermost first. Dropped, it removes those that are empty.
#[derive(Debug)]
struct Made(Vec<Unfinished>);

impl Made {
    /// Creates the missing folders of a path. `path` is the name for errors.
    fn folders(folder: &Path, path: &Path) -> Result<Self, OutputError> {
        let failed = OutputError::io(path, "create the folder");
        let mut made = Self(Vec::new());
        let missing = |folder: &&Path| !folder.as_os_str().is_empty() && fs::metadata(folder).is_err();
        let mut missing: Vec<&Path> = folder.ancestors().take_while(missing).collect();
        missing.reverse();
        for one in missing {
            match fs::create_dir(one) {
                Ok(()) => made.0.insert(0, Unfinished::empty_folder(one.to_owned())),
                // Another process may have created it, and `a/..` exists once `a` does.
                Err(_) if one.is_dir() => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if !folder.as_os_str().is_empty() && !folder.is_dir() {
            return Err(OutputError::NotAFolder { path: path.to_owned() });
        }
        Ok(made)
    }

    fn keep(self) {
        self.0.into_iter().for_each(Unfinished::keep);
    }
}

/// A folder that is filled out of sight, and whose files then appear under their names.
///
/// The files are written into a hidden folder on the same file system. If the value is dropped before
/// [`NewFolder::finish`], they are removed, with every folder that was created for them. A lock is held meanwhile.
///
/// # Examples
/// ```
/// use collimate_output::NewFolder;
/// let folder = std::env::temp_dir().join(format!("collimate-new-doc-{}", std::process::id()));
/// let new = NewFolder::begin(&folder)?;
/// std::fs::write(new.path().join("part"), "1").unwrap();
/// std::fs::write(new.path().join("index"), "part").unwrap();
/// assert!(!folder.exists());
/// new.finish("index", &[])?;
/// assert_eq!(std::fs::read(folder.join("index")).unwrap(), b"part");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), collimate_output::OutputError>(())
/// ```
#[derive(Debug)]
pub struct NewFolder {
    /// The path for errors.
    given: PathBuf,
    /// The folder behind all links.
    target: PathBuf,
    /// True if the folder was there before.
    inside: bool,
    // Dropped in this order: the folders above are empty once the lock file is removed.
    stage: Unfinished,
    _lock: Lock,
    made: Made,
}

impl NewFolder {
    /// Begins a folder. The folders above it are created where they are missing.
    ///
    /// The remains of processes that were killed are removed.
    ///
    /// # Errors
    /// [`OutputError::Busy`] if another process fills the folder; [`OutputError::NotAFolder`]; [`OutputError::Io`].
    pub fn begin(folder: &Path) -> Result<Self, OutputError> {
        let failed = OutputError::io(folder, "create a folder beside");
        let (given, target) = (folder.to_owned(), folder.canonicalize().unwrap_or(folder.to_owned()));
        match fs::metadata(folder) {
            Ok(found) if !found.is_dir() => Err(OutputError::NotAFolder { path: given }),
            Ok(_) => {
                let lock = lock_folder(&target, folder)?;
                let inner = target.join("files");
                remove_left_behind(&inner);
                let stage =
                    Unfinished::folder(&inner).map_err(OutputError::io(folder, "create a folder in"))?;
                Ok(Self { given, target, inside: true, stage, made: Made(Vec::new()), _lock: lock })
            }
            Err(_) => {
                if target.file_name().is_none() {
                    return Err(OutputError::NotAFolder { path: given });
                }
                let made = Made::folders(target.parent().unwrap_or(Path::new("")), folder)?;
                let lock = lock_beside(&target, folder)?;
                remove_left_behind(&target);
                let stage = Unfinished::folder(&target).map_err(failed)?;
                Ok(Self { given, target, inside: false, stage, made, _lock: lock })
            }
        }
    }

    /// Returns the hidden folder to write the files into.
    pub fn path(&self) -> &Path {
        self.stage.path()
    }

    /// Gives the files their names: the file `last` after all others, so that the set counts as unfinished until then.
    ///
    /// Files of the same names are replaced, and the files `obsolete` of an earlier set are removed. All others stay.
    ///
    /// # Errors
    /// [`OutputError::Exists`] if another process created the folder meanwhile; [`OutputError::Io`].
    pub fn finish(self, last: &str, obsolete: &[String]) -> Result<(), OutputError> {
        let failed = |step| OutputError::io(&self.given, step);
        if !self.inside {
            match fs::rename(self.stage.path(), &self.target) {
                Ok(()) => {}
                Err(_) if self.target.exists() => return Err(OutputError::Exists { path: self.given }),
                Err(error) => return Err(failed("rename a folder to")(error)),
            }
            let Self { stage, made, .. } = self;
            stage.keep();
            made.keep();
            return Ok(());
        }
        let entries = fs::read_dir(self.stage.path()).map_err(failed("list the files of"))?;
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort_by_key(|name| (name == last, name.clone()));
        for name in std::iter::once(last).chain(obsolete.iter().map(String::as_str)) {
            match fs::remove_file(self.target.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed("remove an earlier file of")(error));
                }
                _ => {}
            }
        }
        for name in names {
            let from = self.stage.path().join(&name);
            fs::rename(from, self.target.join(&name)).map_err(failed("rename a file in"))?;
        }
        Ok(())
    }
}
