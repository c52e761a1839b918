use crate::{LearningCoefficient, SltError};
use collimate_measure::OutOfRange;

/// A region of parameters that competes with other regions for the posterior.
///
/// ```text
/// F(n) = n L + λ log n − (m − 1) log log n + c
/// ```
///
/// # Examples
/// The 5-gon and the 6-gon of six features in the toy model of superposition, with the difference of the constants from
/// the literature:
/// ```
/// use collimate_slt::{Phase, toy_model_polygon};
/// let pentagon = Phase { loss: 0.06874, coefficient: toy_model_polygon(5, 6, 1)?, constant: 0.0 };
/// let hexagon = Phase { loss: 0.04819, coefficient: toy_model_polygon(6, 6, 0)?, constant: 2.7535 };
/// assert!((pentagon.crossing(&hexagon).unwrap() - 601.0).abs() < 1.0);
/// // Without the constants it would be expected too early.
/// assert!((pentagon.leading_order_crossing(&hexagon).unwrap() - 445.0).abs() < 1.0);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
///
/// # References
/// Watanabe (2009), section 7.6; Z. Chen et al. (2023), arXiv 2310.06301, on the polygons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// The loss L at the region's best point, in nats per sample.
    pub loss: f64,
    /// The coefficients λ and m at that point.
    pub coefficient: LearningCoefficient,
    /// The bounded term c. It contains the volume and the curvature of the region.
    pub constant: f64,
}

impl Phase {
    /// Creates a phase from its partition function `C n^{−λ} (log n)^{m−1}`. Its constant is `c = −log C`.
    pub fn with_amplitude(loss: f64, coefficient: LearningCoefficient, amplitude: f64) -> Self {
        Self { loss, coefficient, constant: -amplitude.ln() }
    }

    /// Returns F at `n` samples, up to terms that tend to zero. For `n ≤ 1` it is NaN, because log log n does not exist.
    pub fn free_energy(&self, n: f64) -> f64 {
        if n.is_nan() || n <= 1.0 {
            return f64::NAN;
        }
        let m = f64::from(self.coefficient.multiplicity);
        let log_log = if m > 1.0 { (m - 1.0) * n.ln().ln() } else { 0.0 };
        n * self.loss + self.coefficient.lambda_f64() * n.ln() - log_log + self.constant
    }

    /// Returns the posterior mean of the loss within this phase at `n` samples and β = 1, the slope of F.
    pub fn mean_loss(&self, n: f64) -> f64 {
        let m = f64::from(self.coefficient.multiplicity);
        let log_log = if m > 1.0 { (m - 1.0) / (n * n.ln()) } else { 0.0 };
        self.loss + self.coefficient.lambda_f64() / n - log_log
    }

    /// Returns [`Phase::crossing`] of the two phases with their constants set to zero.
    pub fn leading_order_crossing(&self, other: &Self) -> Option<f64> {
        let bare = |phase: &Self| Self { constant: 0.0, ..*phase };
        bare(self).crossing(&bare(other))
    }

    /// Returns the number of samples beyond which the phase with the lower loss stays preferred.
    ///
    /// Returns `None` if that phase is preferred at every number up to 10¹⁵, or if the losses are equal.
    pub fn crossing(&self, other: &Self) -> Option<f64> {
        let (high, low) = if self.loss > other.loss { (self, other) } else { (other, self) };
        if high.loss.partial_cmp(&low.loss) != Some(std::cmp::Ordering::Greater) {
            return None;
        }
        let lead = |log_n: f64| high.free_energy(log_n.exp()) - low.free_energy(log_n.exp());
        // The search goes downwards, so it finds the last change of order.
        let at = |step: i32| 1e15f64.ln() - 0.01 * f64::from(step);
        let step = (1..).take_while(|&step| at(step) > 2f64.ln()).find(|&step| lead(at(step)) <= 0.0)?;
        let (mut below, mut above) = (at(step), at(step - 1));
        for _ in 0..80 {
            let middle = 0.5 * (below + above);
            if lead(middle) <= 0.0 { below = middle } else { above = middle }
        }
        Some((0.5 * (below + above)).exp())
    }

    /// Returns the index of the phase with the smallest free energy at `n` samples.
    ///
    /// # Errors
    /// [`SltError::OutOfRange`] for an empty list of phases or for `n ≤ 1`.
    pub fn preferred(phases: &[Phase], n: f64) -> Result<usize, SltError> {
        let energies = phases.iter().map(|phase| phase.free_energy(n)).enumerate();
        energies
            .filter(|(_, f)| f.is_finite())
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(index, _)| index)
            .ok_or(OutOfRange { argument: "n", allowed: "above 1, with at least one phase", given: n }.into())
    }
}

/// Returns, for each checkpoint of a training run, the index of the nearest level whose loss is within `tolerance`, if any.
///
/// With the exact λ of each level this gives the learning coefficient along a trajectory without sampling, where the run
/// rests at a critical point. Between two levels there is no result.
///
/// # Examples
/// ```
/// use collimate_slt::{Phase, levels_along, toy_model_polygon};
/// let level = |loss, corners, dead| Phase {
///     loss,
///     coefficient: toy_model_polygon(corners, 6, dead).unwrap(),
///     constant: 0.0,
/// };
/// let levels = [level(0.06874, 5, 1), level(0.06180, 5, 0), level(0.04819, 6, 0)];
/// assert_eq!(levels_along(&[0.2, 0.0688, 0.055, 0.0482], &levels, 5e-4), [None, Some(0), None, Some(2)]);
/// ```
pub fn levels_along(losses: &[f64], levels: &[Phase], tolerance: f64) -> Vec<Option<usize>> {
    let nearest = |loss: &f64| {
        let distances = levels.iter().map(|level| (level.loss - loss).abs()).enumerate();
        distances.filter(|(_, d)| *d <= tolerance).min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
    };
    losses.iter().map(nearest).collect()
}
