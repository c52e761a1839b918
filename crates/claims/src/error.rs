//! Errors around claims. A claim itself never returns an error: its verdict becomes Inconclusive.

/// An error of the claims framework.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsError {
    /// Two claims have one id, so their recorded verdicts would overwrite each other.
    #[error("the claim id {id:?} is registered twice; give one of the two claims another id")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// An id that cannot be a key of the lock and an anchor in the report.
    #[error("the claim id {id:?} may hold only small letters, digits, '-', '.', '_' and '/'")]
    BadId {
        /// The id.
        id: String,
    },
    /// A tier that does not exist.
    #[error("unknown tier {given:?}: expected quick, standard or nightly")]
    UnknownTier {
        /// The given value.
        given: String,
    },
    /// A number outside the bounds declared for it.
    #[error("{given} lies outside the declared bounds {low} … {high}")]
    OutOfBounds {
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
        /// The given value.
        given: f64,
    },
    /// An argument outside its range.
    #[error(transparent)]
    OutOfRange(#[from] collimate_measure::OutOfRange),
    /// Hypotheses or error rates that make no sense.
    #[error("the test cannot be made: {reason}")]
    Malformed {
        /// The reason, with the given values.
        reason: String,
    },
    /// A recorded verdict that does not exist.
    #[error("unknown verdict {given:?}: expected upheld, refuted or inconclusive")]
    UnknownVerdict {
        /// The given value.
        given: String,
    },
    /// A filter that matches no registered claim.
    #[error("no registered claim matches {filter:?}; `collimate claims --list` shows all ids")]
    NothingMatches {
        /// The filter.
        filter: String,
    },
    /// The lock was recorded under another seed than the run.
    #[error(
        "the lock was recorded under seed {lock}, but the run has seed {run}; run with --seed {lock} to record it"
    )]
    OtherSeed {
        /// The seed of the lock.
        lock: u64,
        /// The seed of the run.
        run: u64,
    },
    /// A recorded verdict would change without an explanation.
    #[error("a changed verdict needs an explanation: {change}")]
    Unexplained {
        /// The change.
        change: String,
    },
    /// A run with a failed theorem or counterexample cannot be recorded.
    #[error("{id} failed, and a run with a failure is not recorded")]
    Broken {
        /// The first failed claim.
        id: String,
    },
    /// A file could not be read, or a folder could not be created.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: std::path::PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[cfg(feature = "report")]
    #[error(transparent)]
    Output(#[from] collimate_output::OutputError),
    /// A lock file with wrong content.
    #[error("claims lock, {location}: {reason}")]
    Lock {
        /// The place in the file.
        location: String,
        /// The problem at that place.
        reason: String,
    },
}
