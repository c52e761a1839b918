use collimate_measure::OutOfRange;
use collimate_tensor::ShapeError;
use thiserror::Error;

/// The reason why attention could not be computed.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum AttentionError {
    /// An array whose shape does not fit the other arguments.
    #[error("{argument} must have the shape {expected:?} {axes}, but has {given:?}")]
    Shape {
        /// The name of the argument.
        argument: &'static str,
        /// The axis letters, for example `[h, t, d]`.
        axes: &'static str,
        /// The expected shape.
        expected: Vec<usize>,
        /// The given shape.
        given: Vec<usize>,
    },
    /// Numbers of query heads and key heads that do not fit the head map.
    #[error("{map} cannot join {query_heads} query heads to {key_heads} key heads: {reason}")]
    Heads {
        /// The head map.
        map: &'static str,
        /// The given number of query heads.
        query_heads: usize,
        /// The given number of key heads.
        key_heads: usize,
        /// The reason, in words.
        reason: &'static str,
    },
    /// An argument outside its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// Rotary positions without a mask that defines the positions of the queries.
    #[error(
        "rotary positions with {queries} queries and {keys} keys: without a causal mask the positions of the queries are \
         unknown; rotate q and k with `Rotary::table` before the call"
    )]
    UnknownPositions {
        /// The number of queries.
        queries: usize,
        /// The number of keys.
        keys: usize,
    },
    /// An array with a number of axes that its argument does not allow.
    #[error("{argument} must have the rank {expected}, but has the shape {given:?}")]
    Rank {
        /// The name of the argument.
        argument: &'static str,
        /// The ranks, in words.
        expected: &'static str,
        /// The given shape.
        given: Vec<usize>,
    },
    /// Choices that contradict each other.
    #[error("{what} has no meaning: {reason}")]
    Meaningless {
        /// The choices.
        what: &'static str,
        /// The contradiction, and the next step.
        reason: &'static str,
    },
    /// A learned array that is missing, or that the variant does not read.
    #[error("the parameter {name} {problem}")]
    Parameter {
        /// The name of the array.
        name: &'static str,
        /// The problem, in words.
        problem: &'static str,
    },
    /// Finite inputs with a non-finite result: an error of the run, while all other errors concern the arguments.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// An array that is not in the required standard (row-major, contiguous) layout.
    #[error("{argument} must be in standard (row-major, contiguous) layout")]
    Layout {
        /// The name of the argument.
        argument: &'static str,
    },
    /// An index past the end of an axis.
    #[error("{axis} {index} does not exist: there are {length}")]
    Index {
        /// The name of the axis, for example `head`.
        axis: &'static str,
        /// The given index.
        index: usize,
        /// The length of the axis.
        length: usize,
    },
    /// A quantity whose definition does not apply to the data, for example because no token occurs twice.
    #[error("{quantity}: {reason}")]
    Undefined {
        /// The name of the quantity.
        quantity: &'static str,
        /// The reason why it has no value here.
        reason: &'static str,
    },
    /// The error of an array primitive.
    #[error(transparent)]
    Tensor(#[from] ShapeError),
}

/// Finite inputs that are too large for their type.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// Finite rows with a non-finite score.
    #[error(
        "the score of query {query} and key {key} of head {head} overflows: the rows are finite, but too large for their type"
    )]
    Score {
        /// The query head; in a batch `b·H + h`.
        head: usize,
        /// The query.
        query: usize,
        /// The key.
        key: usize,
    },
    /// Finite values with a non-finite weighted sum.
    #[error(
        "the output of query {query} of head {head} overflows: the values it attends to are finite, but too large to be summed"
    )]
    Output {
        /// The query head; in a batch `b·H + h`.
        head: usize,
        /// The query.
        query: usize,
    },
    /// Finite inputs of a recurrence with a non-finite state or output.
    #[error(
        "the state that query head {head} reads overflows at or before token {token}: the inputs are finite, but too large for \
         their type, or a positive log-decay or β|k|² > 2 enlarges them in every step"
    )]
    State {
        /// The first query head that reads the state.
        head: usize,
        /// The token at or before which the state overflows: the first non-finite token in the recurrent form, the end of its chunk
        /// in the other forms, and the number of tokens if only the state after the last token is non-finite.
        token: usize,
    },
}

/// Returns an error unless the shape `given` is `expected`.
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
