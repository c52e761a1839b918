//! The kind of thing that a path names.

use crate::OutputError;
use std::fs::{self, FileType};
use std::path::{Path, PathBuf, is_separator};

/// The kind of thing that a path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A device, a pipe, or an open file of this process: written to directly.
    Device {
        /// True for a pipe, whose opening waits for the other end.
        pipe: bool,
    },
    /// A file, present or not, behind all links.
    File { target: PathBuf, present: bool },
}

/// The longest chain of links that is followed.
const LINKS: usize = 40;

impl Place {
    /// Finds out what a path names.
    pub(crate) fn of(path: &Path) -> Result<Self, OutputError> {
        let folder = || OutputError::Folder { path: path.to_owned() };
        let mut target = path.to_owned();
        for _ in 0..LINKS {
            if ends_as_folder(&target) {
                return Err(folder());
            }
            // `/dev/stdout` may lead to an ordinary file, but that file belongs to the shell.
            if is_open_file(&target) {
                let pipe = fs::metadata(&target).is_ok_and(|found| is_pipe(found.file_type()));
                return Ok(Self::Device { pipe });
            }
            let Ok(next) = fs::read_link(&target) else {
                return match fs::metadata(&target) {
                    Ok(found) if found.is_dir() => Err(folder()),
                    Ok(found) if is_socket(found.file_type()) => {
                        Err(OutputError::Socket { path: path.to_owned() })
                    }
                    Ok(found) if !found.is_file() => Ok(Self::Device { pipe: is_pipe(found.file_type()) }),
                    found => Ok(Self::File { target, present: found.is_ok() }),
                };
            };
            target = target.parent().unwrap_or(Path::new("")).join(next);
        }
        Err(OutputError::Links { path: path.to_owned() })
    }
}

/// Returns true if a path ends with a separator, or with a separator and a dot.
fn ends_as_folder(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let text = match text.strip_suffix('.') {
        Some(rest) if rest.ends_with(is_separator) => rest,
        _ => &text,
    };
    text.ends_with(is_separator)
}

/// Returns true if a path names an open file of a process, such as `/dev/stdout`, `/dev/fd/3` or `/proc/self/fd/1`.
pub(crate) fn is_open_file(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().is_ok_and(|folder| folder.starts_with("/proc") || folder == Path::new("/dev/fd"))
}

#[cfg(unix)]
pub(crate) fn is_pipe(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
pub(crate) fn is_pipe(_: FileType) -> bool {
    false
}

#[cfg(unix)]
pub(crate) fn is_socket(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&kind)
}

#[cfg(not(unix))]
pub(crate) fn is_socket(_: FileType) -> bool {
    false
}
