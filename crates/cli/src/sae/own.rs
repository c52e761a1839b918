//! The kinds of files that training writes, told by their content.

use collimate_tensor::files::Safetensors;
use std::path::Path;

/// A file of Collimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// A dictionary or a transcoder.
    Dictionary,
    /// The state of a training run.
    Checkpoint,
}

/// Returns the kind of a file of Collimate; `None` for every other file.
pub(super) fn own(path: &Path) -> Option<Own> {
    let file = Safetensors::open(path).ok()?;
    let format = file.metadata().get("format")?;
    match format.strip_prefix("collimate ")? {
        rest if rest.starts_with("training state") => Some(Own::Checkpoint),
        _ => Some(Own::Dictionary),
    }
}
