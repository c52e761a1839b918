//! Dictionaries of several sparsities, compared over the range that both reach.

use crate::SaeError;

/// One dictionary among those of a sparsity sweep: its L0, and a number that says how well it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweepPoint {
    /// Mean number of active latents.
    pub l0: f64,
    /// Loss recovered, explained variance or another number to be compared at equal L0.
    pub value: f64,
}

/// The number of places at which a comparison is made.
const GRID: usize = 9;

/// A comparison of two curves over the range that both reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurveGap {
    /// The mean over the grid: of the difference, or of the ratio (geometric).
    pub value: f64,
    /// The standard deviation over the grid: of the difference, or of the logarithm of the ratio. It says how far the gap changes
    /// along the curves. It is no sampling error, which needs several dictionaries at each point.
    pub deviation: f64,
    /// The common range: of L0, or of the value.
    pub range: [f64; 2],
}

impl CurveGap {
    /// Returns the value of a comparison, and NaN where the curves have no common range. Use it in means over many resamples, where a
    /// single curve may lie apart.
    pub fn or_nan(compared: Result<Self, SaeError>) -> f64 {
        compared.map_or(f64::NAN, |gap| gap.value)
    }
}

/// Computes the mean over a grid in log L0 of `a − b`, each interpolated linearly in log L0.
///
/// The grid spans the L0 that both curves reach, so neither is extrapolated.
///
/// # Errors
/// [`SaeError::Apart`] with both ranges if no L0 lies within both.
///
/// # Examples
/// ```
/// use collimate_sae::{SweepPoint, difference_at_equal_l0, l0_ratio_at_equal_value};
/// let curve = |shift: f64| [1.0, 2.0, 3.0].map(|log| SweepPoint { l0: f64::exp2(log), value: log + shift });
/// let (better, worse) = (curve(1.0), curve(0.0)); // one unit more at every L0 is one doubling of L0 ahead
/// assert!((difference_at_equal_l0(&better, &worse)?.value - 1.0).abs() < 1e-12);
/// assert!((l0_ratio_at_equal_value(&better, &worse)?.value - 0.5).abs() < 1e-12);
/// # Ok::<(), collimate_sae::SaeError>(())
/// ```
pub fn difference_at_equal_l0(a: &[SweepPoint], b: &[SweepPoint]) -> Result<CurveGap, SaeError> {
    let of = |curve: &[SweepPoint]| sorted(curve.iter().map(|p| (p.l0.ln(), p.value)));
    let gap = mean_gap("L0", &of(a), &of(b), f64::exp)?;
    Ok(CurveGap { range: gap.range.map(f64::exp), ..gap })
}

/// Computes the L0 of `a` over that of `b` where both do equally well: the geometric mean over a grid of values, log L0 interpolated
/// linearly in the value.
///
/// ½ means that `a` does as well with half as many active latents. A curve that does not rise is read in the order of
/// its values.
///
/// # Errors
/// [`SaeError::Apart`] with both ranges if no value is reached by both.
pub fn l0_ratio_at_equal_value(a: &[SweepPoint], b: &[SweepPoint]) -> Result<CurveGap, SaeError> {
    let of = |curve: &[SweepPoint]| sorted(curve.iter().map(|p| (p.value, p.l0.ln())));
    let gap = mean_gap("value", &of(a), &of(b), |value| value)?;
    Ok(CurveGap { value: gap.value.exp(), ..gap })
}

fn sorted(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = points.collect();
    points.sort_by(|p, q| p.0.total_cmp(&q.0));
    points
}

/// Computes the mean over a grid of the common abscissas of the difference of the ordinates. `shown` turns an abscissa into the number
/// that an error names.
fn mean_gap(
    axis: &'static str,
    a: &[(f64, f64)],
    b: &[(f64, f64)],
    shown: impl Fn(f64) -> f64,
) -> Result<CurveGap, SaeError> {
    let range =
        |curve: &[(f64, f64)]| [curve.first(), curve.last()].map(|end| end.map_or(f64::NAN, |(x, _)| *x));
    let ([a_low, a_high], [b_low, b_high]) = (range(a), range(b));
    let (low, high) = (a_low.max(b_low), a_high.min(b_high));
    // `max` and `min` would drop a NaN.
    let empty = [a_low, a_high, b_low, b_high].iter().any(|end| end.is_nan());
    if empty || low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) {
        let (first, second) = ([a_low, a_high].map(&shown), [b_low, b_high].map(&shown));
        return Err(SaeError::Apart { axis, first, second });
    }
    let grid = (0..GRID).map(|i| low + (high - low) * i as f64 / (GRID - 1) as f64);
    let value = grid.clone().map(|x| interpolate(a, x) - interpolate(b, x)).sum::<f64>() / GRID as f64;
    let square = |x: f64| (interpolate(a, x) - interpolate(b, x) - value).powi(2);
    let deviation = (grid.map(square).sum::<f64>() / (GRID - 1) as f64).sqrt();
    Ok(CurveGap { value, deviation, range: [low, high] })
}

fn interpolate(curve: &[(f64, f64)], x: f64) -> f64 {
    let after = curve.iter().position(|p| p.0 >= x).unwrap_or(curve.len() - 1).max(1);
    let (p, q) = (curve[after - 1], curve[after]);
    let share = if q.0 > p.0 { ((x - p.0) / (q.0 - p.0)).clamp(0.0, 1.0) } else { 0.0 };
    p.1 + share * (q.1 - p.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Vec<SweepPoint> {
        points.iter().map(|&(l0, value)| SweepPoint { l0, value }).collect()
    }

    #[test]
    fn parallel_curves_differ_by_their_distance() {
        // value = log₂ L0, sampled at different places; the second is half a unit lower.
        let a = curve(&[(4.0, 2.0), (16.0, 4.0), (64.0, 6.0)]);
        let b = curve(&[(32.0, 4.5), (2.0, 0.5), (8.0, 2.5)]);
        let gap = difference_at_equal_l0(&a, &b).unwrap();
        assert!((gap.value - 0.5).abs() < 1e-12 && gap.deviation < 1e-12, "{gap:?}");
        assert!((gap.range[0] - 4.0).abs() < 1e-12 && (gap.range[1] - 32.0).abs() < 1e-12, "{gap:?}");
        let ratio = |a: &[SweepPoint], b: &[SweepPoint]| l0_ratio_at_equal_value(a, b).unwrap().value;
        assert!((ratio(&a, &b) - 0.5_f64.sqrt()).abs() < 1e-12);
        assert!((ratio(&b, &a) - 2.0_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn a_gap_that_changes_along_the_curves_has_a_deviation() {
        // a − b rises from 0 to 2 over the common range.
        let a = curve(&[(1.0, 0.0), (4.0, 4.0)]);
        let b = curve(&[(1.0, 0.0), (4.0, 2.0)]);
        let gap = difference_at_equal_l0(&a, &b).unwrap();
        // Nine equal steps: the variance of 0, 1/4 … 2 is 15/32.
        assert!((gap.value - 1.0).abs() < 1e-12 && (gap.deviation - (15.0_f64 / 32.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn curves_that_are_apart_are_an_error_with_both_ranges() {
        let a = curve(&[(4.0, 2.0), (16.0, 4.0)]);
        for (other, words) in [
            (vec![(100.0, 1.0), (200.0, 2.0)], "4.0000 to 16.0000 and 100.0000 to 200.0000"),
            (vec![(1.0, 1.0), (2.0, 2.0)], "4.0000 to 16.0000 and 1.0000 to 2.0000"),
            (vec![], "has no point"),
        ] {
            let error = difference_at_equal_l0(&a, &curve(&other)).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("L0"), "{error}");
        }
        let error = l0_ratio_at_equal_value(&a, &curve(&[(4.0, 5.0), (16.0, 6.0)])).unwrap_err().to_string();
        assert!(error.contains("2.0000 to 4.0000 and 5.0000 to 6.0000"), "{error}");
        assert!(difference_at_equal_l0(&[], &[]).is_err());
        let nan = curve(&[(4.0, f64::NAN), (16.0, f64::NAN)]);
        assert!(l0_ratio_at_equal_value(&a, &nan).is_err());
        // A flat piece has one value at many L0: the first is taken, nothing is divided by zero.
        let flat = curve(&[(4.0, 3.0), (8.0, 3.0), (16.0, 4.0)]);
        assert!(l0_ratio_at_equal_value(&a, &flat).unwrap().value.is_finite());
    }
}
