use crate::OutputError;
use crate::place::Place;
use crate::unfinished::Unfinished;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The treatment of a file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Replace it and keep its permissions.
    Replace,
    /// Leave it as it is and return [`OutputError::Exists`].
    Refuse,
}

/// Writes a file so that it is either complete or absent.
///
/// The content goes to a temporary file in the same folder, is flushed to the disk, and takes the name of the target by a
/// rename. If `content` fails, the temporary file is removed and the target stays as it was. Devices and pipes are written
/// to directly; a symbolic link is followed and stays a link. The temporary file of a file that is replaced has the
/// permissions of that file before it has content.
///
/// # Errors
/// [`OutputError::Exists`] for an existing file that may not be replaced; [`OutputError::Folder`] for a folder or a path with a
/// separator at its end; [`OutputError::Socket`]; [`OutputError::Io`] if the folder cannot be written to, the disk is full, or
/// `content` returns an error.
///
/// # Examples
/// ```
/// use collimate_output::{Existing, write};
/// use std::io::Write;
/// let path = std::env::temp_dir().join(format!("collimate-output-doc-{}", std::process::id()));
/// write(&path, Existing::Replace, |out| out.write_all(b"whole"))?;
/// assert_eq!(std::fs::read(&path)?, b"whole");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write(
    path: &Path,
    existing: Existing,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), OutputError> {
    let failed = |step| OutputError::io(path, step);
    match Place::of(path)? {
        Place::Device { .. } => {
            let file = OpenOptions::new().append(true).open(path).map_err(failed("open"))?;
            let mut out = BufWriter::new(file);
            content(&mut out).and_then(|()| out.flush()).map_err(failed("write to"))
        }
        Place::File { target, present } => {
            if present && existing == Existing::Refuse {
                return Err(OutputError::Exists { path: path.to_owned() });
            }
            let (temporary, file) =
                Unfinished::file(&target, present).map_err(failed("create a file beside"))?;
            fill(file, present.then_some(&target), content).map_err(failed("write"))?;
            give_name(temporary, &target, path, existing)
        }
    }
}

/// Checks that [`write()`] can write to a path, and leaves no file behind.
///
/// Call it before the work whose result the file will hold. A pipe is not opened, because that would wait for its reader.
///
/// # Errors
/// Those that [`write()`] would return before it calls `content`.
///
/// # Examples
/// ```
/// use collimate_output::{Existing, check};
/// let missing = std::env::temp_dir().join("collimate-no-such-folder").join("result.json");
/// assert!(check(&missing, Existing::Replace).is_err());
/// ```
pub fn check(path: &Path, existing: Existing) -> Result<(), OutputError> {
    let failed = |step| OutputError::io(path, step);
    match Place::of(path)? {
        Place::Device { pipe: true } => Ok(()),
        Place::Device { pipe: false } => {
            OpenOptions::new().append(true).open(path).map(drop).map_err(failed("open"))
        }
        Place::File { present: true, .. } if existing == Existing::Refuse => {
            Err(OutputError::Exists { path: path.to_owned() })
        }
        Place::File { target, .. } => {
            Unfinished::file(&target, true).map(drop).map_err(failed("create a file beside"))
        }
    }
}

/// A file that is written by another function, checked, and then given its name.
///
/// If the value is dropped before [`NewFile::finish`], the file is removed.
///
/// # Examples
/// ```
/// use collimate_output::{Existing, NewFile};
/// let path = std::env::temp_dir().join(format!("collimate-new-file-doc-{}", std::process::id()));
/// let new = NewFile::begin(&path, Existing::Refuse)?;
/// std::fs::write(new.path(), "checked")?;
/// assert!(!path.exists());
/// new.finish()?;
/// assert_eq!(std::fs::read(&path)?, b"checked");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct NewFile {
    given: PathBuf,
    target: PathBuf,
    existing: Existing,
    temporary: Unfinished,
}

impl NewFile {
    /// Creates the empty file beside the target.
    ///
    /// # Errors
    /// As [`check`]; [`OutputError::Device`] for a device or a pipe, which cannot be read again.
    pub fn begin(path: &Path, existing: Existing) -> Result<Self, OutputError> {
        check(path, existing)?;
        match Place::of(path)? {
            Place::Device { .. } => Err(OutputError::Device { path: path.to_owned() }),
            Place::File { target, present } => {
                let failed = OutputError::io(path, "create a file beside");
                let (temporary, file) = Unfinished::file(&target, present).map_err(&failed)?;
                keep_permissions(&file, present.then_some(&target)).map_err(&failed)?;
                Ok(Self { given: path.to_owned(), target, existing, temporary })
            }
        }
    }

    /// Returns the path of the file without its name.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`OutputError::Exists`]; [`OutputError::Io`].
    pub fn finish(self) -> Result<(), OutputError> {
        give_name(self.temporary, &self.target, &self.given, self.existing)
    }
}

/// Gives a file the permissions of the file that it replaces.
fn keep_permissions(file: &File, replaced: Option<&PathBuf>) -> io::Result<()> {
    match replaced {
        Some(replaced) => file.set_permissions(fs::metadata(replaced)?.permissions()),
        None => Ok(()),
    }
}

/// Writes the content of the temporary file and brings it to the disk.
fn fill(
    file: File,
    replaced: Option<&PathBuf>,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    keep_permissions(&file, replaced)?;
    let mut out = BufWriter::new(file);
    content(&mut out)?;
    out.flush()?;
    out.get_ref().sync_all()
}

/// Gives the finished temporary file the name of the target.
fn give_name(
    temporary: Unfinished,
    target: &Path,
    path: &Path,
    existing: Existing,
) -> Result<(), OutputError> {
    let failed = OutputError::io(path, "rename a file to");
    match existing {
        Existing::Replace => fs::rename(temporary.path(), target).map_err(failed)?,
        Existing::Refuse => {
            return give_new_name(temporary, target, path, |from, to| fs::hard_link(from, to));
        }
    }
    temporary.keep();
    Ok(())
}

/// Gives the finished temporary file a name that nothing has.
///
/// A link fails if another process created the file first. A rename would replace that file. On a file system without links
/// the name is taken by a new and empty file, which the rename then replaces.
fn give_new_name(
    temporary: Unfinished,
    target: &Path,
    path: &Path,
    link: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> Result<(), OutputError> {
    let failed = OutputError::io(path, "rename a file to");
    let exists = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
    match link(temporary.path(), target) {
        // The temporary name is removed when it is dropped.
        Ok(()) => Ok(()),
        Err(error) if exists(&error) => Err(OutputError::Exists { path: path.to_owned() }),
        Err(_) => {
            match OpenOptions::new().write(true).create_new(true).open(target) {
                Ok(_) => {}
                Err(error) if exists(&error) => return Err(OutputError::Exists { path: path.to_owned() }),
                Err(error) => return Err(failed(error)),
            }
            if let Err(error) = fs::rename(temporary.path(), target) {
                let _ = fs::remove_file(target);
                return Err(failed(error));
            }
            temporary.keep();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_links_an_existing_file_still_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a");
        let none = |_: &Path, _: &Path| Err(io::Error::from(io::ErrorKind::Unsupported));
        let temporary = || {
            let (temporary, mut file) = Unfinished::file(&target, false).expect("creates");
            file.write_all(b"ours").expect("writes");
            temporary
        };
        give_new_name(temporary(), &target, &target, none).expect("is new");
        assert_eq!(fs::read(&target).expect("is there"), b"ours");
        fs::write(&target, "theirs").expect("writes");
        let refused = give_new_name(temporary(), &target, &target, none);
        assert!(matches!(refused, Err(OutputError::Exists { .. })));
        assert_eq!(fs::read(&target).expect("is there"), b"theirs");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
