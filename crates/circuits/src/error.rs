use collimate_measure::OutOfRange;
use collimate_sae::SaeError;
use collimate_tensor::ShapeError;
use collimate_transformer::RunError;
use thiserror::Error;

/// An error of an analysis of a model.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CircuitError {
    /// A run of the model was refused.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A dictionary was refused.
    #[error(transparent)]
    Dictionary(#[from] SaeError),
    /// Arrays whose shapes do not fit a product.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A number out of its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// Two prompts of different lengths.
    #[error(
        "the clean prompt has {} tokens and the corrupt one {}: {clean:?} and {corrupt:?}; give two prompts of equal length, token by token",
        clean.len(), corrupt.len()
    )]
    UnequalLengths {
        /// The tokens of the clean prompt.
        clean: Vec<u32>,
        /// The tokens of the corrupt prompt.
        corrupt: Vec<u32>,
    },
    /// A metric that both runs give the same value, so that nothing can be normalised by the difference.
    #[error(
        "the metric is {value} in both runs, so no share of the difference exists; take another pair, another metric, or the raw values"
    )]
    EqualBaselines {
        /// The value in both runs.
        value: f64,
    },
    /// A set of prompts that cannot be averaged over.
    #[error("the prompts to average over: {reason}")]
    HeldOut {
        /// The reason and the next step.
        reason: String,
    },
    /// A property of the architecture under which the analysis is not defined.
    #[error("this analysis is not defined for the model {model}: {reason}")]
    Architecture {
        /// The name of the architecture.
        model: String,
        /// The reason.
        reason: String,
    },
    /// Arguments that do not fit the model or each other.
    #[error("{0}")]
    Argument(String),
}
