use super::quadrature::nodes;
use crate::{NBeta, SltError};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_measure::ensure;

/// The number of equal cells in which minima are sought.
const CELLS: usize = 4096;
/// The number of panels on each side of a minimum. Each is half as wide as the one before it.
const HALVINGS: i32 = 48;

/// The exact tempered expectation of a loss with one parameter, uniform on an interval, by quadrature.
///
/// ```text
/// λ̂(nβ) = nβ ∫ (L(x) − L*) e^{−nβ L(x)} dx / ∫ e^{−nβ L(x)} dx
/// ```
///
/// The panels become narrow towards every minimum, so peaks of any width are resolved. All basins of the interval count.
///
/// # Examples
/// ```
/// use collimate_slt::{IntervalOracle, NBeta, Polynomial, PolynomialLoss};
/// // Two basins, of which the quartic one at 1/2 has most of the posterior.
/// let loss = PolynomialLoss::new(&"(x - 1/2)^4*x^2".parse::<Polynomial>()?);
/// let oracle = IntervalOracle::new(&loss, -1.0, 1.0)?;
/// let n: f64 = 1e8;
/// let value = oracle.tempered_llc(NBeta::new(n / n.ln())?, 0.0);
/// assert!((value - 0.2646).abs() < 1e-4);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct IntervalOracle {
    /// The weight of each node and the loss there.
    nodes: Vec<(f64, f64)>,
    least: f64,
}

impl IntervalOracle {
    /// Evaluates the loss at the nodes of `[low, high]`.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] unless the objective has one parameter and the interval is finite and not empty;
    /// [`SltError::NonFinite`] for a loss that is NaN or infinite.
    pub fn new(objective: &dyn Objective<f64>, low: f64, high: f64) -> Result<Self, SltError> {
        let parameters = objective.n_parameters();
        ensure(parameters == 1, "the number of parameters", "1", parameters as f64)?;
        let width = high - low;
        ensure(width > 0.0 && width.is_finite(), "the width of the interval", "positive and finite", width)?;
        let mut scratch = Scratch::new();
        let mut loss = |x: f64| objective.loss_and_gradient_into(&[x], Batch::All, &mut scratch, &mut [0.0]);
        let cell = width / CELLS as f64;
        let grid: Vec<f64> = (0..=CELLS).map(|i| loss(low + cell * i as f64)).collect();
        let mut ends: Vec<f64> = (0..=CELLS).map(|i| low + cell * i as f64).collect();
        for i in 0..=CELLS {
            let (before, after) = (i.saturating_sub(1), (i + 1).min(CELLS));
            if grid[i] <= grid[before] && grid[i] <= grid[after] {
                let minimum = least_between(low + cell * before as f64, low + cell * after as f64, &mut loss);
                for k in 0..HALVINGS {
                    let distance = 2.0 * cell * 0.5_f64.powi(k);
                    ends.extend([minimum - distance, minimum + distance]);
                }
                ends.push(minimum);
            }
        }
        ends.retain(|x| (low..=high).contains(x));
        ends.sort_by(f64::total_cmp);
        ends.dedup();
        let mut out = Vec::new();
        for pair in ends.windows(2) {
            for (x, weight) in nodes(pair[0], pair[1], width) {
                let value = loss(x);
                if !value.is_finite() {
                    return Err(SltError::NonFinite {
                        argument: "the loss at a node",
                        index: out.len(),
                        value,
                    });
                }
                out.push((weight, value));
            }
        }
        let least = out.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
        Ok(Self { nodes: out, least })
    }

    /// Returns the tempered expectation of `nβ (L − baseline)`.
    pub fn tempered_llc(&self, n_beta: NBeta, baseline: f64) -> f64 {
        let n_beta = n_beta.get();
        let (mut total, mut energy) = (0.0, 0.0);
        for (weight, loss) in &self.nodes {
            let excess = n_beta * (loss - self.least);
            let density = weight * (-excess).exp();
            total += density;
            energy += density * excess;
        }
        energy / total + n_beta * (self.least - baseline)
    }
}

/// Returns the place of a minimum between two points, by the golden section.
fn least_between(mut low: f64, mut high: f64, loss: &mut impl FnMut(f64) -> f64) -> f64 {
    let golden = 0.5 * (5.0_f64.sqrt() - 1.0);
    for _ in 0..100 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if loss(left) <= loss(right) { high = right } else { low = left }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CrossingLoss, CrossingOracle, NormalCrossing, Polynomial, PolynomialLoss, QuadraticLoss};
    use approx::assert_abs_diff_eq;

    #[test]
    fn powers_have_the_values_of_the_crossing_oracle() {
        for power in [1, 2, 3] {
            let oracle = IntervalOracle::new(&CrossingLoss::new(&[power]), -1.0, 1.0).unwrap();
            let crossing = CrossingOracle::new(&NormalCrossing::flat(&[power]).unwrap());
            for t in [3.0_f64, 145.0, 1e6, 1e12] {
                let exact = crossing.tempered_llc(t.ln());
                assert_abs_diff_eq!(oracle.tempered_llc(NBeta::new(t).unwrap(), 0.0), exact, epsilon = 1e-7);
            }
        }
    }

    #[test]
    fn a_shift_of_the_loss_and_of_the_minimum_changes_nothing() {
        let at = |text: &str| {
            let loss = PolynomialLoss::new(&text.parse::<Polynomial>().unwrap());
            IntervalOracle::new(&loss, -1.0, 1.0).unwrap()
        };
        let n_beta = NBeta::new(1e5).unwrap();
        assert_abs_diff_eq!(at("(x - 1/3)^2").tempered_llc(n_beta, 0.0), 0.5, epsilon = 1e-9);
        assert_abs_diff_eq!(at("5 + (x - 1/3)^2").tempered_llc(n_beta, 5.0), 0.5, epsilon = 1e-9);
        // Half of the box has no wall near the minimum of x² at its end.
        assert_abs_diff_eq!(at("(x - 1)^2").tempered_llc(n_beta, 0.0), 0.5, epsilon = 1e-9);
    }

    #[test]
    fn other_objectives_are_refused() {
        assert!(IntervalOracle::new(&QuadraticLoss::new(&[1.0, 1.0]), -1.0, 1.0).is_err());
        assert!(IntervalOracle::new(&QuadraticLoss::new(&[1.0]), 1.0, 1.0).is_err());
        assert!(IntervalOracle::new(&QuadraticLoss::new(&[1.0]), 0.0, f64::INFINITY).is_err());
    }
}
