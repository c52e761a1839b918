//! The scale at which squares and fourth powers are in range.

/// Returns a power of two that brings numbers with this largest absolute value near 1, if their fourth powers would leave the range of
/// numbers. Returns 1 otherwise, and for zero, NaN and infinity.
///
/// A product with a power of two is exact, so measures of directions keep their bits and their accuracy at any scale.
pub(super) fn scale_for(largest: f64) -> f64 {
    if (1e-70..1e70).contains(&largest) || largest == 0.0 || !largest.is_finite() {
        return 1.0;
    }
    // The power for a subnormal number would be infinite, and that for the largest number would have a reciprocal of 0.
    2.0_f64.powi((-largest.log2().floor()).clamp(-1022.0, 1000.0) as i32)
}

/// Returns the largest absolute value, 0 for none, or NaN if there is one.
pub(super) fn largest<'a>(numbers: impl IntoIterator<Item = &'a f64>) -> f64 {
    numbers.into_iter().fold(0.0, |top: f64, x| if x.abs() > top || x.is_nan() { x.abs() } else { top })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_exact_and_bring_the_largest_number_near_one() {
        for largest in [5e-324, 1e-310, 1e-200, 3e-71, 2e70, 1e160, f64::MAX] {
            let scale = scale_for(largest);
            assert_eq!(largest * scale / scale, largest);
            // A subnormal number is brought as near as the largest power allows.
            assert!((0.5..8.0).contains(&(largest * scale)) || largest < 1e-300, "{largest:e} {scale:e}");
        }
        for largest in [0.0, 1.0, 1e-69, 1e69, f64::INFINITY, f64::NAN] {
            assert_eq!(scale_for(largest), 1.0);
        }
        assert!(super::largest(&[1.0, f64::NAN, -3.0]).is_nan());
        assert_eq!(super::largest(&[1.0, -3.0]), 3.0);
    }
}
