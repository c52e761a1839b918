//! Central differences, the independent check of every gradient in this crate.

/// The gradient of `f` at `x` by central differences with step `h`.
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

/// The largest error of a gradient against central differences, at each coordinate with the nearer of two steps.
///
/// A difference across a kink is off by as much as the derivative jumps there, whatever the step: the finer step only crosses it more
/// rarely. A wrong derivative is wrong with both.
pub(crate) fn error(f: impl Fn(&[f64]) -> f64, x: &[f64], exact: &[f64], steps: [f64; 2]) -> f64 {
    let [coarse, fine] = steps.map(|h| gradient(&f, x, h));
    let pairs = coarse.iter().zip(&fine).zip(exact);
    largest(pairs.map(|((a, b), e)| (a - e).abs().min((b - e).abs())))
}

/// The largest absolute difference between two slices of one length.
pub(crate) fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    largest(a.iter().zip(b).map(|(a, b)| (a - b).abs()))
}

/// The largest number; NaN when one of them is, so that it fails a comparison.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |m, x| if m.is_nan() || x.is_nan() { f64::NAN } else { m.max(x) })
}
