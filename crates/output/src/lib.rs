#![doc = include_str!("../README.md")]

mod error;
mod place;

pub use error::OutputError;

use place::Place;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

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
/// to directly; a symbolic link is followed and stays a link.
///
/// # Errors
/// [`OutputError::Exists`] for an existing file that may not be replaced; [`OutputError::Io`] if the folder cannot be
/// written to, the disk is full, or `content` returns an error.
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
    let failed = |step| move |source| OutputError::Io { path: path.to_owned(), step, source };
    match Place::of(path)? {
        Place::Device => {
            let file = OpenOptions::new().append(true).open(path).map_err(failed("open"))?;
            let mut out = BufWriter::new(file);
            content(&mut out).and_then(|()| out.flush()).map_err(failed("write to"))
        }
        Place::File { target, present } => {
            if present && existing == Existing::Refuse {
                return Err(OutputError::Exists { path: path.to_owned() });
            }
            let (temporary, file) = create_beside(&target).map_err(failed("create a file beside"))?;
            let result = fill(file, &target, present, content)
                .map_err(failed("write"))
                .and_then(|()| give_name(&temporary, &target, path, existing));
            if result.is_err() {
                // The first error is the one to report; a leftover temporary file is only untidy.
                let _ = fs::remove_file(&temporary);
            }
            result
        }
    }
}

/// Checks that [`write()`] can write to a path, and leaves no file behind.
///
/// Call it before the work whose result the file will hold.
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
    let failed = |step| move |source| OutputError::Io { path: path.to_owned(), step, source };
    match Place::of(path)? {
        Place::Device => OpenOptions::new().append(true).open(path).map(drop).map_err(failed("open")),
        Place::File { present: true, .. } if existing == Existing::Refuse => {
            Err(OutputError::Exists { path: path.to_owned() })
        }
        Place::File { target, .. } => {
            let (temporary, _) = create_beside(&target).map_err(failed("create a file beside"))?;
            fs::remove_file(temporary).map_err(failed("remove a trial file beside"))
        }
    }
}

/// Writes the content of the temporary file and brings it to the disk.
fn fill(
    file: File,
    target: &Path,
    present: bool,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    content(&mut out)?;
    out.flush()?;
    if present {
        out.get_ref().set_permissions(fs::metadata(target)?.permissions())?;
    }
    out.get_ref().sync_all()
}

/// Gives the finished temporary file the name of the target.
fn give_name(temporary: &Path, target: &Path, path: &Path, existing: Existing) -> Result<(), OutputError> {
    let failed = |source| OutputError::Io { path: path.to_owned(), step: "rename a file to", source };
    match existing {
        Existing::Replace => fs::rename(temporary, target).map_err(failed),
        // A link fails if another process created the file first. A rename would replace that file.
        Existing::Refuse => match fs::hard_link(temporary, target) {
            Ok(()) => fs::remove_file(temporary).map_err(failed),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Err(OutputError::Exists { path: path.to_owned() })
            }
            // Some file systems have no links.
            Err(_) => fs::rename(temporary, target).map_err(failed),
        },
    }
}

/// Creates a new file in the folder of the target.
fn create_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = target.file_name().ok_or_else(|| io::Error::other("the path has no file name"))?;
    loop {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        temporary.push(format!(".{}.{number}.part", std::process::id()));
        let temporary = target.with_file_name(temporary);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            // A killed process with this process number left the file behind, so take the next name.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(file) => return Ok((temporary, file)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, existing: Existing, text: &str) -> Result<(), OutputError> {
        write(path, existing, |out| out.write_all(text.as_bytes()))
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        put(&path, Existing::Replace, "old").expect("writes");
        let failed = write(&path, Existing::Replace, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(failed.expect_err("fails").to_string().contains("the disk is full"));
        assert_eq!(fs::read(&path).expect("is there"), b"old");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn an_existing_file_is_refused_or_replaced_as_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        put(&path, Existing::Refuse, "first").expect("writes");
        assert!(matches!(check(&path, Existing::Refuse), Err(OutputError::Exists { .. })));
        assert!(matches!(put(&path, Existing::Refuse, "second"), Err(OutputError::Exists { .. })));
        // Another process may come first while the content is made.
        let late = folder.path().join("b");
        let raced = write(&late, Existing::Refuse, |_| fs::write(&late, "theirs"));
        assert!(matches!(raced, Err(OutputError::Exists { .. })));
        assert_eq!(fs::read(&late).expect("is there"), b"theirs");
        put(&path, Existing::Replace, "third").expect("writes");
        assert_eq!(fs::read(&path).expect("is there"), b"third");
        assert_eq!(names(folder.path()), ["a", "b"]);
    }

    #[test]
    fn folders_and_missing_folders_are_errors_that_name_the_path() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = check(folder.path(), Existing::Replace).expect_err("a folder");
        assert!(error.to_string().contains("is a folder"), "{error}");
        let missing = folder.path().join("no").join("file");
        let error = put(&missing, Existing::Replace, "").expect_err("no folder");
        assert!(error.to_string().contains("no/file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_stay_links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link, open) =
            (folder.path().join("file"), folder.path().join("link"), folder.path().join("open"));
        fs::write(&file, "old").expect("writes");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("sets");
        symlink("file", &link).expect("links");
        put(&link, Existing::Replace, "new").expect("writes");
        assert!(fs::symlink_metadata(&link).expect("is there").is_symlink());
        assert_eq!(fs::read(&file).expect("is there"), b"new");
        assert_eq!(fs::metadata(&file).expect("is there").permissions().mode() & 0o777, 0o640);
        // A link that points nowhere yet.
        symlink("later", &open).expect("links");
        put(&open, Existing::Refuse, "made").expect("writes");
        assert_eq!(fs::read(folder.path().join("later")).expect("is there"), b"made");
        assert!(fs::symlink_metadata(&open).expect("is there").is_symlink());
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_written_to() {
        let null = Path::new("/dev/null");
        check(null, Existing::Refuse).expect("a device can be written to");
        put(null, Existing::Refuse, "gone").expect("writes");
        assert!(!fs::metadata(null).expect("is there").is_file());
    }
}
