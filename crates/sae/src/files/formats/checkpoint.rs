use super::format::Format;
use crate::dictionary::Dictionary;
use crate::error::SaeError;
use collimate_tensor::Scalar;
use std::collections::BTreeMap;

/// A dictionary as it was read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint<F> {
    /// The dictionary.
    pub dictionary: Dictionary<F>,
    /// The format of the file.
    pub format: Format,
    /// The model and the place that it was trained at, as the file names them, key by key.
    pub about: BTreeMap<String, String>,
    /// The decisions of the reader, in sentences.
    pub notes: Vec<String>,
    /// The threshold that training learned from batches, if the file is a training checkpoint that selects over the batch.
    pub threshold_of_batches: Option<f64>,
}

impl<F: Scalar> Checkpoint<F> {
    pub(super) fn of(dictionary: Dictionary<F>, format: Format) -> Self {
        let (about, notes, threshold_of_batches) = (BTreeMap::new(), Vec::new(), None);
        Self { dictionary, format, about, notes, threshold_of_batches }
    }

    /// Returns the form for single rows of a dictionary that selects over the batch: JumpReLU with its one threshold.
    ///
    /// # Errors
    /// [`SaeError::Unsupported`] for other members and for files without a threshold.
    pub fn for_single_rows(&self) -> Result<Dictionary<F>, SaeError> {
        match self.threshold_of_batches {
            Some(threshold) => self.dictionary.clone().with_threshold(threshold.max(0.0)).to_jump_relu(),
            None => Err(SaeError::Unsupported {
                operation: "encoding by a threshold learned from batches",
                architecture: self.dictionary.variant.name(),
            }),
        }
    }
}
