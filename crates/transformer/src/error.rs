use crate::HookPoint;
use collimate_attention::AttentionError;
use collimate_measure::MeasureError;
use collimate_tensor::ShapeError;
use collimate_tensor::files::FileError;
use thiserror::Error;

/// Why a model could not be read or run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransformerError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] FileError),
    /// A metadata entry of the file is missing or says something that cannot be used.
    #[error("metadata entry '{key}': expected {expected}, found {given}")]
    Metadata {
        /// The name of the entry.
        key: String,
        /// What was needed, in words.
        expected: String,
        /// What is there, or `nothing`.
        given: String,
    },
    /// A number of the configuration outside its range.
    #[error("the configuration's {name} must be {expected}, but is {given}")]
    Config {
        /// The field.
        name: &'static str,
        /// The range, in words.
        expected: &'static str,
        /// What was given.
        given: f64,
    },
    /// A tensor of the file has another shape than the configuration asks for.
    #[error("tensor '{name}' must have the shape {expected:?}, but has {given:?}")]
    TensorShape {
        /// The tensor.
        name: String,
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape in the file.
        given: Vec<usize>,
    },
    /// A tensor that the model has no place for: leaving it out would silently compute something else.
    #[error("the model has no place for the tensor '{name}'")]
    UnexpectedTensor {
        /// The tensor.
        name: String,
    },
    /// No token was given.
    #[error("the input has no tokens")]
    EmptyInput,
    /// A token id outside the vocabulary.
    #[error("token {id} at position {position} is not in the vocabulary of {n_vocab}")]
    UnknownToken {
        /// The id.
        id: u32,
        /// Its position in the input.
        position: usize,
        /// The size of the vocabulary.
        n_vocab: usize,
    },
    /// More tokens than the model was made for.
    #[error("{given} tokens do not fit into the context of {context}")]
    ContextOverflow {
        /// How many tokens were given.
        given: usize,
        /// How many fit.
        context: usize,
    },
    /// A layer that does not exist, or one that lies before the layer a run starts from.
    #[error("layer {given} is not in the range {first}..={last}")]
    Layer {
        /// The layer that was asked for.
        given: usize,
        /// The first that would do.
        first: usize,
        /// The last that would do.
        last: usize,
    },
    /// An array has another shape than the model asks for.
    #[error("{argument} must have the shape {expected:?}, but has {given:?}")]
    Shape {
        /// The name of the argument.
        argument: &'static str,
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape that was given.
        given: Vec<usize>,
    },
    /// NaN or infinity where numbers were expected.
    #[error("{place}: {count} values are NaN or infinite (the first at position {first})")]
    NonFinite {
        /// Where they were met: a tensor, an argument, a hook point.
        place: String,
        /// How many there are.
        count: usize,
        /// The position of the first, counted in row-major order.
        first: usize,
    },
    /// A capture was asked for an activation that it does not hold.
    #[error("{point} was not captured: it was not asked for, or the run did not pass it")]
    NotCaptured {
        /// The activation.
        point: HookPoint,
    },
    /// The tokenizer refused its vocabulary or a text.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
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

/// An error that names NaN and infinity among `values`, if there are any.
pub(crate) fn check_finite<'a>(
    place: impl FnOnce() -> String,
    values: impl Iterator<Item = &'a f32> + Clone,
) -> Result<(), TransformerError> {
    // Ninety-nine times of a hundred there are none, and a plain sweep without branches says so.
    if values.clone().fold(true, |all, x| all & x.is_finite()) {
        return Ok(());
    }
    let first = values.clone().position(|x| !x.is_finite()).unwrap_or_default();
    let count = values.filter(|x| !x.is_finite()).count();
    Err(TransformerError::NonFinite { place: place(), count, first })
}
