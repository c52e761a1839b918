use crate::data::DataError;
use crate::text::brown::BrownError;
use collimate_attention::AttentionError;
use collimate_claims::{Outcome, Why};
use collimate_grad::GradError;
use collimate_measure::MeasureError;
use collimate_sae::SaeError;
use collimate_superposition::SuperpositionError;
use collimate_transformer::TransformerError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a study on a real model could not be carried out.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StudyError {
    /// The model or the corpus is not in the cache.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model.
    #[error(transparent)]
    Model(#[from] TransformerError),
    /// A dictionary or the stored activations.
    #[error(transparent)]
    Dictionary(#[from] SaeError),
    /// A world of features that cannot be.
    #[error(transparent)]
    World(#[from] SuperpositionError),
    /// Attention that could not be computed.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// An optimiser that could not go on.
    #[error(transparent)]
    Training(#[from] GradError),
    /// The labelled corpus.
    #[error(transparent)]
    Brown(#[from] BrownError),
    /// A number could not be measured.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// A file of the cache.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl StudyError {
    /// Returns the outcome of a claim: the given one, or the outcome of the error.
    pub(crate) fn into_outcome(result: Result<Outcome, Self>) -> Outcome {
        result.unwrap_or_else(Self::outcome)
    }

    /// Returns the outcome of a claim that this error ended: what is missing and how to get it, or what went wrong.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Data(DataError::Absent { title, how, .. }) => {
                Outcome::unavailable(title, format!("{how} downloads it"))
            }
            // These messages say themselves what to do.
            Self::Data(error) => Outcome::unavailable("a download", error.to_string()),
            Self::Interrupted => Outcome::inconclusive(Why::Interrupted),
            other => Outcome::inconclusive(Why::Other(other.to_string())),
        }
    }
}
