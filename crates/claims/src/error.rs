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
}
