use super::FileError;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Writes a file so that it is either there completely or not at all.
///
/// The content goes to a new file in the same folder, is flushed to the disk, and takes the name of the target by a
/// rename. When `write` fails, the new file is removed and the target stays as it was.
///
/// # Errors
/// [`FileError::Io`] when the folder cannot be written to, the disk is full, or `write` says so.
///
/// # Examples
/// ```
/// use collimate_tensor::files::write_atomically;
/// use std::io::Write;
/// let path = std::env::temp_dir().join(format!("collimate-atomic-doc-{}", std::process::id()));
/// write_atomically(&path, |out| out.write_all(b"whole"))?;
/// assert_eq!(std::fs::read(&path)?, b"whole");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), FileError> {
    let io = |place: &str, source| FileError::Io { path: path.into(), place: place.into(), source };
    let (temporary, file) = create_beside(path).map_err(|e| io("creating a temporary file beside it", e))?;
    let mut writer = BufWriter::new(file);
    let written = write(&mut writer)
        .and_then(|()| writer.flush())
        .and_then(|()| writer.get_ref().sync_all())
        .map_err(|e| io("writing", e));
    drop(writer);
    let renamed =
        written.and_then(|()| fs::rename(&temporary, path).map_err(|e| io("renaming into place", e)));
    if renamed.is_err() {
        // The first error is the one to report; a leftover temporary file is only untidy.
        let _ = fs::remove_file(&temporary);
    }
    renamed
}

fn create_beside(path: &Path) -> std::io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or_else(|| std::io::Error::other("the path has no file name"))?;
    loop {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        temporary.push(format!(".{}.{number}.part", std::process::id()));
        let temporary = path.with_file_name(temporary);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            // Left behind by a killed process that had our number: take the next name.
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(file) => return Ok((temporary, file)),
        }
    }
}
