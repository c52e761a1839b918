use super::checkpoint::Checkpoint;
use super::format::Format;
use crate::arranged::any::AnyDictionary;
use crate::error::SaeError;
use crate::precision::Precision;
use std::collections::BTreeMap;
use std::path::Path;

/// A dictionary of any architecture as it was read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyCheckpoint<F> {
    /// The dictionary.
    pub dictionary: AnyDictionary<F>,
    /// The format of the file.
    pub format: Format,
    /// The model and the place that it was trained at, as the file names them, key by key.
    pub about: BTreeMap<String, String>,
    /// The decisions of the reader, in sentences.
    pub notes: Vec<String>,
    /// The threshold that training learned from batches, if the file is a training checkpoint that selects over the batch.
    pub threshold_of_batches: Option<f64>,
}

impl<F> AnyCheckpoint<F> {
    pub(super) fn of(dictionary: AnyDictionary<F>, format: Format) -> Self {
        let (about, notes, threshold_of_batches) = (BTreeMap::new(), Vec::new(), None);
        Self { dictionary, format, about, notes, threshold_of_batches }
    }
}

impl<F: Precision> AnyCheckpoint<F> {
    /// Returns the checkpoint of a dictionary of single rows.
    ///
    /// # Errors
    /// [`SaeError::File`] with the axes that another architecture takes.
    pub fn into_rows(self, path: &Path) -> Result<Checkpoint<F>, SaeError> {
        let Self { dictionary, format, about, notes, threshold_of_batches } = self;
        match dictionary {
            AnyDictionary::Rows(dictionary) => {
                Ok(Checkpoint { dictionary, format, about, notes, threshold_of_batches })
            }
            other => Err(SaeError::File {
                path: path.to_owned(),
                reason: format!(
                    "this is a {}, which takes an input {}, but a dictionary of single rows is needed here; `collimate sae encode` and \
                     `collimate sae info` take every architecture",
                    other.name(),
                    other.arrangement()
                ),
            }),
        }
    }
}

impl<F> From<Checkpoint<F>> for AnyCheckpoint<F> {
    fn from(checkpoint: Checkpoint<F>) -> Self {
        let Checkpoint { dictionary, format, about, notes, threshold_of_batches } = checkpoint;
        Self { dictionary: dictionary.into(), format, about, notes, threshold_of_batches }
    }
}
