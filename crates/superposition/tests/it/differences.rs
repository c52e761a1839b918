//! Central differences: the independent check of every gradient in this crate.

/// Computes the gradient of `f` at `x` by central differences with step `h`.
pub(crate) fn gradient(f: impl Fn(&[f64]) -> f64, x: &[f64], h: f64) -> Vec<f64> {
    let mut point = x.to_vec();
    (0..x.len())
        .map(|i| {
            point[i] = x[i] + h;
            let above = f(&point);
            point[i] = x[i] - h;
            let below = f(&point);
            point[i] = x[i];
            (above - below) / (2.0 * h)
        })
        .collect()
}

/// Returns the largest difference between a gradient and central differences, at each coordinate for the better of two steps.
///
/// Across a kink the error of a difference is as large as the jump of the derivative, for every step size. The finer step crosses
/// kinks more rarely. A wrong derivative is wrong with both steps.
pub(crate) fn error(f: impl Fn(&[f64]) -> f64, x: &[f64], exact: &[f64], steps: [f64; 2]) -> f64 {
    let [coarse, fine] = steps.map(|h| gradient(&f, x, h));
    let pairs = coarse.iter().zip(&fine).zip(exact);
    largest(pairs.map(|((a, b), e)| (a - e).abs().min((b - e).abs())))
}

/// Returns the largest absolute difference between two slices of one length.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    largest(a.iter().zip(b).map(|(a, b)| (a - b).abs()))
}

/// Returns the largest number. A NaN is returned, so that it fails a comparison.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |m, x| if m.is_nan() || x.is_nan() { f64::NAN } else { m.max(x) })
}
