use crate::site::HookPoint;
use collimate_attention::AttentionError;
use collimate_grad::GradError;
use collimate_measure::{MeasureError, OutOfRange};
use collimate_tensor::ShapeError;
use collimate_tensor::files::FileError;
use ndarray::Array2;
use rayon::prelude::*;
use std::path::PathBuf;
use thiserror::Error;

/// An error of a model: its configuration, its file, or a run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransformerError {
    /// A number of the configuration is out of its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The file cannot be read as a model; another file is needed.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// A run was refused; another input is needed.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// An error of a file that should hold a model or a tokenizer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A metadata entry is missing or has a value that cannot be used.
    #[error("metadata entry '{key}': expected {expected}, found {given}")]
    Metadata {
        /// The name of the entry.
        key: String,
        /// The expected value, in words.
        expected: String,
        /// The value in the file, or `nothing`.
        given: String,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("tensor '{name}' must have the shape {expected:?}, but has {given:?}")]
    TensorShape {
        /// The name of the tensor.
        name: String,
        /// The expected shape.
        expected: Vec<usize>,
        /// The shape in the file.
        given: Vec<usize>,
    },
    /// The configuration cannot be read.
    #[error("the configuration {0}")]
    Configuration(String),
    /// The file lacks a tensor that the model needs.
    #[error("the file has no tensor '{name}', which the model needs")]
    MissingTensor {
        /// The name of the tensor.
        name: String,
    },
    /// A tensor that the model has no place for. Without it, the model would silently compute something else.
    #[error("the model has no place for the tensor '{name}'")]
    UnexpectedTensor {
        /// The name of the tensor.
        name: String,
    },
    /// The weights need more memory than the machine has.
    #[error(
        "the weights need {needed} bytes as f32, which is more than the machine has; use a smaller model"
    )]
    Memory {
        /// The number of bytes.
        needed: u64,
    },
    /// A weight is NaN or infinite.
    #[error(transparent)]
    NonFinite(#[from] NonFinite),
    /// The vocabulary or the merges of the tokenizer do not fit together.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
}

/// An error of one run: its input, its hooks, or a request for a result that the run does not have.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// No token was given.
    #[error("the input has no tokens; at least one is needed")]
    EmptyInput,
    /// A token id is outside the vocabulary.
    #[error("token {id} at position {position} is not in the vocabulary of {n_vocab}")]
    UnknownToken {
        /// The id.
        id: u32,
        /// Its position in the input.
        position: usize,
        /// The size of the vocabulary.
        n_vocab: usize,
    },
    /// A position or a token type has no row in its table.
    #[error("the table of {table} has {rows} rows, but position {position} asks for row {row}")]
    TableRow {
        /// The content of the table.
        table: &'static str,
        /// The row asked for.
        row: i64,
        /// The number of rows.
        rows: usize,
        /// The position in the sequence.
        position: usize,
    },
    /// There are more tokens than the context of the model has places.
    #[error(
        "{given} tokens do not fit into the context of {context}; give fewer, or allow more where positions are not learned \
         (`Input::beyond_context`)"
    )]
    ContextOverflow {
        /// The number of tokens given.
        given: usize,
        /// The number of tokens that fit.
        context: usize,
    },
    /// A layer that does not exist, or one before the layer from which a run starts.
    #[error("layer {given} is not in the range {first}..={last}")]
    Layer {
        /// The layer given.
        given: usize,
        /// The first possible layer.
        first: usize,
        /// The last possible layer.
        last: usize,
    },
    /// A hook names an activation that the model does not have.
    #[error(
        "a hook names {point}, but the model has {layers} layers, counted from 0; choose a layer below {layers} and a point that it has \
         (`collimate model info` lists them)"
    )]
    NoSuchPoint {
        /// The activation.
        point: HookPoint,
        /// The number of layers of the model.
        layers: usize,
    },
    /// A gradient at a point that the backward pass does not read again.
    #[error(
        "{point} is inside an operation, so no gradient can be taken there and no change is followed; take the query, key, value or \
         head output of the layer, or its residual stream"
    )]
    NoGradient {
        /// The activation.
        point: HookPoint,
    },
    /// A norm that cannot be folded into a matrix, or a head that is no product of matrices.
    #[error(
        "{place} cannot be folded: {reason}; read the weights as they are (`Model::head_weights`, `Model::read_parameter`)"
    )]
    Folding {
        /// The place, in words.
        place: String,
        /// The reason.
        reason: &'static str,
    },
    /// A number is out of its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The model has no head that gives logits.
    #[error("the model has no head that gives logits; use its hidden states")]
    NoHead,
    /// The model reads later tokens, so it cannot continue a text, nor learn to.
    #[error(
        "the model is an encoder, whose positions read later tokens; it can neither continue a text nor be trained to; choose a causal model"
    )]
    NotCausal,
    /// An operation that needs all parameters in memory.
    #[error(
        "the weights are kept as the file stores them, so {operation} is not possible; open the model with its weights expanded"
    )]
    Stored {
        /// The operation.
        operation: &'static str,
    },
    /// An intervention that cannot be made in a run.
    #[error("the intervention at {point} cannot be made: {what}")]
    Intervention {
        /// The activation.
        point: HookPoint,
        /// The reason.
        what: String,
    },
    /// Sequences with padding where each must be whole.
    #[error("the batch has padding; give each sequence by itself")]
    Padding,
    /// No position has a target.
    #[error(
        "no position has a target, so there is no loss; give at least two tokens, or a label that counts"
    )]
    NoTargets,
    /// An array has another shape than the model asks for.
    #[error("{argument} must have the shape {expected:?}, but has {given:?}")]
    Shape {
        /// The name of the argument.
        argument: &'static str,
        /// The expected shape.
        expected: Vec<usize>,
        /// The shape given.
        given: Vec<usize>,
    },
    /// An argument holds NaN or infinity, a hook left one, or finite numbers overflow at a site.
    #[error(transparent)]
    NonFinite(#[from] NonFinite),
    /// A capture does not hold the requested activation.
    #[error("{point} was not captured: it was not asked for, or the run did not pass it")]
    NotCaptured {
        /// The activation.
        point: HookPoint,
    },
    /// The vocabulary cannot spell a text, or tokens cannot be decoded.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// Finite numbers overflow in attention.
    #[error("{point}: {source}")]
    Overflow {
        /// The place.
        point: HookPoint,
        /// The reason.
        source: AttentionError,
    },
    /// Attention refused its arguments.
    #[error(transparent)]
    Attention(#[from] AttentionError),
    /// An array primitive refused its arguments.
    #[error(transparent)]
    Tensor(#[from] ShapeError),
    /// A measurement could not be taken.
    #[error(transparent)]
    Measure(#[from] MeasureError),
}

/// An error of training.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// A number of the settings is out of its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A pass through the model was refused.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The optimiser refused its arguments.
    #[error(transparent)]
    Gradient(#[from] GradError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] ModelFileError),
    /// The batches of a step hold no token that predicts another.
    #[error("the batches of a step hold no token that predicts another; rows need at least two tokens")]
    NoTargets,
    /// No parameter is chosen.
    #[error(
        "no parameter of the model is chosen, so nothing can be trained; choose a layer that the model has"
    )]
    NothingChosen,
    /// The loss or the gradient of a step is not finite, or too large for its squares. The parameters are those before the step.
    #[error(
        "step {step}: the loss is {loss} and the norm of its gradient {norm}; take a smaller learning rate, or clip the gradient"
    )]
    NonFinite {
        /// The number of the step, from 1.
        step: u64,
        /// The loss.
        loss: f64,
        /// The norm of the gradient.
        norm: f64,
    },
    /// A checkpoint does not belong to the run.
    #[error("{path}: {what}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// The reason.
        what: String,
    },
}

impl From<FileError> for TrainingError {
    fn from(error: FileError) -> Self {
        Self::File(error.into())
    }
}

/// NaN or infinity among numbers that must be finite.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {count} values are NaN or infinite (the first at position {first})")]
pub struct NonFinite {
    /// The tensor, the argument or the hook point.
    pub place: String,
    /// The number of such values.
    pub count: usize,
    /// The position of the first, counted in row-major order.
    pub first: usize,
}

/// Checks the numbers of a matrix like [`check_finite`], in parallel.
pub(crate) fn check_all_finite<F: collimate_tensor::Scalar>(
    place: impl FnOnce() -> String,
    matrix: &Array2<F>,
) -> Result<(), NonFinite> {
    let fine = |part: &[F]| part.iter().fold(true, |all, x| all & x.is_finite());
    match matrix.as_slice() {
        Some(numbers) if numbers.par_chunks(1 << 15).all(fine) => Ok(()),
        _ => check_finite(place, matrix.iter()),
    }
}

/// Returns an error that names NaN and infinity among `values`, if there are any.
pub(crate) fn check_finite<'a, F: collimate_tensor::Scalar>(
    place: impl FnOnce() -> String,
    values: impl Iterator<Item = &'a F> + Clone,
) -> Result<(), NonFinite> {
    // Nearly always all values are finite; a sweep without branches shows it fastest.
    if values.clone().fold(true, |all, x| all & x.is_finite()) {
        return Ok(());
    }
    let first = values.clone().position(|x| !x.is_finite()).unwrap_or_default();
    let count = values.filter(|x| !x.is_finite()).count();
    Err(NonFinite { place: place(), count, first })
}
