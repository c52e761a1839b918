//! The claims of the literature about toy models of superposition, as programs that return verdicts.
//!
//! Theorems must be upheld and counterexamples refuted. The verdicts of empirical claims are data.

mod decoding;
mod diagnosis;
mod ensembles;
mod extremes;
mod geometry;
mod neurons;
mod one_active;
mod polysemanticity;
mod quotients;
mod scaling;
mod toy_model;
mod two_features;

use collimate_claims::Claims;

/// Returns all claims of this crate.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, examine};
/// let claims = collimate_superposition::claims();
/// let belief = claims.get("superposition/rescaling-one-feature").unwrap();
/// assert!(examine(belief, &Budget::quick()).refuted());
/// ```
pub fn claims() -> Claims {
    Claims::new()
        .extend(geometry::claims())
        .extend(one_active::claims())
        .extend(two_features::claims())
        .extend(toy_model::claims())
        .extend(polysemanticity::claims())
        .extend(diagnosis::claims())
        .extend(decoding::claims())
        .extend(ensembles::claims())
        .extend(scaling::claims())
        .extend(neurons::claims())
}
