use crate::error::GradError;
use crate::objective::{Batch, Objective};
use crate::scratch::Scratch;
use collimate_measure::{ensure, same_length};
use collimate_stream::RngStream;
use std::fmt;

/// The coordinates that [`check_gradient`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// All coordinates.
    All,
    /// A sample of coordinates, drawn without replacement.
    Sample {
        /// The number of coordinates.
        count: usize,
        /// The seed of the draw.
        seed: u64,
    },
}

/// The treatment of a coordinate at a kink, for example a ReLU at its corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinks {
    /// The coordinate is listed in the report and not judged, because the derivative does not exist there.
    Set,
    /// The coordinate is judged like every other one.
    Judge,
}

/// The configuration of [`check_gradient`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CheckConfig {
    /// The factor in the step at coordinate `i`: `step·max(1, |w_i|)`.
    pub step: f64,
    /// The allowed error as a fraction of `max(|analytic|, |numeric|)`.
    pub relative: f64,
    /// The allowed error as a fraction of the largest entry of the gradient. Much smaller coordinates are lost in the
    /// rounding of the loss.
    pub of_largest: f64,
    /// The coordinates that are compared.
    pub coordinates: Coordinates,
    /// The treatment of kinks.
    pub kinks: Kinks,
}

impl Default for CheckConfig {
    /// Returns step 1e-4, relative 1e-7, 1e-8 of the largest entry, all coordinates, and kinks not judged.
    fn default() -> Self {
        Self {
            step: 1e-4,
            relative: 1e-7,
            of_largest: 1e-8,
            coordinates: Coordinates::All,
            kinks: Kinks::Set,
        }
    }
}

/// One coordinate of a [`GradientReport`].
#[derive(Clone, Debug, PartialEq)]
pub struct CoordinateCheck {
    /// The position in `w`.
    pub index: usize,
    /// The name, from [`Objective::coordinate_name`].
    pub name: String,
    /// The derivative of the objective.
    pub analytic: f64,
    /// The difference quotient.
    pub numeric: f64,
    /// The allowed error.
    pub tolerance: f64,
}

impl CoordinateCheck {
    /// Returns `|analytic − numeric|`.
    pub fn error(&self) -> f64 {
        (self.analytic - self.numeric).abs()
    }

    /// Returns the error in units of the tolerance. Above 1 the coordinate fails. Infinite if the quotient is NaN.
    pub fn excess(&self) -> f64 {
        match self.error() {
            0.0 => 0.0,
            error if error.is_nan() => f64::INFINITY,
            error => error / self.tolerance,
        }
    }
}

/// The result of [`check_gradient`].
#[derive(Clone, Debug, PartialEq)]
pub struct GradientReport {
    /// The number of judged coordinates.
    pub judged: usize,
    /// The number of coordinates that failed.
    pub failed: usize,
    /// The coordinate with the largest error relative to its tolerance. `None` if no coordinate was judged.
    pub worst: Option<CoordinateCheck>,
    /// The coordinates at a kink.
    pub kinks: Vec<usize>,
}

impl GradientReport {
    /// Returns true if at least one coordinate was judged and none failed.
    pub fn passed(&self) -> bool {
        self.judged > 0 && self.failed == 0
    }
}

impl fmt::Display for GradientReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} coordinates failed", self.failed, self.judged)?;
        if let Some(worst) = &self.worst {
            write!(
                f,
                "; the worst is {}: analytic {:e}, central difference {:e}, error {:.1e} with {:.1e} allowed",
                worst.name,
                worst.analytic,
                worst.numeric,
                worst.error(),
                worst.tolerance
            )?;
        }
        if !self.kinks.is_empty() {
            write!(f, "; {} at a kink (the first: {})", self.kinks.len(), self.kinks[0])?;
        }
        Ok(())
    }
}

/// Compares the gradient of an objective with central differences of its loss.
///
/// ```text
/// D(h) = (L(w + h e_i) − L(w − h e_i)) / 2h        numeric = (4 D(h/2) − D(h)) / 3
/// ```
///
/// The extrapolation removes the error of order h². The tolerance of a coordinate is
/// `relative·max(|analytic|, |numeric|) + of_largest·max_j |∂_j L| + 32 u |L|/h`. The last term is the effect of the rounding of
/// the loss on the quotient (u = 1.1e-16).
///
/// For a smooth function, the second difference over `h` halves when `h` is halved. A coordinate where it does not is at a kink.
///
/// # Errors
/// [`GradError::Length`] if `w` does not have the length of the parameters; the errors of [`Batch::check`]; [`GradError::OutOfRange`]
/// unless the step is positive and finite and the two fractions are at least 0 and finite; the error of [`Objective::failure`] or
/// [`GradError::NonFinite`] if the loss or the gradient at `w` is NaN or infinite.
///
/// # Examples
/// ```
/// use collimate_grad::{Batch, CheckConfig, Objective, Scratch, check_gradient};
/// struct Wrong;
/// impl Objective<f64> for Wrong {
///     fn n_parameters(&self) -> usize { 2 }
///     fn n_samples(&self) -> usize { 1 }
///     fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
///         out.copy_from_slice(&[2.0 * w[0], 3.0]); // the second should be w[0]-free 1
///         w[0] * w[0] + w[1]
///     }
/// }
/// let report = check_gradient(&Wrong, &[0.5, 2.0], Batch::All, &CheckConfig::default())?;
/// assert!(!report.passed());
/// assert_eq!(report.worst.unwrap().index, 1);
/// # Ok::<(), collimate_grad::GradError>(())
/// ```
pub fn check_gradient(
    objective: &dyn Objective<f64>,
    w: &[f64],
    batch: Batch<'_>,
    config: &CheckConfig,
) -> Result<GradientReport, GradError> {
    let n = objective.n_parameters();
    same_length("w", n, w.len())?;
    batch.check(objective.n_samples())?;
    let CheckConfig { step, relative, of_largest, .. } = *config;
    ensure(step > 0.0 && step.is_finite(), "step", "positive and finite", step)?;
    for (name, fraction) in [("relative", relative), ("of_largest", of_largest)] {
        ensure(fraction >= 0.0 && fraction.is_finite(), name, "at least 0 and finite", fraction)?;
    }
    let mut scratch = Scratch::new();
    let mut gradient = vec![0.0; n];
    let at_w = objective.loss_and_gradient_into(w, batch, &mut scratch, &mut gradient);
    if !at_w.is_finite() {
        if let Some(reason) = objective.failure(w, batch) {
            return Err(reason);
        }
        return Err(GradError::NonFinite { argument: "loss", index: 0, value: at_w });
    }
    if let Some(index) = gradient.iter().position(|g| !g.is_finite()) {
        return Err(GradError::NonFinite { argument: "gradient", index, value: gradient[index] });
    }
    let largest = gradient.iter().fold(0.0f64, |largest, g| largest.max(g.abs()));
    let chosen: Vec<usize> = match config.coordinates {
        Coordinates::All => (0..n).collect(),
        Coordinates::Sample { count, seed } => {
            let mut chosen = RngStream::named(seed, "grad.check").permutation(n);
            chosen.truncate(count);
            chosen.sort_unstable();
            chosen
        }
    };
    let mut moved = w.to_vec();
    let mut report = GradientReport { judged: 0, failed: 0, worst: None, kinks: Vec::new() };
    for index in chosen {
        let mut loss_at = |shift: f64| {
            moved[index] = w[index] + shift;
            let loss = objective.loss(&moved, batch, &mut scratch);
            moved[index] = w[index];
            loss
        };
        let h = config.step * w[index].abs().max(1.0);
        let wide = Pair { up: loss_at(h), down: loss_at(-h), h };
        let narrow = Pair { up: loss_at(0.5 * h), down: loss_at(-0.5 * h), h: 0.5 * h };
        let numeric = (4.0 * narrow.slope() - wide.slope()) / 3.0;
        let analytic = gradient[index];
        let scale = at_w.abs().max(wide.up.abs()).max(wide.down.abs());
        let rounding = 32.0 * 0.5 * f64::EPSILON * scale / h;
        let tolerance =
            config.relative * analytic.abs().max(numeric.abs()) + config.of_largest * largest + rounding;
        if is_kink(wide.bend(at_w), narrow.bend(at_w), rounding + tolerance) {
            report.kinks.push(index);
            if config.kinks == Kinks::Set {
                continue;
            }
        }
        report.judged += 1;
        let name = objective.coordinate_name(index);
        let check = CoordinateCheck { index, name, analytic, numeric, tolerance };
        report.failed += usize::from(check.excess() > 1.0);
        if report.worst.as_ref().is_none_or(|worst| check.excess() > worst.excess()) {
            report.worst = Some(check);
        }
    }
    Ok(report)
}

/// The loss at two symmetric shifts.
struct Pair {
    up: f64,
    down: f64,
    h: f64,
}

impl Pair {
    /// Returns the central difference.
    fn slope(&self) -> f64 {
        (self.up - self.down) / (2.0 * self.h)
    }

    /// Returns the difference of the two one-sided slopes: h·L″ for a smooth loss, and the jump of the slope at a kink.
    fn bend(&self, centre: f64) -> f64 {
        ((self.up - centre) - (centre - self.down)) / self.h
    }
}

/// Returns true if the bend does not halve with the step: it stays for a corner at `w`, and vanishes for a corner beside `w`.
fn is_kink(wide: f64, narrow: f64, floor: f64) -> bool {
    let visible = wide.abs().max(narrow.abs()) > 100.0 * floor;
    visible && (narrow - 0.5 * wide).abs() > 0.2 * wide.abs().max(narrow.abs())
}
