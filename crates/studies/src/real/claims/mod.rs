//! The claims on the real model.

mod comparison;
mod diagnosis;
mod fidelity;
mod fleet;
mod induction;
mod part_of_speech;
mod protocol;
mod shrinkage;
mod sites;

use super::{Laboratory, StudyError};
use collimate_claims::{Claims, Context, Meta, Outcome, Study};

/// All claims on SmolLM2.
pub fn claims() -> Claims {
    induction::claims()
        .extend(fidelity::claims())
        .extend(shrinkage::claims())
        .extend(sites::claims())
        .extend(part_of_speech::claims())
        .extend(diagnosis::claims())
}

/// A claim that needs the model; where it is missing the outcome says how to get it.
fn study(
    meta: Meta,
    body: impl Fn(&mut Context, &'static Laboratory) -> Result<Outcome, StudyError> + Send + Sync + 'static,
) -> Study {
    Study::new(meta.real()).run(move |context| {
        Laboratory::shared()
            .and_then(|laboratory| body(context, laboratory))
            .unwrap_or_else(StudyError::outcome)
    })
}
