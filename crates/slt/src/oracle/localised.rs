use super::quadrature::nodes as nodes_of;
use crate::error::all_finite;
use crate::{NormalCrossing, SltError};
use collimate_measure::{ensure, same_length};

/// Exact finite-n quantities of a [`NormalCrossing`] under a Gaussian that localises it at a point.
///
/// ```text
/// φ(w) ∝ Π |w_i|^{h_i} e^{−γ|w − w*|²/2}   on ℝ^d,   Z(t) = ∫ φ(w) e^{−tK(w)} dw / ∫ φ(w) dw
/// ```
///
/// The variables are integrated out one after the other. Each integral is a function of log t, which the next variable
/// shifts.
///
/// # Examples
/// ```
/// use collimate_slt::{LocalisedCrossing, NormalCrossing};
/// // λ = 1/2. With a localisation of 10 the value is 0.20 at the crossing, and 0.46 on one arm.
/// let crossing = NormalCrossing::flat(&[1, 1])?;
/// let at = |point: [f64; 2]| LocalisedCrossing::new(&crossing, &point, 10.0).map(|o| o.tempered_llc(145f64.ln()));
/// assert!((at([0.0, 0.0])? - 0.2021).abs() < 5e-5 && (at([1.0, 0.0])? - 0.4609).abs() < 5e-5);
/// # Ok::<(), collimate_slt::SltError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LocalisedCrossing {
    /// The numbers k, h and w* of each variable that enters K.
    variables: Vec<(f64, f64, f64)>,
    gamma: f64,
}

/// The spacing of tables in log t.
const STEP: f64 = 0.125;
/// The log t below which the effect of K is less than the last bit.
const LOW: f64 = -45.0;
/// The number of standard deviations of the Gaussian that are kept.
const REACH: f64 = 9.0;

impl LocalisedCrossing {
    /// Creates the oracle of a normal crossing that is localised at `centre` with strength γ.
    ///
    /// # Errors
    /// [`SltError::Length`] for a centre of another dimension, [`SltError::NonFinite`] for NaN or infinity in it,
    /// [`SltError::OutOfRange`] for a γ outside 10⁻⁴ … 10⁶ or a coordinate of the centre beyond ±1000.
    pub fn new(crossing: &NormalCrossing, centre: &[f64], gamma: f64) -> Result<Self, SltError> {
        same_length("centre", crossing.powers().len(), centre.len())?;
        all_finite("centre", centre)?;
        ensure((1e-4..=1e6).contains(&gamma), "gamma", "in 1e-4..=1e6", gamma)?;
        for &c in centre {
            ensure(c.abs() <= 1e3, "a coordinate of the centre", "in -1000..=1000", c)?;
        }
        let entry = |((&k, &h), &c): ((&u32, &u32), &f64)| (f64::from(k), f64::from(h), c);
        let all = crossing.powers().iter().zip(crossing.prior()).zip(centre).map(entry);
        Ok(Self { variables: all.filter(|v| v.0 > 0.0).collect(), gamma })
    }

    /// Returns `log Z(t)`.
    pub fn log_partition(&self, log_t: f64) -> f64 {
        self.moments(log_t)[0].ln()
    }

    /// Returns the tempered expectation `E_t[tK]` to about seven digits.
    pub fn tempered_llc(&self, log_t: f64) -> f64 {
        let [z, u] = self.moments(log_t);
        u / z
    }

    /// Returns Z and E[tK]·Z.
    fn moments(&self, log_t: f64) -> [f64; 2] {
        let largest = |c: f64| (c.abs() + REACH / self.gamma.sqrt()).ln();
        // The distance by which the table must reach beyond log t, for each variable.
        let room: Vec<f64> =
            self.variables.iter().map(|&(k, _, c)| (2.0 * k * largest(c)).max(0.0)).collect();
        let mut table = Table::exact();
        for (index, &variable) in self.variables.iter().enumerate() {
            let top = log_t.max(0.0) + room[index + 1..].iter().sum::<f64>();
            let last = index + 1 == self.variables.len();
            let from = if last { log_t } else { LOW };
            let points = if last { 1 } else { ((top - LOW) / STEP).ceil() as usize + 8 };
            let weights = self.weights(variable, largest(variable.2), top);
            let value = |i: usize| {
                let u = from + i as f64 * STEP;
                weights.iter().fold([0.0; 2], |[z, e], &(shift, weight)| {
                    let [a, b] = table.at(u + shift);
                    [z + weight * a, e + weight * b]
                })
            };
            table = Table { values: (0..points).map(value).collect(), from };
        }
        table.values[0]
    }

    /// Returns the shift of log t and the probability at each node of one variable.
    fn weights(&self, (k, h, centre): (f64, f64, f64), largest: f64, top: f64) -> Vec<(f64, f64)> {
        let start = -(top / (2.0 * k)) - 40.0;
        // As a function of log |w| the Gaussian is narrow only for large |w|.
        let fine = (2.0 / (self.gamma.sqrt() * largest.exp())).clamp(0.01, 0.5);
        let near = largest - 3.0;
        let density = |v: f64, sign: f64| {
            let distance = sign * v.exp() - centre;
            ((1.0 + h) * v - 0.5 * self.gamma * distance * distance).exp()
        };
        let mut nodes = Vec::new();
        for sign in [-1.0, 1.0] {
            for (from, to, width) in [(start, near, 0.5), (near, largest, fine)] {
                let points = nodes_of(from, to, width);
                nodes.extend(points.map(|(v, weight)| (2.0 * k * v, weight * density(v, sign))));
            }
        }
        let total: f64 = nodes.iter().map(|node| node.1).sum();
        nodes.retain(|node| node.1 > 1e-300 * total);
        nodes.iter_mut().for_each(|node| node.1 /= total);
        nodes
    }
}

/// Z and E[tK]·Z as functions of log t on an even grid.
struct Table {
    values: Vec<[f64; 2]>,
    from: f64,
}

impl Table {
    /// Returns the functions without any variable, `e^{−t}` and `t e^{−t}`.
    fn exact() -> Self {
        Self { values: Vec::new(), from: 0.0 }
    }

    fn at(&self, u: f64) -> [f64; 2] {
        if u < LOW {
            return [1.0, 0.0];
        }
        if self.values.is_empty() {
            let t = u.exp();
            return [(-t).exp(), t * (-t).exp()];
        }
        // Lagrange interpolation through six points.
        let x = (u - self.from) / STEP;
        let first = (x.floor() as usize).saturating_sub(2).min(self.values.len() - 6);
        let x = x - first as f64;
        let mut out = [0.0; 2];
        for (i, value) in self.values[first..first + 6].iter().enumerate() {
            let mut basis = 1.0;
            for j in (0..6).filter(|&j| j != i) {
                basis *= (x - j as f64) / (i as f64 - j as f64);
            }
            out[0] += basis * value[0];
            out[1] += basis * value[1];
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::quadrature::integrate;
    use super::*;
    use approx::assert_abs_diff_eq;

    #[test]
    fn one_variable_gives_the_value_of_plain_quadrature() {
        let oracle = LocalisedCrossing::new(&NormalCrossing::flat(&[2]).unwrap(), &[0.3], 4.0).unwrap();
        let t: f64 = 50.0;
        let [z, u, mass] = integrate(-6.0, 6.0, 0.05, |w| {
            let (phi, k) = ((-2.0 * (w - 0.3) * (w - 0.3)).exp(), t * w.powi(4));
            [phi * (-k).exp(), phi * k * (-k).exp(), phi]
        });
        assert_abs_diff_eq!(oracle.tempered_llc(t.ln()), u / z, epsilon = 1e-9);
        assert_abs_diff_eq!(oracle.log_partition(t.ln()), (z / mass).ln(), epsilon = 1e-9);
    }
}
