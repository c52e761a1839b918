use collimate_tensor::ShapeError;
use thiserror::Error;

/// Why attention could not be computed.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum AttentionError {
    /// An array has another shape than the other arguments ask for.
    #[error("{argument} must have the shape {expected:?} {axes}, but has {given:?}")]
    Shape {
        /// The name of the argument.
        argument: &'static str,
        /// The axis letters, for example `(h, t, d)`.
        axes: &'static str,
        /// The shape that was needed.
        expected: Vec<usize>,
        /// The shape that was given.
        given: Vec<usize>,
    },
    /// The number of query heads and key heads does not fit the head map.
    #[error("{map} cannot join {query_heads} query heads to {key_heads} key heads: {reason}")]
    Heads {
        /// The head map.
        map: &'static str,
        /// The number of query heads that was given.
        query_heads: usize,
        /// The number of key heads that was given.
        key_heads: usize,
        /// What is wrong, in words.
        reason: &'static str,
    },
    /// A parameter outside its range.
    #[error("{name} must be {expected}, but is {given}")]
    OutOfRange {
        /// The name of the parameter.
        name: &'static str,
        /// The range, in words.
        expected: &'static str,
        /// What was given.
        given: f64,
    },
    /// Rotary positions were asked for, but nothing says at which position the queries stand.
    #[error(
        "rotary positions with {queries} queries and {keys} keys: without a causal mask nothing says where the queries \
         stand; rotate q and k with `Rotary::table` before the call"
    )]
    UnknownPositions {
        /// The number of queries.
        queries: usize,
        /// The number of keys.
        keys: usize,
    },
    /// An array has another number of axes than its argument allows.
    #[error("{argument} must have the rank {expected}, but has the shape {given:?}")]
    Rank {
        /// The name of the argument.
        argument: &'static str,
        /// The ranks, in words.
        expected: &'static str,
        /// The shape that was given.
        given: Vec<usize>,
    },
    /// Choices that do not go together.
    #[error("{what} has no meaning: {reason}")]
    Meaningless {
        /// The choices.
        what: &'static str,
        /// Why they contradict each other, and what to do.
        reason: &'static str,
    },
    /// A learned array is missing, or is not one that the variant reads.
    #[error("the parameter {name} {problem}")]
    Parameter {
        /// The name of the array.
        name: &'static str,
        /// What is wrong, in words.
        problem: &'static str,
    },
    /// Finite rows whose score is not finite.
    #[error(
        "the score of query {query} and key {key} of head {head} overflows: the rows are finite, but too large for their type"
    )]
    Overflow {
        /// The query head, counted through in a batch.
        head: usize,
        /// The query.
        query: usize,
        /// The key.
        key: usize,
    },
    /// Finite inputs of a recurrence whose state or output is not finite.
    #[error(
        "the state that query head {head} reads overflows by token {token}: the inputs are finite, but too large for their \
         type, or made larger in every step by a positive log-decay or β|k|² > 2"
    )]
    StateOverflow {
        /// The first query head that reads the state.
        head: usize,
        /// A token by which it has happened: the first in the recurrent form, the end of the chunk in the others, and the number
        /// of tokens when only the state after the last is not finite.
        token: usize,
    },
    /// Finite rows whose weighted sum is not finite.
    #[error(
        "the output of query {query} of head {head} overflows: the values it attends to are finite, but too large to be summed"
    )]
    OutputOverflow {
        /// The query head, counted through in a batch.
        head: usize,
        /// The query.
        query: usize,
    },
    /// An array is not in standard (row-major, contiguous) layout where it must be.
    #[error("{argument} must be in standard (row-major, contiguous) layout")]
    Layout {
        /// The name of the argument.
        argument: &'static str,
    },
    /// An index past the end of an axis.
    #[error("{axis} {index} does not exist: there are {length}")]
    Index {
        /// What is indexed, for example `head`.
        axis: &'static str,
        /// The index that was asked for.
        index: usize,
        /// The length of the axis.
        length: usize,
    },
    /// Nothing in the data fits the definition, for example no token occurs twice.
    #[error("{quantity}: {reason}")]
    Undefined {
        /// The name of the quantity.
        quantity: &'static str,
        /// Why it has no value here.
        reason: &'static str,
    },
    /// An array primitive refused its arguments.
    #[error(transparent)]
    Tensor(#[from] ShapeError),
}

/// An error unless `given` is the shape `expected`.
pub(crate) fn check_shape(
    argument: &'static str,
    axes: &'static str,
    expected: &[usize],
    given: &[usize],
) -> Result<(), AttentionError> {
    if expected == given {
        return Ok(());
    }
    Err(AttentionError::Shape { argument, axes, expected: expected.to_vec(), given: given.to_vec() })
}
