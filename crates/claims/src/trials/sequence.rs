//! Confidence sequences for the mean of a bounded quantity: valid at all times simultaneously.

use crate::error::ClaimsError;
use collimate_measure::{Interval, ensure};

/// The construction of a confidence sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// Hedged capital: bets against each candidate mean. It gives the tighter interval.
    #[default]
    Betting,
    /// Predictable plug-in empirical Bernstein: a closed form.
    EmpiricalBernstein,
}

/// The choice of the bets λ, which may depend on earlier numbers only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bets {
    /// The predictable plug-in λₜ = √(2 log(1/α) / (σ̂²ₜ₋₁ t log(1+t))): a narrow interval at all times.
    PredictablePlugin,
    /// The approximate growth rate λₜ = g / (σ̂²ₜ₋₁ + g²): the fastest growth if the mean lies `g` beyond the tested value.
    ApproximateGrowth(f64),
}

/// A lower confidence bound for the mean of numbers in [0, 1], valid at all times simultaneously.
#[derive(Clone, Debug)]
pub(super) struct Lower {
    alpha: f64,
    method: Method,
    bets: Bets,
    /// Each bet with its number.
    seen: Vec<(f64, f64)>,
    sum: f64,
    squares: f64,
    // For the closed form: Σλ, Σλy, Σvψ(λ).
    weight: f64,
    weighted: f64,
    penalty: f64,
}

/// The largest share of the capital that is bet, and the largest λ of the closed form.
const TRUNCATION: f64 = 0.5;

impl Lower {
    pub(super) fn new(alpha: f64, method: Method, bets: Bets) -> Self {
        let (seen, sum, squares, weight) = (Vec::new(), 0.0, 0.0, 0.0);
        Self { alpha, method, bets, seen, sum, squares, weight, weighted: 0.0, penalty: 0.0 }
    }

    /// Adds one number and returns its bet, which depends on the earlier numbers only.
    pub(super) fn push(&mut self, y: f64) -> f64 {
        let t = self.seen.len() as f64 + 1.0;
        // The estimates begin with one imagined trial of mean 1/2 and variance 1/4.
        let mean_before = (0.5 + self.sum) / t;
        let variance_before = (0.25 + self.squares) / t;
        let bet = match self.bets {
            Bets::PredictablePlugin => {
                (2.0 * -self.alpha.ln() / (variance_before * t * (1.0 + t).ln())).sqrt()
            }
            Bets::ApproximateGrowth(gap) => gap / (variance_before + gap * gap),
        };
        if self.method == Method::EmpiricalBernstein {
            let bet = bet.min(TRUNCATION);
            self.weight += bet;
            self.weighted += bet * y;
            self.penalty += (y - mean_before).powi(2) * (-(-bet).ln_1p() - bet);
        }
        self.sum += y;
        let mean = (0.5 + self.sum) / (t + 1.0);
        self.squares += (y - mean).powi(2);
        self.seen.push((bet, y));
        bet
    }

    /// Returns the logarithm of one factor of the capital that bets on a mean above `m`.
    pub(super) fn log_factor(bet: f64, y: f64, m: f64) -> f64 {
        // Truncated, so that the capital stays positive for every y.
        let bet = if m > 0.0 { bet.min(TRUNCATION / m) } else { bet };
        (bet * (y - m)).ln_1p()
    }

    /// Returns the logarithm of the capital that bets on a mean above `m`. It falls as `m` grows.
    fn log_capital(&self, m: f64) -> f64 {
        self.seen.iter().map(|&(bet, y)| Self::log_factor(bet, y, m)).sum()
    }

    /// Returns the bound after the numbers so far.
    pub(super) fn bound(&self) -> f64 {
        if self.seen.is_empty() {
            return 0.0;
        }
        let goal = -self.alpha.ln();
        match self.method {
            Method::EmpiricalBernstein => ((self.weighted - goal - self.penalty) / self.weight).max(0.0),
            Method::Betting if self.log_capital(0.0) < goal => 0.0,
            Method::Betting => {
                // The capital is at least 1/α at `low` and smaller at `high`.
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

/// A lower bound that never falls: the largest bound so far, checked after every number.
///
/// The bound of bets moves in steps of 1/128 of its distance from the mean, because a step can be checked with one product for
/// each number. It lies at most one step below the exact largest bound.
#[derive(Clone, Debug)]
struct Running {
    lower: Lower,
    bound: f64,
    next: f64,
    /// The logarithm of the capital that bets on a mean above `next`.
    log_capital: f64,
}

impl Running {
    fn new(lower: Lower) -> Self {
        Self { lower, bound: 0.0, next: 0.5 / 128.0, log_capital: 0.0 }
    }

    fn push(&mut self, y: f64) {
        let bet = self.lower.push(y);
        match self.lower.method {
            Method::EmpiricalBernstein => self.bound = self.bound.max(self.lower.bound()),
            Method::Betting => {
                self.log_capital += Lower::log_factor(bet, y, self.next);
                while self.log_capital >= -self.lower.alpha.ln() && self.bound < self.next {
                    self.bound = self.next;
                    let mean = (0.5 + self.lower.sum) / (self.lower.seen.len() as f64 + 1.0);
                    self.next = (self.bound + ((mean - self.bound) / 128.0).max(1e-6)).min(1.0);
                    self.log_capital = self.lower.log_capital(self.next);
                }
            }
        }
    }
}

/// A confidence sequence for the mean of a quantity in `[low, high]`.
///
/// ```text
/// betting:  Cₜ = { m : ½ max(Π(1 + λᵢ(xᵢ−m)), Π(1 − λᵢ(xᵢ−m))) < 1/α }
/// Bernstein: Σλᵢxᵢ/Σλᵢ ± (log(2/α) + Σ(xᵢ−μ̂ᵢ₋₁)²(−log(1−λᵢ)−λᵢ)) / Σλᵢ
/// interval:  ⋂ C₁ … Cₜ
/// ```
/// With probability at least 1 − α every Cₜ contains the mean, so a caller may look at the interval after each number and stop at any
/// time. The interval is the intersection of all of them, so it never becomes wider. With betting, each end lies outside the exact
/// intersection by at most 1/128 of its distance from the mean.
///
/// # Examples
/// ```
/// use collimate_claims::{ConfidenceSequence, Method};
/// let mut sequence = ConfidenceSequence::new(0.0, 1.0, 0.05, Method::Betting)?;
/// for i in 0..1000 {
///     sequence.push(f64::from(i % 2))?;
/// }
/// let interval = sequence.interval();
/// assert!(interval.contains(0.5) && interval.width() < 0.13);
/// # Ok::<(), collimate_claims::ClaimsError>(())
/// ```
///
/// # References
/// Waudby-Smith and Ramdas (2024), theorems 2 and 3.
#[derive(Clone, Debug)]
pub struct ConfidenceSequence {
    low: f64,
    high: f64,
    alpha: f64,
    below: Running,
    above: Running,
    /// The point that is left when the two bounds cross, which happens with probability at most α.
    crossed: Option<f64>,
}

impl ConfidenceSequence {
    /// Returns a sequence with coverage `1 − alpha` for a quantity in `[low, high]`.
    ///
    /// # Errors
    /// [`ClaimsError::OutOfRange`](crate::ClaimsError::OutOfRange) unless the bounds are finite, `low < high` and `0 < alpha < 1`.
    pub fn new(low: f64, high: f64, alpha: f64, method: Method) -> Result<Self, ClaimsError> {
        let width = high - low;
        ensure(width > 0.0 && width.is_finite(), "the width of the bounds", "positive and finite", width)?;
        ensure(alpha > 0.0 && alpha < 1.0, "alpha", "between 0 and 1", alpha)?;
        let side = Running::new(Lower::new(alpha / 2.0, method, Bets::PredictablePlugin));
        Ok(Self { low, high, alpha, below: side.clone(), above: side, crossed: None })
    }

    /// Adds one number.
    ///
    /// # Errors
    /// [`ClaimsError::OutOfBounds`](crate::ClaimsError::OutOfBounds) for a number outside the declared bounds, NaN included.
    pub fn push(&mut self, x: f64) -> Result<(), ClaimsError> {
        let y = unit(x, self.low, self.high)?;
        let before = (self.below.bound, 1.0 - self.above.bound);
        self.below.push(y);
        self.above.push(1.0 - y);
        let (below, above) = (self.below.bound, 1.0 - self.above.bound);
        if below > above && self.crossed.is_none() {
            self.crossed = Some(((below + above) / 2.0).clamp(before.0, before.1));
        }
        Ok(())
    }

    /// Returns the interval after the numbers so far.
    pub fn interval(&self) -> Interval {
        let (below, above) = match self.crossed {
            Some(point) => (point, point),
            None => (self.below.bound, 1.0 - self.above.bound),
        };
        let back = |y: f64| self.low + (self.high - self.low) * y;
        Interval { low: back(below), high: back(above), confidence: 1.0 - self.alpha }
    }
}

/// Returns the interval of two one-sided bounds, in the units of the quantity.
pub(super) fn scaled(below: &Lower, above: &Lower, low: f64, high: f64, confidence: f64) -> Interval {
    let back = |y: f64| low + (high - low) * y;
    Interval { low: back(below.bound()), high: back(1.0 - above.bound()), confidence }
}

/// Maps a number in `[low, high]` to `[0, 1]`.
pub(super) fn unit(x: f64, low: f64, high: f64) -> Result<f64, ClaimsError> {
    if x >= low && x <= high {
        Ok(((x - low) / (high - low)).clamp(0.0, 1.0))
    } else {
        Err(ClaimsError::OutOfBounds { low, high, given: x })
    }
}
