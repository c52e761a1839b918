//! Quasi-Newton descent for losses with an exact gradient and few parameters.

use crate::error::SuperpositionError;
use collimate_measure::ensure;
use ndarray::{Array1, Array2};

/// The stopping rules of [`descend`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DescentConfig {
    /// The largest entry of the gradient, in absolute value, at which the search has converged.
    pub gradient_tolerance: f64,
    /// The largest number of steps.
    pub max_steps: usize,
}

impl Default for DescentConfig {
    fn default() -> Self {
        Self { gradient_tolerance: 1e-9, max_steps: 2000 }
    }
}

/// The end of a descent.
#[derive(Clone, Debug, PartialEq)]
pub struct Descent {
    /// The last point.
    pub point: Array1<f64>,
    /// The loss at that point.
    pub value: f64,
    /// The largest entry of the gradient at that point, in absolute value.
    pub gradient: f64,
    /// The number of steps taken.
    pub steps: usize,
    /// True if the gradient reached the tolerance.
    pub converged: bool,
}

/// Descends from `start` by BFGS with a line search for the weak Wolfe conditions.
///
/// `loss` returns the value at a point and writes the gradient. The line search is a bisection. It also works for losses
/// whose second derivative jumps, such as the losses of ReLU models.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] if the tolerance is not positive. A search that stalls is not an error:
/// [`Descent::converged`] is then false.
///
/// # Determinism
/// No randomness: the same start gives the same bits.
///
/// # Examples
/// ```
/// use collimate_superposition::{DescentConfig, descend};
/// // Rosenbrock's valley, from the usual start.
/// let valley = |x: &[f64], g: &mut [f64]| {
///     let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
///     g[0] = -2.0 * a - 400.0 * x[0] * b;
///     g[1] = 200.0 * b;
///     a * a + 100.0 * b * b
/// };
/// let end = descend(valley, &[-1.2, 1.0], &DescentConfig::default())?;
/// assert!(end.converged && (end.point[0] - 1.0).abs() < 1e-8);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// A. S. Lewis and M. L. Overton (2013), "Nonsmooth optimization via quasi-Newton methods".
pub fn descend(
    mut loss: impl FnMut(&[f64], &mut [f64]) -> f64,
    start: &[f64],
    config: &DescentConfig,
) -> Result<Descent, SuperpositionError> {
    let tolerance = config.gradient_tolerance;
    ensure(tolerance > 0.0, "gradient_tolerance", "positive", tolerance)?;
    let n = start.len();
    let mut point = Array1::from(start.to_vec());
    let mut gradient = Array1::zeros(n);
    let mut value = loss(slice(&point), slice_mut(&mut gradient));
    let mut inverse = Array2::<f64>::eye(n);
    let mut fresh = true;
    let mut steps = 0;
    while largest(&gradient) > tolerance && steps < config.max_steps {
        let mut direction = -inverse.dot(&gradient);
        if direction.dot(&gradient) >= 0.0 {
            inverse = Array2::eye(n);
            fresh = true;
            direction = -&gradient;
        }
        let Some((step, next, next_gradient, next_value)) =
            weak_wolfe(&mut loss, &point, value, &gradient, &direction)
        else {
            if fresh {
                break;
            }
            inverse = Array2::eye(n);
            fresh = true;
            continue;
        };
        let moved = step * &direction;
        let change = &next_gradient - &gradient;
        update(&mut inverse, &moved, &change, fresh);
        (point, gradient, value, fresh) = (next, next_gradient, next_value, false);
        steps += 1;
    }
    let end = largest(&gradient);
    Ok(Descent { point, value, gradient: end, steps, converged: end <= tolerance })
}

/// Updates the inverse Hessian by the BFGS formula. A step without positive curvature is skipped.
fn update(inverse: &mut Array2<f64>, moved: &Array1<f64>, change: &Array1<f64>, first: bool) {
    let curvature = moved.dot(change);
    if curvature <= 1e-300 {
        return;
    }
    if first {
        *inverse *= curvature / change.dot(change);
    }
    let image = inverse.dot(change);
    let scale = (1.0 + change.dot(&image) / curvature) / curvature;
    for i in 0..moved.len() {
        for j in 0..moved.len() {
            inverse[[i, j]] +=
                scale * moved[i] * moved[j] - (image[i] * moved[j] + moved[i] * image[j]) / curvature;
        }
    }
}

/// Searches by bisection for a step that lowers the loss and flattens the slope enough.
fn weak_wolfe(
    loss: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
    point: &Array1<f64>,
    value: f64,
    gradient: &Array1<f64>,
    direction: &Array1<f64>,
) -> Option<(f64, Array1<f64>, Array1<f64>, f64)> {
    let slope = gradient.dot(direction);
    let (mut low, mut high, mut step) = (0.0, f64::INFINITY, 1.0);
    let mut trial_gradient = Array1::zeros(point.len());
    for _ in 0..60 {
        let trial = point + &(step * direction);
        let trial_value = loss(slice(&trial), slice_mut(&mut trial_gradient));
        let trial_slope = trial_gradient.dot(direction);
        // Near a minimum the decrease is below rounding. A smaller slope is then the only measurable progress.
        let rounding = 1e-15 * value.abs();
        let enough = trial_value <= value + 1e-4 * step * slope
            || (trial_value <= value + rounding && trial_slope.abs() <= 0.9 * slope.abs());
        if !enough {
            high = step;
        } else if trial_slope < 0.9 * slope {
            low = step;
        } else {
            return Some((step, trial, trial_gradient, trial_value));
        }
        step = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * low };
    }
    None
}

fn largest(v: &Array1<f64>) -> f64 {
    v.iter().fold(0.0, |m, x| if x.is_nan() { f64::INFINITY } else { x.abs().max(m) })
}

fn slice(v: &Array1<f64>) -> &[f64] {
    v.as_slice().expect("an owned vector is contiguous")
}

fn slice_mut(v: &mut Array1<f64>) -> &mut [f64] {
    v.as_slice_mut().expect("an owned vector is contiguous")
}
