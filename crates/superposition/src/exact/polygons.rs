//! Regular polygons as critical points of the one-active-feature loss with two hidden dimensions.

use super::one_active::{OneActive, cross_talk, own_error};
use crate::error::SuperpositionError;
use collimate_measure::ensure;
use std::f64::consts::PI;

/// A regular `k`-gon of features that is a critical point of the loss. All its features have one norm and one bias.
///
/// # Examples
/// ```
/// use collimate_superposition::CriticalPolygon;
/// let pentagon = CriticalPolygon::new(5)?;
/// assert!((pentagon.norm - 1.17046).abs() < 1e-5 && (pentagon.bias + 0.28230).abs() < 1e-5);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// Z. Chen et al. (2023), arXiv 2310.06301, table of `k`-gon norms and biases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CriticalPolygon {
    /// The number of corners.
    pub corners: usize,
    /// The norm `l*` of each represented column.
    pub norm: f64,
    /// The bias `b*` of each represented feature.
    pub bias: f64,
    /// The loss when one represented feature is active, over the outputs of all represented features:
    /// `e = d(l², b) + Σ_{s=1}^{k−1} o(l² cos(2πs/k), b)`.
    pub error: f64,
}

/// The biases of the features that are not corners of a `k`-gon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnusedFeatures {
    /// The number of unused features with the bias `1/(2c)`, which is the best bias of a feature without a direction. The other
    /// unused features have bias 0.
    pub on: usize,
}

impl CriticalPolygon {
    /// Finds the critical `k`-gon by Newton's method in `(l, b)`.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] unless `3 ≤ k ≤ 8`: for 9 ≤ k ≤ 203 a `k`-gon of `k` features is critical
    /// only when 4 divides `k`. [`SuperpositionError::NotConverged`] if Newton's method fails.
    pub fn new(corners: usize) -> Result<Self, SuperpositionError> {
        ensure((3..=8).contains(&corners), "corners", "3 to 8", corners as f64)?;
        // The solutions lie close to a straight line in k, which gives the start of Newton's method.
        let excess = (corners as f64 - 4.0).max(0.0);
        let (mut l, mut b) = (1.0 + 0.15 * excess, -0.3 * excess);
        let (mut steps, mut size) = (0, f64::INFINITY);
        const TOLERANCE: f64 = 1e-13;
        while size > TOLERANCE && steps < 100 {
            let [dl, db, dll, dlb, dbb] = symmetric_derivatives(corners, l, b);
            size = dl.abs().max(db.abs());
            let determinant = dll * dbb - dlb * dlb;
            l -= (dbb * dl - dlb * db) / determinant;
            b -= (dll * db - dlb * dl) / determinant;
            steps += 1;
        }
        if size.is_nan() || size > TOLERANCE {
            return Err(SuperpositionError::NotConverged {
                search: "Newton's method for the k-gon",
                steps,
                gradient: size,
                tolerance: TOLERANCE,
            });
        }
        Ok(Self { corners, norm: l, bias: b, error: symmetric_error(corners, l, b) })
    }

    /// Returns the loss of this polygon in a model with `features` features.
    ///
    /// ```text
    /// L = 1/c · ( k e + (c − k)/3 ) − on / (4 c²)
    /// ```
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] if there are fewer features than corners, or fewer unused features than
    /// `unused.on`.
    pub fn loss(&self, features: usize, unused: UnusedFeatures) -> Result<f64, SuperpositionError> {
        let idle = self.idle(features, unused)?;
        let c = features as f64;
        Ok((self.corners as f64 * self.error + idle as f64 / 3.0) / c - unused.on as f64 / (4.0 * c * c))
    }

    /// Returns the model with `features` features and the parameters of this polygon. The first `k` columns are the corners,
    /// and the other columns are zero.
    ///
    /// # Errors
    /// The errors of [`CriticalPolygon::loss`].
    pub fn parameters(
        &self,
        features: usize,
        unused: UnusedFeatures,
    ) -> Result<(OneActive, Vec<f64>), SuperpositionError> {
        self.idle(features, unused)?;
        let model = OneActive::new(2, features)?;
        let mut flat = vec![0.0; model.parameters()];
        for i in 0..self.corners {
            let angle = 2.0 * PI * i as f64 / self.corners as f64;
            flat[i] = self.norm * angle.cos();
            flat[features + i] = self.norm * angle.sin();
            flat[2 * features + i] = self.bias;
        }
        for i in self.corners..self.corners + unused.on {
            flat[2 * features + i] = 1.0 / (2.0 * features as f64);
        }
        Ok((model, flat))
    }

    fn idle(&self, features: usize, unused: UnusedFeatures) -> Result<usize, SuperpositionError> {
        ensure(features >= self.corners, "features", "at least the number of corners", features as f64)?;
        let idle = features - self.corners;
        ensure(unused.on <= idle, "unused.on", "at most the number of unused features", unused.on as f64)?;
        Ok(idle)
    }
}

/// Returns the loss when one corner is active, as a function of norm and bias.
fn symmetric_error(corners: usize, l: f64, b: f64) -> f64 {
    let g = l * l;
    let others = (1..corners).map(|s| cross_talk(g * turn(s, corners), b).value);
    own_error(g, b).value + others.sum::<f64>()
}

/// Returns the first and second derivatives of [`symmetric_error`]: `[∂l, ∂b, ∂ll, ∂lb, ∂bb]`.
fn symmetric_derivatives(corners: usize, l: f64, b: f64) -> [f64; 5] {
    let mut sums = [0.0; 5];
    for s in 0..corners {
        let cos = turn(s, corners);
        let cell = if s == 0 { own_error(l * l, b) } else { cross_talk(l * l * cos, b) };
        let dg_dl = 2.0 * l * cos;
        sums[0] += cell.dg * dg_dl;
        sums[1] += cell.db;
        sums[2] += cell.dgg * dg_dl * dg_dl + cell.dg * 2.0 * cos;
        sums[3] += cell.dgb * dg_dl;
        sums[4] += cell.dbb;
    }
    sums
}

/// Returns the cosine of the angle between two corners that are `s` places apart.
fn turn(s: usize, corners: usize) -> f64 {
    // A quarter turn must give exactly 0: a rounding error would decide on which side of a kink the square lies.
    if 4 * s == corners || 4 * s == 3 * corners { 0.0 } else { (2.0 * PI * s as f64 / corners as f64).cos() }
}
