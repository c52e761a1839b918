//! Curves of a metric against L0, compared at equal L0.

use collimate_sae::DocumentSums;

/// A dictionary's numbers on (resampled) held-out documents.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct At {
    pub(super) l0: f64,
    pub(super) value: f64,
}

/// How many values of L0 a comparison looks at.
const GRID: usize = 9;

/// The mean over a grid in log L0 of `a − b`, each interpolated linearly in log L0; NaN where the curves do not overlap.
///
/// The grid spans the L0 that both curves reach, so neither is extrapolated.
pub(super) fn mean_difference(a: &[At], b: &[At]) -> f64 {
    let (a, b) = (sorted(a), sorted(b));
    let low = a[0].l0.max(b[0].l0).ln();
    let high = a[a.len() - 1].l0.min(b[b.len() - 1].l0).ln();
    if low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) {
        return f64::NAN;
    }
    let grid = (0..GRID).map(|i| low + (high - low) * i as f64 / (GRID - 1) as f64);
    grid.map(|x| interpolate(&a, x) - interpolate(&b, x)).sum::<f64>() / GRID as f64
}

fn sorted(curve: &[At]) -> Vec<At> {
    let mut curve = curve.to_vec();
    curve.sort_by(|x, y| x.l0.total_cmp(&y.l0));
    curve
}

fn interpolate(curve: &[At], log_l0: f64) -> f64 {
    let after = curve.iter().position(|p| p.l0.ln() >= log_l0).unwrap_or(curve.len() - 1).max(1);
    let (p, q) = (curve[after - 1], curve[after]);
    let share = ((log_l0 - p.l0.ln()) / (q.l0.ln() - p.l0.ln())).clamp(0.0, 1.0);
    p.value + share * (q.value - p.value)
}

/// L0 over drawn documents (numbers in the order of [`DocumentSums::iter`], repetitions allowed), with another sum's ratio.
pub(super) fn drawn_l0_and_gamma(documents: &DocumentSums, drawn: &[usize]) -> (f64, f64) {
    let all: Vec<_> = documents.iter().map(|(_, sums)| sums).collect();
    let (mut rows, mut active, mut output2, mut input_output) = (0, 0, 0.0, 0.0);
    for &i in drawn {
        rows += all[i].rows;
        active += all[i].active;
        output2 += all[i].output2;
        input_output += all[i].input_output;
    }
    (active as f64 / rows as f64, output2 / input_output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(f64, f64)]) -> Vec<At> {
        points.iter().map(|&(l0, value)| At { l0, value }).collect()
    }

    #[test]
    fn parallel_curves_differ_by_their_distance() {
        // value = log₂ L0, sampled at different places; the second is half a unit lower.
        let a = curve(&[(4.0, 2.0), (16.0, 4.0), (64.0, 6.0)]);
        let b = curve(&[(32.0, 4.5), (2.0, 0.5), (8.0, 2.5)]);
        assert!((mean_difference(&a, &b) - 0.5).abs() < 1e-12);
        assert!(mean_difference(&a, &curve(&[(100.0, 1.0), (200.0, 2.0)])).is_nan());
    }
}
