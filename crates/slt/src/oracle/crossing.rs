use super::quadrature::integrate;
use crate::{Beta, NormalCrossing, SltError};

/// Exact finite-n quantities of a [`NormalCrossing`], by one-dimensional quadrature.
///
/// Under the prior, `S = −log K` is a sum of independent exponentials with rates `(h_i + 1)/(2k_i)`, so that
///
/// ```text
/// Z(t) = E e^{−tK} = ∫ f_S(s) exp(−t e^{−s}) ds        V(ε) = P(K < ε) = P(S > −log ε)
/// ```
///
/// The density of S is a Poisson mixture of positive terms (uniformisation): equal and nearly equal rates need no
/// special case, and nothing cancels.
///
/// # Units
/// `t = nβ` is a pure number and enters by its logarithm, so that asymptotic statements can be checked where they
/// hold: at `log t = 300` as well as at 5. Up to about 1000 divided by the largest rate nothing underflows.
///
/// # Examples
/// ```
/// use collimate_slt::{Beta, CrossingOracle, NormalCrossing};
/// let oracle = CrossingOracle::new(&NormalCrossing::flat(&[1, 1])?);
/// // λ = 1/2, but what an estimator at n = 10⁴ and β = 1/log n converges to is 0.388.
/// assert!((oracle.tempered_llc_at(10_000, Beta::InverseLogN)? - 0.3883).abs() < 5e-5);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CrossingOracle {
    rates: Vec<f64>,
    slowest: f64,
    fastest: f64,
}

/// Below this the recursion of the Poisson weights from e^{−x} does not underflow.
const SAFE_EXPONENT: f64 = 600.0;

impl CrossingOracle {
    /// The oracle of a normal crossing.
    pub fn new(crossing: &NormalCrossing) -> Self {
        // From k and h and not from the exact poles, so that the two can be checked against each other.
        let exponents = crossing.powers().iter().zip(crossing.prior()).filter(|(k, _)| **k > 0);
        let rates: Vec<f64> = exponents.map(|(&k, &h)| (f64::from(h) + 1.0) / (2.0 * f64::from(k))).collect();
        let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let fastest = rates.iter().copied().fold(0.0, f64::max);
        Self { rates, slowest, fastest }
    }

    /// `log Z(t)`: minus the free energy of the noiseless model under the flat or vanishing prior.
    pub fn log_partition(&self, log_t: f64) -> f64 {
        let (log_scale, z, _) = self.moments(log_t);
        log_scale + z.ln()
    }

    /// The tempered expectation `E_t[tK] = −d log Z/d log t`: what the LLC estimator converges to at `t = nβ`, γ = 0.
    pub fn tempered_llc(&self, log_t: f64) -> f64 {
        let (_, z, u) = self.moments(log_t);
        u / z
    }

    /// The same at `n` samples and inverse temperature β.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] as [`Beta::n_beta`].
    pub fn tempered_llc_at(&self, n: usize, beta: Beta) -> Result<f64, SltError> {
        Ok(self.tempered_llc(beta.n_beta(n)?.get().ln()))
    }

    /// `log V(ε)` for `log_epsilon ≤ 0`: the logarithm of the prior mass where `K < ε`.
    pub fn log_volume(&self, log_epsilon: f64) -> f64 {
        let s = (-log_epsilon).max(0.0);
        Phases::new(self, s).at(s).log_alive
    }

    /// (log scale, Z, E[tK]·Z), the last two divided by e^{log scale}.
    fn moments(&self, log_t: f64) -> (f64, f64, f64) {
        // Left of log t − 7 the factor exp(−t e^{−s}) is below e^{−1000}; right of it the tail falls like e^{−λs}.
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

/// The law of S after each tick of its clock.
///
/// The exponentials run one after the other. A Poisson clock of the fastest rate q ticks; at a tick, phase i ends with
/// probability r_i/q. The number of ticks by time s is Poisson with mean qs.
struct Phases {
    fastest: f64,
    /// After k ticks: the probability that S is not over.
    alive: Vec<f64>,
    /// After k ticks: the rate at which S ends.
    ending: Vec<f64>,
}

/// P(S > s) and the density of S at s, as a logarithm and a ratio.
struct Point {
    log_alive: f64,
    hazard: f64,
}

impl Phases {
    /// The law for times up to `until`.
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

    /// The mixture over the number of ticks by time `s`.
    fn at(&self, s: f64) -> Point {
        let x = self.fastest * s;
        // With a large x the weights start at the logarithm −x and are rescaled as they grow.
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

/// How many ticks matter when their mean number is `x`: twelve standard deviations beyond it.
fn ticks(x: f64, phases: usize) -> usize {
    (x + 12.0 * x.sqrt()) as usize + 60 + phases
}
