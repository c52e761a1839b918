use crate::data::DataError;
use crate::text::brown::BrownError;
use collimate_attention::AttentionError;
use collimate_claims::{Outcome, Why};
use collimate_grad::GradError;
use collimate_measure::{MeasureError, OutOfRange};
use collimate_output::OutputError;
use collimate_sae::SaeError;
use collimate_superposition::SuperpositionError;
use collimate_transformer::{HookPoint, ModelFileError, RunError, TrainingError, TransformerError};
use std::path::PathBuf;
use thiserror::Error;

/// An error of a study: of its data, of one of the objects it joins, of a file, or an interruption.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StudyError {
    /// The model or the corpus is not in the cache.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The language model: its configuration, its file or a run.
    #[error(transparent)]
    Model(#[from] TransformerError),
    /// A dictionary or the stored activations.
    #[error(transparent)]
    Dictionary(#[from] SaeError),
    /// Synthetic features that cannot be made.
    #[error(transparent)]
    Features(#[from] SuperpositionError),
    /// Attention that could not be computed.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// An optimiser that could not go on.
    #[error(transparent)]
    Training(#[from] GradError),
    /// A step of training a transformer.
    #[error(transparent)]
    Step(#[from] TrainingError),
    /// A setting out of its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The labelled corpus.
    #[error(transparent)]
    Brown(#[from] BrownError),
    /// A number that could not be measured.
    #[error(transparent)]
    Measure(#[from] MeasureError),
    /// A file or folder that could not be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A place in a model that has no rows.
    #[error("{point} has no rows of one width; choose another site, or a layer of the model")]
    NoSuchRows {
        /// The place.
        point: HookPoint,
    },
    /// A file or folder of the cache or of the user.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A splice without a dictionary, which has no codes.
    #[error("a splice of given rows has no codes; make it with Splice::dictionary to read or change codes")]
    NoDictionary,
    /// A run that gave the splice nothing to replace.
    #[error(
        "the run did not pass {point} at a position after 0; run the model through that layer, on at least two tokens, with \
         the splice as its hooks"
    )]
    NotReached {
        /// The point of the splice.
        point: HookPoint,
    },
    /// A point outside the residual stream, where a direct effect on the logits is not defined.
    #[error(
        "{operation} is not defined at {point}; choose a site of the residual stream, or the output of an attention or MLP layer"
    )]
    OutsideResidual {
        /// The operation.
        operation: &'static str,
        /// The point.
        point: HookPoint,
    },
    /// A rule that leaves out every row.
    #[error(
        "every row of the text is left out; leave out fewer tokens, allow larger norms, or choose a longer text"
    )]
    NoRows,
    /// The caller stopped the study, for example by Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl From<RunError> for StudyError {
    fn from(error: RunError) -> Self {
        Self::Model(error.into())
    }
}

impl From<ModelFileError> for StudyError {
    fn from(error: ModelFileError) -> Self {
        Self::Model(error.into())
    }
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
            Self::Model(TransformerError::Run(error @ (RunError::NoHead | RunError::NotCausal))) => {
                Outcome::unavailable("a model that predicts the next token", error.to_string())
            }
            Self::Interrupted => Outcome::inconclusive(Why::Interrupted),
            other => Outcome::inconclusive(Why::Other(other.to_string())),
        }
    }
}
