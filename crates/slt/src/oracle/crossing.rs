use super::quadrature::integrate;
use crate::{Beta, NormalCrossing, SltError};

/// Exact finite-n quantities of a [`NormalCrossing`], by one-dimensional quadrature.
///
/// Under the prior, `S = −log K` is a sum of independent exponential variables with rates `(h_i + 1)/(2k_i)`, and
///
/// ```text
/// Z(t) = E e^{−tK} = ∫ f_S(s) exp(−t e^{−s}) ds        V(ε) = P(K < ε) = P(S > −log ε)
/// ```
///
/// The density of S is a Poisson mixture of positive terms (uniformisation). Equal and nearly equal rates need no special
/// case, and no terms cancel.
///
/// # Units
/// `t = nβ` is a pure number and is given by its logarithm, so that asymptotic statements can be checked at `log t = 300` as
/// well as at 5. Up to `log t` of about 1000 divided by the largest rate nothing underflows.
///
/// # Examples
/// ```
/// use collimate_slt::{Beta, CrossingOracle, NormalCrossing};
/// let oracle = CrossingOracle::new(&NormalCrossing::flat(&[1, 1])?);
/// // λ = 1/2, but an estimator at n = 10⁴ and β = 1/log n converges to 0.388.
/// assert!((oracle.tempered_llc_at(10_000, Beta::InverseLogN)? - 0.3883).abs() < 5e-5);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CrossingOracle {
    rates: Vec<f64>,
    slowest: f64,
    fastest: f64,
}

/// The largest x for which the recursion of the Poisson weights from e^{−x} does not underflow.
const SAFE_EXPONENT: f64 = 600.0;

impl CrossingOracle {
    /// Creates the oracle of a normal crossing.
    pub fn new(crossing: &NormalCrossing) -> Self {
        // The rates come from k and h and not from the exact poles, so that both can be checked against each other.
        let exponents = crossing.powers().iter().zip(crossing.prior()).filter(|(k, _)| **k > 0);
        let rates: Vec<f64> = exponents.map(|(&k, &h)| (f64::from(h) + 1.0) / (2.0 * f64::from(k))).collect();
        let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let fastest = rates.iter().copied().fold(0.0, f64::max);
        Self { rates, slowest, fastest }
    }

    /// Returns `log Z(t)`, minus the free energy of the noiseless model under the prior.
    pub fn log_partition(&self, log_t: f64) -> f64 {
        let (log_scale, z, _) = self.moments(log_t);
        log_scale + z.ln()
    }

    /// Returns the tempered expectation `E_t[tK] = −d log Z/d log t`. The LLC estimator converges to it at `t = nβ`, γ = 0.
    pub fn tempered_llc(&self, log_t: f64) -> f64 {
        let (_, z, u) = self.moments(log_t);
        u / z
    }

    /// Returns [`CrossingOracle::tempered_llc`] at `n` samples and inverse temperature β.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] as [`Beta::n_beta`].
    pub fn tempered_llc_at(&self, n: usize, beta: Beta) -> Result<f64, SltError> {
        Ok(self.tempered_llc(beta.n_beta(n)?.get().ln()))
    }

    /// Returns `log V(ε)`, the logarithm of the prior mass of `K < ε`, for `log_epsilon ≤ 0`.
    pub fn log_volume(&self, log_epsilon: f64) -> f64 {
        let s = (-log_epsilon).max(0.0);
        Phases::new(self, s).at(s).log_alive
    }

    /// Returns (log scale, Z, E[tK]·Z), with the last two divided by e^{log scale}.
    fn moments(&self, log_t: f64) -> (f64, f64, f64) {
        // Below log t − 7 the factor exp(−t e^{−s}) is less than e^{−1000}. Above, the tail falls like e^{−λs}.
        let start = (log_t - 7.0).max(0.0);
        let bulk = log_t.max(0.0) + 6.0;
        let end = bulk + 40.0 / self.slowest;
        let phases = Phases::new(self, end);
        // A common factor keeps the integrand representable when t is e^{1000}.
        let log_scale = phases.at(log_t.max(0.0)).log_alive;
        let integrand = |s: f64| {
            let point = phases.at(s);
            let u = (log_t - s).exp();
            let f = point.hazard * (point.log_alive - log_scale - u).exp();
            [f, f * u]
        };
        let near = integrate(start, bulk, (1.0 / self.fastest).clamp(0.25, 1.0), integrand);
        let far = integrate(bulk, end, (2.0 / self.fastest).min(4.0), integrand);
        (log_scale, near[0] + far[0], near[1] + far[1])
    }
}

/// The law of S after each tick of a clock.
///
/// S is the time of phases that follow each other, one per exponential variable. A Poisson clock has the fastest rate q. At a
/// tick, phase i ends with probability r_i/q. The number of ticks until time s is Poisson with mean qs.
struct Phases {
    fastest: f64,
    /// The probability after k ticks that not all phases have ended.
    alive: Vec<f64>,
    /// The rate after k ticks at which the last phase ends.
    ending: Vec<f64>,
}

/// The logarithm of P(S > s), and the ratio of the density of S at s to P(S > s).
struct Point {
    log_alive: f64,
    hazard: f64,
}

impl Phases {
    /// Computes the law for times up to `until`.
    fn new(oracle: &CrossingOracle, until: f64) -> Self {
        let (rates, q) = (&oracle.rates, oracle.fastest);
        let last = rates.len() - 1;
        let mut inside = vec![0.0; rates.len()];
        inside[0] = 1.0;
        let ticks = ticks(q * until, rates.len());
        let (mut alive, mut ending) = (Vec::with_capacity(ticks), Vec::with_capacity(ticks));
        for _ in 0..ticks {
            alive.push(inside.iter().sum());
            ending.push(inside[last] * rates[last]);
            for i in (0..=last).rev() {
                let arriving = if i > 0 { inside[i - 1] * rates[i - 1] / q } else { 0.0 };
                inside[i] = inside[i] * (1.0 - rates[i] / q) + arriving;
            }
        }
        Self { fastest: q, alive, ending }
    }

    /// Returns the mixture over the number of ticks until time `s`.
    fn at(&self, s: f64) -> Point {
        let x = self.fastest * s;
        // For a large x the weights start at the logarithm −x, and growing weights are rescaled.
        let (mut log_scale, mut weight) = if x < SAFE_EXPONENT { (0.0, (-x).exp()) } else { (-x, 1.0) };
        let (mut alive, mut ending) = (0.0, 0.0);
        let terms = ticks(x, 1).min(self.alive.len());
        for (k, (a, e)) in self.alive[..terms].iter().zip(&self.ending).enumerate() {
            alive += weight * a;
            ending += weight * e;
            weight *= x / (k as f64 + 1.0);
            if weight > 1e250 {
                weight *= 1e-250;
                alive *= 1e-250;
                ending *= 1e-250;
                log_scale += 250.0 * std::f64::consts::LN_10;
            }
        }
        Point { log_alive: log_scale + alive.ln(), hazard: ending / alive }
    }
}

/// Returns the number of ticks to consider if their mean number is `x`: twelve standard deviations more.
fn ticks(x: f64, phases: usize) -> usize {
    (x + 12.0 * x.sqrt()) as usize + 60 + phases
}
