//! Outputs that are inputs, and files that are read without waiting.

use crate::OutputError;
use crate::place::{is_open_file, is_pipe, is_socket};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Checks that an output replaces no input of the same work, by whatever name.
///
/// An input is protected if it is the output, if it lies below an output folder, or if the output is an existing file below it.
/// Links are followed. Devices and pipes are no files and are not compared.
///
/// # Errors
/// [`OutputError::Input`] with both paths.
///
/// # Examples
/// ```
/// use collimate_output::{OutputError, check_inputs};
/// use std::path::Path;
/// let file = std::env::temp_dir().join(format!("collimate-input-doc-{}", std::process::id()));
/// std::fs::write(&file, "rows")?;
/// assert!(matches!(check_inputs(&file, [file.as_path()]), Err(OutputError::Input { .. })));
/// assert!(check_inputs(Path::new("codes.npy"), [file.as_path()]).is_ok());
/// # std::fs::remove_file(&file)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check_inputs<'a>(
    output: &Path,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<(), OutputError> {
    let Some(place) = place(output) else { return Ok(()) };
    for input in inputs {
        let Ok(read) = input.canonicalize() else { continue };
        let below = place.starts_with(&read) && place.exists();
        if read.starts_with(&place) || below || same_file(&place, &read) {
            return Err(OutputError::Input { path: output.to_owned(), input: input.to_owned() });
        }
    }
    Ok(())
}

/// Returns the absolute path behind all links; `None` for what is neither file nor folder, present or absent.
fn place(path: &Path) -> Option<PathBuf> {
    if is_open_file(path) {
        return None;
    }
    match path.canonicalize() {
        Ok(found) => (found.is_file() || found.is_dir()).then_some(found),
        Err(_) => {
            let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(parent.canonicalize().ok()?.join(path.file_name()?))
        }
    }
}

#[cfg(unix)]
fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn same_file(_: &Path, _: &Path) -> bool {
    false
}

/// Opens a regular file for reading. Pipes, sockets, devices and folders are refused without being opened, because opening a
/// pipe waits for its writer.
///
/// # Errors
/// An error of the operating system, or one that says what the path is.
///
/// # Examples
/// ```
/// let error = collimate_output::open_regular(&std::env::temp_dir()).unwrap_err();
/// assert_eq!(error.to_string(), "this is a folder; expected a regular file");
/// ```
pub fn open_regular(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() {
        return File::open(path);
    }
    let what = match kind {
        kind if kind.is_dir() => "a folder",
        kind if is_pipe(kind) => "a pipe",
        kind if is_socket(kind) => "a socket",
        _ => "a device",
    };
    let what = format!("this is {what}; expected a regular file");
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}

/// Opens a regular file, or a stream that is already open in this process, for reading from its beginning to its end:
/// `/dev/stdin`, or the `/dev/fd/63` of a shell's `<(…)`. Everything else is refused like in [`open_regular`].
///
/// # Errors
/// As [`open_regular`].
///
/// # Examples
/// ```
/// let error = collimate_output::open_stream(&std::env::temp_dir()).unwrap_err();
/// assert!(error.to_string().contains("is a folder"));
/// ```
pub fn open_stream(path: &Path) -> io::Result<File> {
    // `/dev/stdin` is a link into the folder of open files.
    let target =
        fs::read_link(path).map_or(path.to_owned(), |next| path.parent().unwrap_or(Path::new("")).join(next));
    if (is_open_file(path) || is_open_file(&target)) && !fs::metadata(path)?.is_dir() {
        return File::open(path);
    }
    open_regular(path)
}
