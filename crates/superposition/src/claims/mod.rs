//! What the literature says of toy models of superposition, as programs that answer.
//!
//! Theorems must come out Upheld, counterexamples Refuted; for the empirical ones the verdict is data.

mod decoding;
mod diagnosis;
mod fleets;
mod geometry;
mod neurons;
mod one_active;
mod polysemanticity;
mod quotients;
mod scaling;
mod toy_model;
mod two_features;

use collimate_claims::Claims;

/// The largest of some numbers that are at least 0; NaN when one of them is, so that it reaches the margin.
fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |m, x| if m.is_nan() || x.is_nan() { f64::NAN } else { m.max(x) })
}

/// The smaller number; NaN wins, so that it reaches the margin.
fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// All claims of this crate.
///
/// # Examples
/// ```
/// use collimate_claims::{Budget, examine};
/// let claims = collimate_superposition::claims::claims();
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
        .extend(fleets::claims())
        .extend(scaling::claims())
        .extend(neurons::claims())
}
