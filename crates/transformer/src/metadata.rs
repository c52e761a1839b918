//! Errors of the metadata of a GGUF file.

use crate::error::ModelFileError;
use collimate_tensor::files::Gguf;

/// Returns the error of a metadata entry that is missing or cannot be used.
pub(crate) fn unusable(file: &Gguf, key: &str, expected: &str) -> ModelFileError {
    let given = file.value(key).map_or("nothing".into(), |value| {
        let mut text = format!("{value:?}");
        if let Some((end, _)) = text.char_indices().nth(100) {
            text.truncate(end);
            text.push('…');
        }
        text
    });
    ModelFileError::Metadata { key: key.into(), expected: expected.into(), given }
}
