//! The claims on worlds.

mod absorption;
mod decaying;
mod hedging;
mod noise;
mod recovery;

use crate::real::StudyError;
use collimate_claims::{Claims, Outcome};

/// All claims about dictionaries on worlds whose features are known.
pub fn claims() -> Claims {
    recovery::claims()
        .extend(absorption::claims())
        .extend(hedging::claims())
        .extend(noise::claims())
        .extend(decaying::claims())
}

/// The outcome, or what went wrong as one.
fn settle(outcome: Result<Outcome, StudyError>) -> Outcome {
    outcome.unwrap_or_else(StudyError::outcome)
}
