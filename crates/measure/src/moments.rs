use crate::error::MeasureError;

/// The number of samples in one block of [`Moments::of`].
pub const BLOCK: usize = 1024;

/// Count, mean, variance, minimum and maximum of a sequence of numbers, in f64. Two of them can be merged.
///
/// ```text
/// push:   δ = x − mean;  mean += δ/n;  M₂ += δ·(x − mean)
/// merge:  δ = mean_b − mean_a;  mean = mean_a + δ·n_b/n;  M₂ = M₂a + M₂b + δ²·n_a·n_b/n
/// ```
///
/// # Determinism
/// Merging rounds, so the order matters. A parallel computation makes one `Moments` for each *fixed* block of the data
/// and merges the blocks in order. Then the bits do not depend on the number of threads.
/// [`Moments::of`] uses blocks of [`BLOCK`] samples, and `Moments::merged(data.chunks(BLOCK).map(..))` equals it.
///
/// # Examples
/// ```
/// use collimate_measure::Moments;
/// let m: Moments = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter().collect();
/// assert_eq!(m.mean(), 5.0);
/// assert!((m.variance() - 32.0 / 7.0).abs() < 1e-14);
/// ```
///
/// # References
/// Welford (1962); Chan, Golub and LeVeque (1979), eq. 2.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    count: u64,
    mean: f64,
    m2: f64,
    minimum: f64,
    maximum: f64,
    non_finite: u64,
    first_non_finite: u64,
}

impl Default for Moments {
    fn default() -> Self {
        Self::new()
    }
}

impl Moments {
    /// Returns moments without samples.
    pub const fn new() -> Self {
        Self {
            count: 0,
            mean: 0.0,
            m2: 0.0,
            minimum: f64::INFINITY,
            maximum: f64::NEG_INFINITY,
            non_finite: 0,
            first_non_finite: u64::MAX,
        }
    }

    /// Computes the moments of a slice, block by block.
    pub fn of(values: &[f64]) -> Self {
        Self::merged(values.chunks(BLOCK).map(|block| block.iter().copied().collect()))
    }

    /// Merges blocks in the order of the iterator.
    pub fn merged(blocks: impl IntoIterator<Item = Moments>) -> Self {
        let mut all = Self::new();
        for block in blocks {
            all.merge(&block);
        }
        all
    }

    /// Adds one sample. NaN and infinity are counted and not averaged in.
    pub fn push(&mut self, x: f64) {
        if !x.is_finite() {
            self.first_non_finite = self.first_non_finite.min(self.count + self.non_finite);
            self.non_finite += 1;
            return;
        }
        self.count += 1;
        let delta = x - self.mean;
        self.mean += delta / self.count as f64;
        self.m2 += delta * (x - self.mean);
        self.minimum = self.minimum.min(x);
        self.maximum = self.maximum.max(x);
    }

    /// Adds all samples of another block.
    pub fn merge(&mut self, other: &Moments) {
        if other.non_finite > 0 {
            let position = self.count + self.non_finite + other.first_non_finite;
            self.first_non_finite = self.first_non_finite.min(position);
            self.non_finite += other.non_finite;
        }
        if other.count == 0 {
            return;
        }
        let (a, b) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.count += other.count;
        self.mean += delta * (b / (a + b));
        self.m2 += other.m2 + delta * delta * (a * b / (a + b));
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
    }

    /// Returns the number of finite samples.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the number of samples that were NaN or infinite.
    pub fn non_finite(&self) -> u64 {
        self.non_finite
    }

    /// Returns the mean of the finite samples; NaN if there are none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.mean }
    }

    /// Returns the unbiased variance (divisor n − 1); NaN for fewer than two samples.
    pub fn variance(&self) -> f64 {
        if self.count < 2 { f64::NAN } else { self.m2 / (self.count - 1) as f64 }
    }

    /// Returns the standard error of the mean of independent samples, √(variance/n).
    pub fn standard_error(&self) -> f64 {
        (self.variance() / self.count as f64).sqrt()
    }

    /// Returns the smallest finite sample; +∞ if there are none.
    pub fn minimum(&self) -> f64 {
        self.minimum
    }

    /// Returns the largest finite sample; −∞ if there are none.
    pub fn maximum(&self) -> f64 {
        self.maximum
    }

    /// Checks that there are samples and that all of them are finite.
    ///
    /// # Errors
    /// [`MeasureError::Empty`] or [`MeasureError::NonFinite`], with the name `quantity`.
    pub fn check(&self, quantity: &'static str) -> Result<(), MeasureError> {
        if self.non_finite > 0 {
            return Err(MeasureError::NonFinite {
                quantity,
                count: self.non_finite,
                total: self.count + self.non_finite,
                first: self.first_non_finite,
            });
        }
        if self.count == 0 {
            return Err(MeasureError::Empty { quantity });
        }
        Ok(())
    }
}

impl FromIterator<f64> for Moments {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut m = Self::new();
        for x in values {
            m.push(x);
        }
        m
    }
}

/// Means, variances and the covariance of a sequence of pairs. Two of them can be merged like [`Moments`].
///
/// # Examples
/// ```
/// use collimate_measure::Covariance;
/// let c: Covariance = [(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)].into_iter().collect();
/// assert_eq!(c.slope(), 2.0);
/// assert_eq!(c.correlation(), 1.0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Covariance {
    x: Moments,
    y: Moments,
    c2: f64,
}

impl Covariance {
    /// Adds one pair. A pair with a non-finite member counts as non-finite in both moments.
    pub fn push(&mut self, x: f64, y: f64) {
        if !(x.is_finite() && y.is_finite()) {
            self.x.push(f64::NAN);
            self.y.push(f64::NAN);
            return;
        }
        let delta = if self.x.count == 0 { 0.0 } else { x - self.x.mean };
        self.x.push(x);
        self.y.push(y);
        self.c2 += delta * (y - self.y.mean);
    }

    /// Adds all pairs of another block.
    pub fn merge(&mut self, other: &Covariance) {
        if self.x.count > 0 && other.x.count > 0 {
            let (a, b) = (self.x.count as f64, other.x.count as f64);
            self.c2 += (other.x.mean - self.x.mean) * (other.y.mean - self.y.mean) * (a * b / (a + b));
        }
        self.c2 += other.c2;
        self.x.merge(&other.x);
        self.y.merge(&other.y);
    }

    /// Returns the moments of the first members.
    pub fn x(&self) -> &Moments {
        &self.x
    }

    /// Returns the moments of the second members.
    pub fn y(&self) -> &Moments {
        &self.y
    }

    /// Returns the unbiased covariance; NaN for fewer than two pairs.
    pub fn covariance(&self) -> f64 {
        if self.x.count < 2 { f64::NAN } else { self.c2 / (self.x.count - 1) as f64 }
    }

    /// Returns the least-squares slope of y on x.
    pub fn slope(&self) -> f64 {
        self.c2 / self.x.m2
    }

    /// Returns Pearson's correlation.
    pub fn correlation(&self) -> f64 {
        self.c2 / (self.x.m2 * self.y.m2).sqrt()
    }
}

impl FromIterator<(f64, f64)> for Covariance {
    fn from_iter<I: IntoIterator<Item = (f64, f64)>>(pairs: I) -> Self {
        let mut c = Self::default();
        for (x, y) in pairs {
            c.push(x, y);
        }
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::{assert_abs_diff_eq, assert_relative_eq};

    fn numbers(n: usize) -> Vec<f64> {
        (0..n).map(|i| 1e6 + ((i * 7919) % 1000) as f64).collect()
    }

    #[test]
    fn merging_agrees_with_two_passes_at_a_large_offset() {
        let x = numbers(10_000);
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (x.len() - 1) as f64;
        let m = Moments::of(&x);
        assert_abs_diff_eq!(m.mean(), mean, epsilon = 1e-9);
        assert_relative_eq!(m.variance(), variance, max_relative = 1e-12);
        assert_eq!((m.minimum(), m.maximum()), (1e6, 1e6 + 999.0));
    }

    #[test]
    fn fixed_blocks_merged_in_order_give_the_same_bits() {
        let x = numbers(5 * BLOCK + 17);
        let whole = Moments::of(&x);
        let threads: Vec<_> = std::thread::scope(|s| {
            let handles: Vec<_> =
                x.chunks(BLOCK).map(|b| s.spawn(move || b.iter().copied().collect::<Moments>())).collect();
            handles.into_iter().map(|h| h.join().unwrap()).collect()
        });
        assert_eq!(Moments::merged(threads).mean().to_bits(), whole.mean().to_bits());
        assert_eq!(whole, Moments::of(&x));
    }

    #[test]
    fn positions_of_non_finite_values_stay_correct_after_merging() {
        let mut x = numbers(3000);
        x[2500] = f64::INFINITY;
        let m = Moments::of(&x);
        assert_eq!(m.non_finite(), 1);
        let error = m.check("q").unwrap_err();
        assert!(matches!(error, MeasureError::NonFinite { first: 2500, total: 3000, .. }), "{error}");
    }

    #[test]
    fn covariance_merges() {
        let pairs: Vec<_> = (0..100).map(|i| (i as f64, ((i * i) % 37) as f64)).collect();
        let whole: Covariance = pairs.iter().copied().collect();
        let mut parts = Covariance::default();
        for chunk in pairs.chunks(13) {
            parts.merge(&chunk.iter().copied().collect());
        }
        assert_abs_diff_eq!(whole.covariance(), parts.covariance(), epsilon = 1e-9);
        let (mx, my) = (whole.x().mean(), whole.y().mean());
        let direct = pairs.iter().map(|(x, y)| (x - mx) * (y - my)).sum::<f64>() / 99.0;
        assert_abs_diff_eq!(whole.covariance(), direct, epsilon = 1e-9);
    }
}
