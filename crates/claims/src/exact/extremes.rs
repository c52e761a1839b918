//! Extremes that keep a NaN. `f64::max` and `f64::min` drop it, and a margin without its NaN upholds a claim that nothing supports.

/// Returns the larger number, or NaN if one of them is NaN.
///
/// # Examples
/// ```
/// use collimate_claims::larger;
/// assert_eq!([0.5, -1.0].into_iter().fold(0.0, larger), 0.5);
/// assert!([f64::NAN, 2.0].into_iter().fold(0.0, larger).is_nan());
/// ```
pub fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Returns the smaller number, or NaN if one of them is NaN.
///
/// # Examples
/// ```
/// use collimate_claims::smaller;
/// assert_eq!([0.5, -1.0].into_iter().fold(f64::INFINITY, smaller), -1.0);
/// assert!([f64::NAN, 2.0].into_iter().fold(f64::INFINITY, smaller).is_nan());
/// ```
pub fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_is_kept_at_any_place() {
        for place in 0..3 {
            let mut numbers = [1.0, -2.0, 3.0];
            assert_eq!(numbers.into_iter().fold(0.0, larger), 3.0);
            assert_eq!(numbers.into_iter().fold(0.0, smaller), -2.0);
            numbers[place] = f64::NAN;
            assert!(numbers.into_iter().fold(0.0, larger).is_nan());
            assert!(numbers.into_iter().fold(0.0, smaller).is_nan());
        }
    }
}
