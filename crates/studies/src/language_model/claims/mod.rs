//! The claims about the real model.

mod comparison;
mod curves;
mod diagnosis;
mod fidelity;
mod induction;
mod part_of_speech;
mod protocol;
mod shrinkage;
mod sites;
mod study;

use collimate_claims::Claims;

/// Returns all claims about SmolLM2.
pub fn claims() -> Claims {
    induction::claims()
        .extend(fidelity::claims())
        .extend(shrinkage::claims())
        .extend(sites::claims())
        .extend(part_of_speech::claims())
        .extend(diagnosis::claims())
}
