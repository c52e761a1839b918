use super::quadrature::gauss_legendre;
use crate::error::positive;
use crate::{NBeta, ReducedRankConfig, SltError};
use collimate_measure::ensure;

/// The exact tempered expectations of reduced-rank regression at the truth 0, in the limit of many samples, under a Gaussian
/// localisation.
///
/// ```text
/// K(A, B) = |B A|²/2σ²,   Z(t) = E exp(−tK),   A and B with independent N(0, 1/γ) entries
/// B integrates out:      Z(t) = E_A det(I + t A Aᵀ/(γσ²))^{−N/2}
/// A Aᵀ = W/γ is Wishart: Z(t) ∝ ∫ Π w(x_i) Π_{i<j} |x_i − x_j| dx,   w(x) = x^{(M−H−1)/2} e^{−x/2} (1 + tx/γ²σ²)^{−N/2}
/// ```
///
/// The integral over the H eigenvalues is the Pfaffian of double integrals (de Bruijn), so two-dimensional quadrature is
/// enough.
///
/// # Examples
/// ```
/// use collimate_slt::{NBeta, ReducedRankConfig, ReducedRankOracle};
/// let config = ReducedRankConfig { inputs: 5, hidden: 3, outputs: 5, noise: 1.0 };
/// let oracle = ReducedRankOracle::new(config, 1.0)?;
/// // λ = 13/2. The localised, tempered value at a thousand samples is smaller.
/// let tempered = oracle.tempered_llc(NBeta::new(144.76)?);
/// assert!(tempered > 4.0 && tempered < 6.5);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
///
/// # References
/// de Bruijn (1955), section 4; James (1964), eq. 58, for the law of the eigenvalues.
#[derive(Clone, Debug, PartialEq)]
pub struct ReducedRankOracle {
    inputs: usize,
    hidden: usize,
    outputs: usize,
    /// The product γ²σ².
    scale: f64,
}

/// The number of panels of the quadrature in √x.
const PANELS: usize = 40;
/// The number of nodes per panel.
const NODES: usize = 8;

impl ReducedRankOracle {
    /// Creates the oracle of a model with at most four hidden units, and not more than inputs or outputs.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for other sizes, or a γ that is not positive.
    pub fn new(config: ReducedRankConfig, gamma: f64) -> Result<Self, SltError> {
        let ReducedRankConfig { inputs, hidden, outputs, noise } = config;
        // The model is symmetric in A and B, so the wider side can have the Wishart law.
        let fits = (1..=4).contains(&hidden) && hidden <= inputs.max(outputs);
        let allowed = "1 to 4, and at most the larger of inputs and outputs";
        ensure(fits, "hidden", allowed, hidden as f64)?;
        positive("gamma", gamma)?;
        let (inputs, outputs) = (inputs.max(outputs), inputs.min(outputs));
        Ok(Self { inputs, hidden, outputs, scale: (gamma * noise).powi(2) })
    }

    /// Returns the tempered expectation `E_t[tK] = −d log Z/d log t`.
    pub fn tempered_llc(&self, n_beta: NBeta) -> f64 {
        let log_t = n_beta.get().ln();
        // Five points give an error of order h⁴.
        let h = 0.02;
        let f = |k: f64| self.log_partition((log_t + k * h).exp());
        -(8.0 * (f(1.0) - f(-1.0)) - (f(2.0) - f(-2.0))) / (12.0 * h)
    }

    /// Returns the standard deviation of `tK` under the same posterior, `√(E − dE/d log t)`.
    pub fn tempered_deviation(&self, n_beta: NBeta) -> Result<f64, SltError> {
        let at = |factor: f64| NBeta::new(n_beta.get() * factor).map(|t| self.tempered_llc(t));
        let h = 0.02f64;
        let slope = (at(h.exp())? - at((-h).exp())?) / (2.0 * h);
        Ok((self.tempered_llc(n_beta) - slope).sqrt())
    }

    /// Returns log Z up to a constant.
    fn log_partition(&self, t: f64) -> f64 {
        let h = self.hidden;
        let power = (self.inputs - h) as i32;
        let end = (80.0 + 6.0 * (self.inputs + h) as f64).sqrt();
        // As a function of s = √x the density s^{M−H} e^{−s²/2} is smooth at 0. Panels are finer there, because of t.
        let weight = |s: f64| {
            let x = s * s;
            2.0 * s.powi(power) * (-0.5 * x - 0.5 * self.outputs as f64 * (t * x / self.scale).ln_1p()).exp()
        };
        let rule = gauss_legendre(NODES);
        let edge = |panel: usize| end * (panel as f64 / PANELS as f64).powi(2);
        let size = h + h % 2;
        let mut pairs = vec![vec![0.0; size]; size];
        let mut below = vec![0.0; h];
        for panel in 0..PANELS {
            let (a, b) = (edge(panel), edge(panel + 1));
            let half = 0.5 * (b - a);
            let mut inside = vec![0.0; h];
            for &(node, w) in &rule {
                let s = a + half * (1.0 + node);
                // Adds the integral from the start of the panel to s.
                let mut upto = below.clone();
                let part = 0.5 * (s - a);
                for &(inner, v) in &rule {
                    let r = a + part * (1.0 + inner);
                    let mass = part * v * weight(r);
                    (0..h).for_each(|k| upto[k] += mass * (r * r).powi(k as i32));
                }
                let mass = half * w * weight(s);
                for j in 0..h {
                    let moment = mass * (s * s).powi(j as i32);
                    inside[j] += moment;
                    for k in 0..h {
                        // x < y: + x^k y^j in entry (k, j), minus in (j, k).
                        pairs[k][j] += upto[k] * moment;
                        pairs[j][k] -= upto[k] * moment;
                    }
                }
            }
            below.iter_mut().zip(&inside).for_each(|(sum, x)| *sum += x);
        }
        if size > h {
            for k in 0..h {
                pairs[k][h] = below[k];
                pairs[h][k] = -below[k];
            }
        }
        pfaffian(&pairs, &(0..size).collect::<Vec<_>>()).ln()
    }
}

/// Returns the Pfaffian of an antisymmetric matrix, by expansion along its first row.
fn pfaffian(a: &[Vec<f64>], rows: &[usize]) -> f64 {
    let Some((&first, rest)) = rows.split_first() else { return 1.0 };
    let mut sum = 0.0;
    for (position, &column) in rest.iter().enumerate() {
        let others: Vec<usize> = rest.iter().copied().filter(|row| *row != column).collect();
        let sign = if position % 2 == 0 { 1.0 } else { -1.0 };
        sum += sign * a[first][column] * pfaffian(a, &others);
    }
    sum
}
