//! Tempered expectations in two variables by quadrature in logarithmic coordinates. Statements about λ are tested with
//! these values, which do not use the code that computes λ.

use crate::LearningCoefficient;
use crate::oracle::quadrature::nodes;

/// The log t at which asymptotic statements are checked.
pub(super) const LOG_T: f64 = 80.0;

/// The tolerance for the next orders at [`LOG_T`].
const TOLERANCE: f64 = 0.03;

/// Returns the tolerance minus the distance of a tempered value from `λ − (m − 1)/log t`.
pub(super) fn asymptotic_margin(tempered: f64, expected: &LearningCoefficient) -> f64 {
    TOLERANCE - asymptotic_distance(tempered, expected, LOG_T)
}

/// Returns the distance of a tempered value at `log t` from `λ − (m − 1)/log t`.
pub(super) fn asymptotic_distance(tempered: f64, expected: &LearningCoefficient, log_t: f64) -> f64 {
    let correction = f64::from(expected.multiplicity - 1) / log_t;
    (tempered - (expected.lambda_f64() - correction)).abs()
}

/// A sum of powers of |x| and |y| under a density on the unit square.
pub(super) struct Quadrant<P: Fn(f64, f64) -> f64> {
    terms: Vec<[f64; 2]>,
    density: P,
}

impl Quadrant<fn(f64, f64) -> f64> {
    /// Creates the sum under the flat density on the positive quarter. For even powers this represents the whole square.
    pub(super) fn flat(terms: Vec<[f64; 2]>) -> Self {
        Self { terms, density: |_, _| 1.0 }
    }
}

impl<P: Fn(f64, f64) -> f64> Quadrant<P> {
    /// Creates the sum under a positive density on the positive quarter.
    pub(super) fn new(terms: Vec<[f64; 2]>, density: P) -> Self {
        Self { terms, density }
    }

    /// Returns `E_t[tK]`.
    pub(super) fn tempered(&self, log_t: f64) -> f64 {
        // Beyond λ log t + 25 ≤ log t + 25 the measure e^{−a} is negligible.
        let axis: Vec<(f64, f64)> = nodes(0.0, log_t + 25.0, 2.5).collect();
        let powers: Vec<Vec<f64>> =
            self.terms.iter().map(|term| axis.iter().map(|(b, _)| (-term[1] * b).exp()).collect()).collect();
        let sides: Vec<f64> = axis.iter().map(|(b, _)| (-b).exp()).collect();
        let (mut z, mut u) = (0.0, 0.0);
        for (a, weight) in &axis {
            let heads: Vec<f64> = self.terms.iter().map(|term| (log_t - term[0] * a).exp()).collect();
            let x = (-a).exp();
            for (index, (_, inner)) in axis.iter().enumerate() {
                let k: f64 = heads.iter().zip(&powers).map(|(head, row)| head * row[index]).sum();
                if k < 50.0 {
                    let f = weight * inner * x * sides[index] * (self.density)(x, sides[index]) * (-k).exp();
                    z += f;
                    u += f * k;
                }
            }
        }
        u / z
    }
}
