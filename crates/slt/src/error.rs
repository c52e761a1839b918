use crate::PolynomialError;
use collimate_measure::{OutOfRange, WrongLength};

/// An error of a setting, of the data, or of a run.
///
/// [`SltError::Diverged`], [`SltError::Undefined`] and [`SltError::Undetermined`] arise during a run and depend on the data. All other variants
/// say that an argument must change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SltError {
    /// A number lies outside its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// A polynomial or a model has no exact learning coefficient here.
    #[error(transparent)]
    Polynomial(#[from] PolynomialError),
    /// A list or slice has another length than the object it belongs to.
    #[error(transparent)]
    Length(#[from] WrongLength),
    /// A number in the data or the parameters is NaN or infinite.
    #[error("{argument}[{index}] is {value}; expected a finite number")]
    NonFinite {
        /// The name of the argument.
        argument: &'static str,
        /// The first position with such a number.
        index: usize,
        /// The value at that position.
        value: f64,
    },
    /// A size is above the limit of this crate.
    #[error("{what}: {given} is above the limit of {limit}")]
    TooLarge {
        /// The name of the size.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// The size that was given.
        given: usize,
    },
    /// The objective lacks an ability that the estimator needs.
    #[error("the objective does not offer {ability}; implement it in `Objective`, or use another estimator")]
    Unsupported {
        /// The missing ability.
        ability: &'static str,
    },
    /// The density has no finite integral, so it has no expectation either.
    #[error("the target has no finite integral: {reason}; add a localisation or walls")]
    Improper {
        /// The reason.
        reason: &'static str,
    },
    /// The data do not determine the result.
    #[error("the data do not determine {what}; more, or more varied, observations are needed")]
    Undetermined {
        /// The numbers that stay open.
        what: &'static str,
    },
    /// A chain left the region in which the loss is finite, because its step is too large for the curvature.
    #[error("the chain diverged at {}: loss {loss}; a smaller step size is needed", place(.step, .chain, .draw))]
    Diverged {
        /// The step with this loss.
        step: u64,
        /// The loss at that step.
        loss: f64,
        /// The number of the chain, counted from 0, if several ran.
        chain: Option<usize>,
        /// The number of the draw, counted from 0; `None` before the first draw.
        draw: Option<usize>,
    },
    /// The loss is NaN at an ordinary point, so the objective is not defined there. No step size can mend this.
    #[error(
        "the loss is NaN at {}, at the distance {distance:.3} from the centre: the objective is not defined there; \
         mend the objective, or keep the chain in a region where it is defined",
        place(.step, .chain, .draw)
    )]
    Undefined {
        /// The step with this loss.
        step: u64,
        /// The distance `|w − w*|` of the point from the centre.
        distance: f64,
        /// The number of the chain, counted from 0, if several ran.
        chain: Option<usize>,
        /// The number of the draw, counted from 0; `None` before the first draw.
        draw: Option<usize>,
    },
}

/// Returns the words for a step of a chain.
fn place(step: &u64, chain: &Option<usize>, draw: &Option<usize>) -> String {
    match (chain, draw) {
        (Some(chain), Some(draw)) => format!("chain {chain}, draw {draw} (step {step})"),
        (Some(chain), None) => format!("chain {chain}, step {step}, before the first draw"),
        _ => format!("step {step}"),
    }
}

impl SltError {
    /// Adds the chain and the draw to an error of a step.
    pub(crate) fn of_draw(mut self, number: usize, at: Option<usize>) -> Self {
        if let Self::Diverged { chain, draw, .. } | Self::Undefined { chain, draw, .. } = &mut self {
            (*chain, *draw) = (Some(number), at);
        }
        self
    }
}

/// Recorded losses that cannot be used as a trace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct TraceError {
    /// The place of the problem, for example a line of a file.
    pub place: String,
    /// The problem there, and what is expected.
    pub problem: String,
}

/// Recorded token losses from which no estimate can be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordedError {
    /// A number lies outside its range.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// The array has an axis of length 0.
    #[error("{what} has the shape {shape:?}; expected {axes}, none of them 0")]
    Empty {
        /// The name of the array.
        what: &'static str,
        /// The names of the axes.
        axes: &'static str,
        /// The shape that was given.
        shape: Vec<usize>,
    },
    /// A chain has no finite loss from one draw on.
    #[error(
        "chain {chain} has no finite loss from draw {draw} on ({draw} of {draws} draws are kept): it diverged; repeat the run with a \
         smaller step size"
    )]
    Diverged {
        /// The chain, counted from 0.
        chain: usize,
        /// The first draw without a finite loss, counted from 0.
        draw: usize,
        /// The number of draws of the chain.
        draws: usize,
    },
    /// A loss is NaN or infinite, and later draws are finite.
    #[error(
        "the loss of chain {chain}, draw {draw}, row {row}, token {token} is {value}; expected a finite number: leave this row out of \
         the run, or repair the model there"
    )]
    NotFinite {
        /// The chain, counted from 0.
        chain: usize,
        /// The draw, counted from 0.
        draw: usize,
        /// The row, counted from 0.
        row: usize,
        /// The token, counted from 0.
        token: usize,
        /// The value.
        value: f64,
    },
    /// A number beside the losses is NaN or infinite.
    #[error("{what} is {value}; expected a finite number")]
    NotANumber {
        /// The name of the number.
        what: &'static str,
        /// The value.
        value: f64,
    },
    /// Two arrays that belong together differ in the length of an axis.
    #[error("{what} has {given} {axis}; expected {expected} as in {other}: give arrays of one run")]
    Axis {
        /// The name of the array.
        what: &'static str,
        /// The name of the axis.
        axis: &'static str,
        /// The name of the array that fixes the length.
        other: &'static str,
        /// The length in that array.
        expected: usize,
        /// The length that was given.
        given: usize,
    },
    /// There is one chain only, so the spread between chains is unknown.
    #[error("the run has one chain; its error is unknown, so record at least 2 chains")]
    OneChain,
    /// No draw remains after the burn-in, or too few for an error.
    #[error("{burn_in} of {draws} draws are burn-in; at least 2 must remain, so leave out fewer")]
    BurnIn {
        /// The number of draws to leave out.
        burn_in: usize,
        /// The number of draws of each chain.
        draws: usize,
    },
}

/// Returns an error for the first number that is NaN or infinite.
pub(crate) fn all_finite<'a>(
    argument: &'static str,
    x: impl IntoIterator<Item = &'a f64>,
) -> Result<(), SltError> {
    match x.into_iter().enumerate().find(|(_, x)| !x.is_finite()) {
        Some((index, &value)) => Err(SltError::NonFinite { argument, index, value }),
        None => Ok(()),
    }
}

/// Returns an error unless an argument is positive and finite.
pub(crate) fn positive(argument: &'static str, given: f64) -> Result<(), OutOfRange> {
    collimate_measure::ensure(given > 0.0 && given.is_finite(), argument, "positive and finite", given)
}
