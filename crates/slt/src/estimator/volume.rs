use super::fingerprint;
use crate::{Region, SltError};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_measure::{Measurement, Quantity, Unit, ensure, same_length};
use collimate_stream::RngStream;

/// An estimator of λ from the volume of nearly optimal parameters.
///
/// ```text
/// V(ε) = P(L_n(w) − L_n(w*) < ε),   slope = log(V(ε₁)/V(ε₂)) / log(ε₁/ε₂)   → λ as ε → 0
/// ```
///
/// Points are drawn uniformly from a box, so the estimator works in a few dimensions only. It uses no chain and no gradient,
/// so it is an independent check of the estimators that do.
///
/// # References
/// Watanabe (2009), section 7.1; Lau et al. (2023), section 3.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VolumeSlope {
    /// The levels ε₁ > ε₂ > 0.
    pub levels: [f64; 2],
    /// The number of points.
    pub points: usize,
}

const SLOPE: Quantity = Quantity {
    name: "local volume scaling",
    definition: "log(V(ε₁)/V(ε₂)) / log(ε₁/ε₂) with V(ε) the share of points where L_n(w) − L_n(w*) < ε",
    unit: Unit::One,
};

impl VolumeSlope {
    /// Counts points in the region's box.
    ///
    /// # Errors
    /// [`SltError::Improper`] for a region without walls, [`SltError::Length`] for lengths that differ,
    /// [`SltError::OutOfRange`] for levels out of order, or if fewer than 20 points fall below ε₂.
    ///
    /// # Examples
    /// ```
    /// use collimate_grad::{Batch, Objective, Scratch};
    /// use collimate_slt::{Boundary, Region, VolumeSlope};
    /// struct Quartic;
    /// impl Objective<f64> for Quartic {
    ///     fn n_parameters(&self) -> usize { 1 }
    ///     fn n_samples(&self) -> usize { 1 }
    ///     fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
    ///         out[0] = 4.0 * w[0].powi(3);
    ///         w[0].powi(4)
    ///     }
    /// }
    /// let slope = VolumeSlope { levels: [1e-1, 1e-3], points: 4000 };
    /// let region = Region::cube(1, -1.0, 1.0, Boundary::Reflect)?;
    /// let found = slope.estimate(&Quartic, &[0.0], &region, &mut collimate_stream::RngStream::new(1, 0))?;
    /// assert!((found.value - 0.25).abs() < 4.0 * found.standard_error.unwrap());
    /// # Ok::<(), collimate_slt::SltError>(())
    /// ```
    pub fn estimate(
        &self,
        objective: &dyn Objective<f64>,
        w_star: &[f64],
        region: &Region,
        stream: &mut RngStream,
    ) -> Result<Measurement, SltError> {
        same_length("w_star", objective.n_parameters(), w_star.len())?;
        same_length("region", w_star.len(), region.dimensions())?;
        let Some(walls) = &region.walls else {
            return Err(SltError::Improper {
                reason: "points are drawn uniformly and the region has no walls",
            });
        };
        let [upper, lower] = self.levels;
        let fits = upper > lower && lower > 0.0 && upper.is_finite();
        ensure(fits, "the second level", "positive and below a finite first level", lower)?;
        let mut scratch = Scratch::new();
        let baseline = objective.loss(w_star, Batch::All, &mut scratch);
        let mut w = w_star.to_vec();
        let (mut above, mut below) = (0u64, 0u64);
        for _ in 0..self.points {
            for (i, w) in w.iter_mut().enumerate() {
                if region.moving.as_ref().is_none_or(|mask| mask[i]) {
                    *w = stream.uniform_in(walls.low[i], walls.high[i]);
                }
            }
            let excess = objective.loss(&w, Batch::All, &mut scratch) - baseline;
            above += u64::from(excess < upper);
            below += u64::from(excess < lower);
        }
        let allowed = "at least 20 (draw more points or raise the levels)";
        ensure(below >= 20, "the number of points below the second level", allowed, below as f64)?;
        let width = (upper / lower).ln();
        let share = below as f64 / above as f64;
        // The number of points below the lower level is binomial, given the number below the upper level.
        let error = ((1.0 - share) / (share * above as f64)).sqrt() / width;
        let object = fingerprint(w.len(), objective.n_samples(), w_star, baseline);
        Ok(Measurement::estimate(&SLOPE, -share.ln() / width, error, above, object).estimating(format!(
            "the slope of the volume between ε = {upper:e} and {lower:e}; λ as both go to 0"
        )))
    }
}
