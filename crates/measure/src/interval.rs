//! Intervals with a stated confidence.

use crate::error::{MeasureError, ensure};
use crate::moments::Moments;
use statrs::distribution::{Beta, ContinuousCDF, Normal, StudentsT};
use std::fmt;

/// A closed interval with its confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The confidence, in (0, 1).
    pub confidence: f64,
}

impl Interval {
    /// Returns the normal-theory interval `value ± z·error`.
    ///
    /// # Errors
    /// [`MeasureError::OutOfRange`] unless `0 < confidence < 1`.
    ///
    /// # Examples
    /// ```
    /// use collimate_measure::Interval;
    /// let i = Interval::normal(0.0, 1.0, 0.95).unwrap();
    /// assert!((i.high - 1.959964).abs() < 1e-6);
    /// ```
    pub fn normal(value: f64, error: f64, confidence: f64) -> Result<Self, MeasureError> {
        let z = normal_quantile(0.5 + checked(confidence)? / 2.0);
        Ok(Self { low: value - z * error, high: value + z * error, confidence })
    }

    /// Returns Student's interval for the mean of `n` independent normal samples, `value ± t_{n−1}·error`.
    ///
    /// # Errors
    /// [`MeasureError::OutOfRange`] unless `0 < confidence < 1` and `n ≥ 2`.
    pub fn student(value: f64, error: f64, n: u64, confidence: f64) -> Result<Self, MeasureError> {
        let p = 0.5 + checked(confidence)? / 2.0;
        ensure(n >= 2, "n", "at least 2", n as f64)?;
        let law = StudentsT::new(0.0, 1.0, (n - 1) as f64).expect("positive degrees of freedom");
        let t = law.inverse_cdf(p);
        Ok(Self { low: value - t * error, high: value + t * error, confidence })
    }

    /// Returns the Clopper–Pearson interval for a success probability after `successes` in `trials`.
    ///
    /// ```text
    /// low = B⁻¹(α/2; k, n−k+1),  high = B⁻¹(1−α/2; k+1, n−k),  α = 1 − confidence
    /// ```
    /// For every true probability, the interval covers it with at least the stated confidence.
    ///
    /// # Errors
    /// [`MeasureError::OutOfRange`] unless `0 < confidence < 1` and `successes ≤ trials`.
    ///
    /// # Examples
    /// ```
    /// use collimate_measure::Interval;
    /// let i = Interval::clopper_pearson(31, 32, 0.999).unwrap();
    /// assert!((i.low - 0.7279).abs() < 1e-4 && i.high > 0.9999);
    /// ```
    ///
    /// # References
    /// Clopper and Pearson (1934).
    pub fn clopper_pearson(successes: u64, trials: u64, confidence: f64) -> Result<Self, MeasureError> {
        let alpha = 1.0 - checked(confidence)?;
        ensure(successes <= trials, "successes", "at most trials", successes as f64)?;
        let (k, n) = (successes as f64, trials as f64);
        let quantile = |p, a, b| Beta::new(a, b).expect("positive shapes").inverse_cdf(p);
        let low = if successes == 0 { 0.0 } else { quantile(alpha / 2.0, k, n - k + 1.0) };
        let high = if successes == trials { 1.0 } else { quantile(1.0 - alpha / 2.0, k + 1.0, n - k) };
        Ok(Self { low, high, confidence })
    }

    /// Returns the percentile interval of bootstrap replicates: two empirical quantiles, linearly interpolated.
    ///
    /// # Errors
    /// [`MeasureError::OutOfRange`] unless `0 < confidence < 1`; [`MeasureError::Empty`] and
    /// [`MeasureError::NonFinite`] for no replicates or non-finite ones.
    ///
    /// # References
    /// Efron (1979).
    pub fn percentile(replicates: &[f64], confidence: f64) -> Result<Self, MeasureError> {
        let alpha = 1.0 - checked(confidence)?;
        Moments::of(replicates).check("bootstrap replicates")?;
        let mut sorted = replicates.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |p: f64| {
            let position = p * (sorted.len() - 1) as f64;
            let (i, t) = (position.floor() as usize, position.fract());
            sorted[i] + t * (sorted[(i + 1).min(sorted.len() - 1)] - sorted[i])
        };
        Ok(Self { low: at(alpha / 2.0), high: at(1.0 - alpha / 2.0), confidence })
    }

    /// Returns true if a number lies inside, ends included.
    pub fn contains(&self, x: f64) -> bool {
        self.low <= x && x <= self.high
    }

    /// Returns the distance between the ends.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = format!("{:.4}", self.confidence * 100.0);
        let percent = percent.trim_end_matches('0').trim_end_matches('.');
        write!(f, "{:.4} … {:.4} ({percent} %)", self.low, self.high)
    }
}

/// Computes the quantile function of the standard normal distribution.
pub fn normal_quantile(p: f64) -> f64 {
    Normal::new(0.0, 1.0).expect("unit scale").inverse_cdf(p)
}

fn checked(confidence: f64) -> Result<f64, MeasureError> {
    ensure(confidence > 0.0 && confidence < 1.0, "confidence", "between 0 and 1", confidence)?;
    Ok(confidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn intervals_equal_published_values() {
        let i = Interval::clopper_pearson(0, 100, 0.95).unwrap();
        assert_abs_diff_eq!(i.high, 1.0 - 0.025_f64.powf(0.01), epsilon = 1e-9);
        let t = Interval::student(0.0, 1.0, 5, 0.95).unwrap();
        assert_abs_diff_eq!(t.high, 2.776_445, epsilon = 1e-5);
        let p = Interval::percentile(&(0..=100).map(f64::from).collect::<Vec<_>>(), 0.9).unwrap();
        assert_abs_diff_eq!(p.low, 5.0, epsilon = 1e-9);
        assert_abs_diff_eq!(p.high, 95.0, epsilon = 1e-9);
    }

    #[test]
    fn arguments_out_of_range_are_errors() {
        assert!(Interval::normal(0.0, 1.0, 1.0).is_err());
        assert!(Interval::clopper_pearson(3, 2, 0.9).is_err());
        assert!(Interval::student(0.0, 1.0, 1, 0.9).is_err());
        assert!(Interval::percentile(&[], 0.9).is_err());
        assert!(Interval::percentile(&[f64::NAN], 0.9).is_err());
    }

    #[test]
    fn clopper_pearson_covers_with_its_confidence() {
        // Exact coverage by summing the binomial law, over a grid of probabilities.
        let n = 30u64;
        for step in 1..20 {
            let p = step as f64 / 20.0;
            let mut covered = 0.0;
            let mut mass = (1.0 - p).powi(n as i32);
            for k in 0..=n {
                if Interval::clopper_pearson(k, n, 0.9).unwrap().contains(p) {
                    covered += mass;
                }
                mass *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
            }
            assert!(covered >= 0.9, "p = {p}: {covered}");
        }
    }
}
