//! The one way in which the readers refuse a file.

use crate::SaeError;
use std::path::Path;

/// Returns the error of a file with other contents than expected.
pub(super) fn wrong(path: &Path, reason: impl Into<String>) -> SaeError {
    SaeError::File { path: path.to_owned(), reason: reason.into() }
}
