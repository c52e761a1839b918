//! Maximum and minimum that propagate NaN.

/// Returns the largest of numbers that are at least 0. A NaN is returned, so that it reaches the margin.
pub(super) fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |m, x| if m.is_nan() || x.is_nan() { f64::NAN } else { m.max(x) })
}

/// Returns the smaller number. A NaN is returned, so that it reaches the margin.
pub(super) fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}
