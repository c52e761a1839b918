//! Dictionaries of several sparsities, compared where they meet.

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

/// Computes the mean over a grid in log L0 of `a − b`, each interpolated linearly in log L0; NaN where the curves do not overlap.
///
/// The grid spans the L0 that both curves reach, so neither is extrapolated.
///
/// # Examples
/// ```
/// use collimate_sae::{SweepPoint, difference_at_equal_l0, l0_ratio_at_equal_value};
/// let curve = |shift: f64| [1.0, 2.0, 3.0].map(|log| SweepPoint { l0: f64::exp2(log), value: log + shift });
/// let (better, worse) = (curve(1.0), curve(0.0)); // one unit more at every L0 is one doubling of L0 ahead
/// assert!((difference_at_equal_l0(&better, &worse) - 1.0).abs() < 1e-12);
/// assert!((l0_ratio_at_equal_value(&better, &worse) - 0.5).abs() < 1e-12);
/// ```
pub fn difference_at_equal_l0(a: &[SweepPoint], b: &[SweepPoint]) -> f64 {
    let of = |curve: &[SweepPoint]| sorted(curve.iter().map(|p| (p.l0.ln(), p.value)));
    mean_gap(&of(a), &of(b))
}

/// Computes the L0 of `a` over that of `b` where both do equally well: the geometric mean over a grid of values, log L0 interpolated
/// linearly in the value; NaN where no value is reached by both.
///
/// ½ means that `a` does as well with half as many active latents. A curve that does not rise is read in the order of
/// its values.
pub fn l0_ratio_at_equal_value(a: &[SweepPoint], b: &[SweepPoint]) -> f64 {
    let of = |curve: &[SweepPoint]| sorted(curve.iter().map(|p| (p.value, p.l0.ln())));
    mean_gap(&of(a), &of(b)).exp()
}

fn sorted(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = points.collect();
    points.sort_by(|p, q| p.0.total_cmp(&q.0));
    points
}

/// Computes the mean over a grid of the common abscissas of the difference of the ordinates.
fn mean_gap(a: &[(f64, f64)], b: &[(f64, f64)]) -> f64 {
    let (Some(first), Some(last)) = (a.first().zip(b.first()), a.last().zip(b.last())) else {
        return f64::NAN;
    };
    let (low, high) = (first.0.0.max(first.1.0), last.0.0.min(last.1.0));
    if low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) {
        return f64::NAN;
    }
    let grid = (0..GRID).map(|i| low + (high - low) * i as f64 / (GRID - 1) as f64);
    grid.map(|x| interpolate(a, x) - interpolate(b, x)).sum::<f64>() / GRID as f64
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
        assert!((difference_at_equal_l0(&a, &b) - 0.5).abs() < 1e-12);
        assert!((l0_ratio_at_equal_value(&a, &b) - 0.5_f64.sqrt()).abs() < 1e-12);
        assert!((l0_ratio_at_equal_value(&b, &a) - 2.0_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn curves_that_do_not_meet_are_not_compared() {
        let a = curve(&[(4.0, 2.0), (16.0, 4.0)]);
        assert!(difference_at_equal_l0(&a, &curve(&[(100.0, 1.0), (200.0, 2.0)])).is_nan());
        assert!(l0_ratio_at_equal_value(&a, &curve(&[(4.0, 5.0), (16.0, 6.0)])).is_nan());
        assert!(difference_at_equal_l0(&a, &[]).is_nan());
        // A flat piece has one value at many L0: the first is taken, nothing is divided by zero.
        let flat = curve(&[(4.0, 3.0), (8.0, 3.0), (16.0, 4.0)]);
        assert!(l0_ratio_at_equal_value(&a, &flat).is_finite());
    }
}
