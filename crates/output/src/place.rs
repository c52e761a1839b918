use crate::OutputError;
use std::fs;
use std::path::{Path, PathBuf};

/// The kind of thing that a path names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A device, a pipe, or an open file of this process: written to directly.
    Device,
    /// A file, present or not, behind all links.
    File { target: PathBuf, present: bool },
}

/// The longest chain of links that is followed.
const LINKS: usize = 40;

impl Place {
    /// Finds out what a path names.
    pub(crate) fn of(path: &Path) -> Result<Self, OutputError> {
        // `/dev/stdout` may lead to an ordinary file, but that file belongs to the shell.
        if path.starts_with("/dev") || path.starts_with("/proc") {
            return Ok(Self::Device);
        }
        let mut target = path.to_owned();
        for _ in 0..LINKS {
            let Ok(next) = fs::read_link(&target) else {
                return match fs::metadata(&target) {
                    Ok(found) if found.is_dir() => Err(OutputError::Folder { path: path.to_owned() }),
                    Ok(found) if !found.is_file() => Ok(Self::Device),
                    found => Ok(Self::File { target, present: found.is_ok() }),
                };
            };
            target = target.parent().unwrap_or(Path::new("")).join(next);
            if target.starts_with("/dev") || target.starts_with("/proc") {
                return Ok(Self::Device);
            }
        }
        Err(OutputError::Links { path: path.to_owned() })
    }
}
