use crate::error::CircuitError;
use collimate_measure::ensure;

/// The points between the corrupt run (0) and the clean run (1) at which the gradient is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quadrature {
    /// k/m for k = 1 … m: the clean end is a point.
    Right,
    /// k/m for k = 0 … m − 1: the corrupt end is a point.
    Left,
    /// (k + ½)/m for k = 0 … m − 1: neither end is a point. The error falls with m², not with m.
    Midpoint,
}

/// The runs at which the gradient of the metric is taken.
///
/// Libraries disagree: attribution patching usually takes the corrupt run, and others the clean one. The values differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Linearisation {
    /// The corrupt run.
    AtCorrupt,
    /// The clean run.
    AtClean,
    /// The mean over runs whose embedding is E_corrupt + s·(E_clean − E_corrupt), at the points s of a rule.
    Integrated {
        /// The rule.
        rule: Quadrature,
        /// The number of points m, at least 1.
        points: usize,
    },
}

impl Linearisation {
    /// Returns the points s at which the gradient is taken.
    ///
    /// # Errors
    /// [`CircuitError::OutOfRange`] for no points.
    ///
    /// # Examples
    /// ```
    /// use collimate_circuits::{Linearisation, Quadrature};
    /// let middle = Linearisation::Integrated { rule: Quadrature::Midpoint, points: 2 };
    /// assert_eq!(middle.points()?, [0.25, 0.75]);
    /// # Ok::<(), collimate_circuits::CircuitError>(())
    /// ```
    pub fn points(self) -> Result<Vec<f64>, CircuitError> {
        let (rule, m) = match self {
            Self::AtCorrupt => return Ok(vec![0.0]),
            Self::AtClean => return Ok(vec![1.0]),
            Self::Integrated { rule, points } => (rule, points),
        };
        ensure(m > 0, "points", "at least 1", 0.0)?;
        let shift = match rule {
            Quadrature::Right => 1.0,
            Quadrature::Left => 0.0,
            Quadrature::Midpoint => 0.5,
        };
        Ok((0..m).map(|k| (k as f64 + shift) / m as f64).collect())
    }
}

/// The difference of activations that a gradient is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// Clean minus corrupt: the estimated change of the metric when the clean value is put into the corrupt run.
    CleanMinusCorrupt,
    /// Corrupt minus clean: the estimated change of the metric when the corrupt value is put into the clean run.
    CorruptMinusClean,
}

impl Sign {
    /// Returns the factor of (clean − corrupt) · (the sum of the gradients of `runs` runs).
    pub(super) fn factor(self, runs: usize) -> f64 {
        match self {
            Self::CleanMinusCorrupt => 1.0 / runs as f64,
            Self::CorruptMinusClean => -1.0 / runs as f64,
        }
    }
}
