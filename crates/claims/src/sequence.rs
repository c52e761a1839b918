//! Confidence sequences for the mean of a bounded quantity: valid at every moment at once.

use collimate_measure::Interval;

/// How a confidence sequence is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Hedged capital: bets against each candidate mean. The tighter one.
    #[default]
    Betting,
    /// Predictable-mixture empirical Bernstein: a closed form.
    EmpiricalBernstein,
}

/// How the stakes are chosen; they may use the past only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stakes {
    /// λₜ = √(2 log(1/α) / (σ̂²ₜ₋₁ t log(1+t))): a narrow interval at all times.
    Plugin,
    /// λₜ = g / (σ̂²ₜ₋₁ + g²): the fastest growth when the mean is `g` beyond what is tested.
    Gap(f64),
}

/// A lower confidence bound for the mean of numbers in [0, 1], valid at every moment at once.
#[derive(Clone, Debug)]
pub(crate) struct Lower {
    alpha: f64,
    method: Method,
    stakes: Stakes,
    seen: Vec<(f64, f64)>,
    sum: f64,
    squares: f64,
    // For the closed form: Σλ, Σλy, Σvψ(λ).
    weight: f64,
    weighted: f64,
    penalty: f64,
}

/// The largest share of the capital that is staked, and the largest λ of the closed form.
const TRUNCATION: f64 = 0.5;

impl Lower {
    pub(crate) fn new(alpha: f64, method: Method, stakes: Stakes) -> Self {
        let (seen, sum, squares, weight) = (Vec::new(), 0.0, 0.0, 0.0);
        Self { alpha, method, stakes, seen, sum, squares, weight, weighted: 0.0, penalty: 0.0 }
    }

    /// Takes one number and returns the stake used for it, which depends on the earlier ones only.
    pub(crate) fn push(&mut self, y: f64) -> f64 {
        let t = self.seen.len() as f64 + 1.0;
        // Half a success in one imagined trial of variance 1/4 comes first.
        let mean_before = (0.5 + self.sum) / t;
        let variance_before = (0.25 + self.squares) / t;
        let stake = match self.stakes {
            Stakes::Plugin => (2.0 * -self.alpha.ln() / (variance_before * t * (1.0 + t).ln())).sqrt(),
            Stakes::Gap(gap) => gap / (variance_before + gap * gap),
        };
        if self.method == Method::EmpiricalBernstein {
            let stake = stake.min(TRUNCATION);
            self.weight += stake;
            self.weighted += stake * y;
            self.penalty += (y - mean_before).powi(2) * (-(-stake).ln_1p() - stake);
        }
        self.sum += y;
        let mean = (0.5 + self.sum) / (t + 1.0);
        self.squares += (y - mean).powi(2);
        self.seen.push((stake, y));
        stake
    }

    /// One factor of the capital of whoever bets that the mean exceeds `m`.
    pub(crate) fn log_factor(stake: f64, y: f64, m: f64) -> f64 {
        // Truncated so that the capital stays positive whatever y comes.
        let stake = if m > 0.0 { stake.min(TRUNCATION / m) } else { stake };
        (stake * (y - m)).ln_1p()
    }

    /// The logarithm of the capital of whoever bets that the mean exceeds `m`; it falls as `m` grows.
    fn log_capital(&self, m: f64) -> f64 {
        self.seen.iter().map(|&(stake, y)| Self::log_factor(stake, y, m)).sum()
    }

    /// The bound after what was seen.
    pub(crate) fn bound(&self) -> f64 {
        if self.seen.is_empty() {
            return 0.0;
        }
        let goal = -self.alpha.ln();
        match self.method {
            Method::EmpiricalBernstein => ((self.weighted - goal - self.penalty) / self.weight).max(0.0),
            Method::Betting if self.log_capital(0.0) < goal => 0.0,
            Method::Betting => {
                // Capital at least 1/α at `low`, less at `high`.
                let (mut low, mut high) = (0.0, 1.0);
                for _ in 0..40 {
                    let middle = (low + high) / 2.0;
                    if self.log_capital(middle) >= goal { low = middle } else { high = middle }
                }
                low
            }
        }
    }
}

/// A confidence sequence for the mean of a quantity in `[low, high]`.
///
/// ```text
/// betting:  Cₜ = { m : ½ max(Π(1 + λᵢ(xᵢ−m)), Π(1 − λᵢ(xᵢ−m))) < 1/α }
/// Bernstein: Σλᵢxᵢ/Σλᵢ ± (log(2/α) + Σ(xᵢ−μ̂ᵢ₋₁)²(−log(1−λᵢ)−λᵢ)) / Σλᵢ
/// ```
/// With probability at least 1 − α it contains the mean at *every* moment, so one may look after each number and
/// stop when one likes.
///
/// # Examples
/// ```
/// use collimate_claims::{ConfidenceSequence, Method};
/// let mut sequence = ConfidenceSequence::new(0.0, 1.0, 0.05, Method::Betting);
/// for i in 0..1000 {
///     sequence.push(f64::from(i % 2)).unwrap();
/// }
/// let interval = sequence.interval();
/// assert!(interval.contains(0.5) && interval.width() < 0.13);
/// ```
///
/// # References
/// Waudby-Smith and Ramdas (2024), theorems 2 and 3.
#[derive(Clone, Debug)]
pub struct ConfidenceSequence {
    low: f64,
    high: f64,
    alpha: f64,
    below: Lower,
    above: Lower,
}

impl ConfidenceSequence {
    /// A sequence with coverage `1 − alpha` for a quantity in `[low, high]`.
    pub fn new(low: f64, high: f64, alpha: f64, method: Method) -> Self {
        let side = Lower::new(alpha / 2.0, method, Stakes::Plugin);
        Self { low, high, alpha, below: side.clone(), above: side }
    }

    /// Takes one number.
    ///
    /// # Errors
    /// [`ClaimsError::OutOfBounds`](crate::ClaimsError::OutOfBounds) for a number outside the declared bounds, NaN included.
    pub fn push(&mut self, x: f64) -> Result<(), crate::ClaimsError> {
        let y = unit(x, self.low, self.high)?;
        self.below.push(y);
        self.above.push(1.0 - y);
        Ok(())
    }

    /// The interval after what was seen.
    pub fn interval(&self) -> Interval {
        scaled(&self.below, &self.above, self.low, self.high, 1.0 - self.alpha)
    }
}

/// The interval of two one-sided bounds, back in the units of the quantity.
pub(crate) fn scaled(below: &Lower, above: &Lower, low: f64, high: f64, confidence: f64) -> Interval {
    let back = |y: f64| low + (high - low) * y;
    Interval { low: back(below.bound()), high: back(1.0 - above.bound()), confidence }
}

/// Maps `[low, high]` to `[0, 1]`.
pub(crate) fn unit(x: f64, low: f64, high: f64) -> Result<f64, crate::ClaimsError> {
    if x >= low && x <= high {
        Ok(((x - low) / (high - low)).clamp(0.0, 1.0))
    } else {
        Err(crate::ClaimsError::OutOfBounds { low, high, given: x })
    }
}
