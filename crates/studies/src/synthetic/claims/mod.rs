//! The claims about dictionaries on synthetic rows.

mod absorption;
mod decaying;
mod hedging;
mod noise;
mod recovery;

use collimate_claims::Claims;

/// Returns all claims about dictionaries on rows whose features are known.
pub fn claims() -> Claims {
    recovery::claims()
        .extend(absorption::claims())
        .extend(hedging::claims())
        .extend(noise::claims())
        .extend(decaying::claims())
}
