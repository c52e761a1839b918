//! The claims of the literature about sparse autoencoders, as programs.
//!
//! Theorems must be Upheld and counterexamples Refuted. The verdict of an empirical claim is data.

mod comparison;
mod directions;
mod draw;
mod equivalence;
#[cfg(feature = "files")]
mod files;
mod gates;
mod metrics;
mod penalty;
mod planted;
mod selection;
mod shrinkage;

use collimate_claims::Claims;

/// Returns all claims of this crate.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, examine};
/// let claims = collimate_sae::claims::claims();
/// let belief = claims.get("sae/export-without-maximum").unwrap();
/// assert!(examine(belief, &Budget::quick()).refuted());
/// ```
pub fn claims() -> Claims {
    let claims = Claims::new()
        .extend(gates::claims())
        .extend(penalty::claims())
        .extend(selection::claims())
        .extend(equivalence::claims())
        .extend(metrics::claims())
        .extend(shrinkage::claims())
        .extend(planted::claims())
        .extend(directions::claims());
    #[cfg(feature = "files")]
    let claims = claims.extend(files::claims());
    claims
}
