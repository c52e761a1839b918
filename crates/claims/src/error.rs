//! What can go wrong around claims; a claim itself never fails, it becomes Inconclusive.

/// An error of the claims framework.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimsError {
    /// Two claims carry the same id, so their recorded verdicts would overwrite each other.
    #[error("the claim id {id:?} is registered twice")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// An id that could not be a key of the lock and an anchor in the report.
    #[error("the claim id {id:?} may hold only small letters, digits, '-', '.', '_' and '/'")]
    BadId {
        /// The id.
        id: String,
    },
    /// A tier that does not exist.
    #[error("unknown tier {given:?}: expected quick, standard or nightly")]
    UnknownTier {
        /// What was given.
        given: String,
    },
    /// A number outside the bounds declared for it.
    #[error("{given} lies outside the declared bounds {low} … {high}")]
    OutOfBounds {
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
        /// What was given.
        given: f64,
    },
    /// A recorded verdict that does not exist.
    #[error("unknown verdict {given:?}: expected upheld, refuted or inconclusive")]
    UnknownVerdict {
        /// What was given.
        given: String,
    },
    /// A filter that matches no registered claim.
    #[error("no registered claim matches {filter:?}")]
    NothingMatches {
        /// The filter.
        filter: String,
    },
    /// The lock was recorded under another seed than the run.
    #[error("the lock was recorded under seed {lock}, the run has seed {run}")]
    OtherSeed {
        /// The seed of the lock.
        lock: u64,
        /// The seed of the run.
        run: u64,
    },
    /// A recorded verdict would change without a word on why.
    #[error("a changed verdict needs an explanation: {change}")]
    Unexplained {
        /// The change.
        change: String,
    },
    /// A run with a failed theorem or counterexample cannot be recorded.
    #[error("{id} failed: a broken run is not recorded")]
    Broken {
        /// The first failed claim.
        id: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A lock file with wrong content.
    #[error("claims lock, {location}: {reason}")]
    Lock {
        /// Where in the file.
        location: String,
        /// What is wrong there.
        reason: String,
    },
}
