//! Maximum and minimum that propagate NaN.

use collimate_claims::larger;
pub(super) use collimate_claims::smaller;

/// Returns the largest of numbers that are at least 0. A NaN is returned, so that it reaches the margin.
pub(super) fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, larger)
}
