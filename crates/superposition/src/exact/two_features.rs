//! Two sparse features in one hidden dimension: candidate solutions, the exact loss, and its true optimum.
//!
//! The model is `x' = ReLU(w wᵀ x + b)` with `w, b ∈ ℝ²`. Each feature is on with probability `s` (the *density*) and
//! then uniform on `[0, 1]`. The second feature has importance `r`. Elhage et al. explain their phase diagram by comparing
//! a few natural settings of the weights, and call that comparison a toy model of the toy model. Here the expected loss is
//! exact at all values of the four parameters, so both boundaries can be compared: [`canonical_boundary`] and
//! [`optimised_boundary`].

use super::descent::{DescentConfig, descend};
use crate::error::{SuperpositionError, require_finite};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_measure::ensure;
use collimate_stream::RngStream;

/// The two-feature model: its density and its importance.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::TwoFeatures;
/// // Above the canonical boundary 0.4444 the best candidate ignores the second feature.
/// let model = TwoFeatures::new(0.475, 0.5)?;
/// assert!(model.ignore_last() < model.superpose_last());
/// // Yet the optimum over all four parameters is in superposition.
/// let best = model.optimum(20, &mut RngStream::new(1, 0))?;
/// assert!(best.loss < 0.04993 && model.ignore_last() > 0.05096);
/// assert!(best.w[0] * best.w[1] < -0.5);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// Elhage et al. (2022), section "Superposition as a Phase Change"; M. Wattenberg, "Exploring Exact Toy Models".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoFeatures {
    density: f64,
    importance: f64,
}

/// A local minimum of the exact two-feature loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoFeatureOptimum {
    /// The two weights. The sign of the pair is free and is chosen so that the larger weight is positive.
    pub w: [f64; 2],
    /// The two biases.
    pub b: [f64; 2],
    /// The loss.
    pub loss: f64,
    /// The largest entry of the gradient in absolute value, at most [`TwoFeatures::GRADIENT_TOLERANCE`].
    pub gradient: f64,
}

/// The distance below the loss of a dedicated solution from which on a loss counts as better. It is far above rounding.
const STRICTLY_BETTER: f64 = 1e-9;

impl TwoFeatures {
    /// The largest entry of the gradient at a reported optimum, in absolute value.
    pub const GRADIENT_TOLERANCE: f64 = 1e-8;

    /// Creates a model with on-probability `density` and importance `importance` of the second feature.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] unless `0 < density ≤ 1` and `importance > 0`.
    pub fn new(density: f64, importance: f64) -> Result<Self, SuperpositionError> {
        ensure(density > 0.0 && density <= 1.0, "density", "above 0 and at most 1", density)?;
        ensure(importance > 0.0 && importance.is_finite(), "importance", "positive and finite", importance)?;
        Ok(Self { density, importance })
    }

    /// Returns the loss if the first feature is predicted by its mean: `f = s/3 − s²/4`.
    pub fn ignore_first(&self) -> f64 {
        let s = self.density;
        s / 3.0 - s * s / 4.0
    }

    /// Returns the loss if the last feature is predicted by its mean: `g = r f`.
    pub fn ignore_last(&self) -> f64 {
        self.importance * self.ignore_first()
    }

    /// Returns the loss if two features of importance 1 share a dimension as `[1, −1]` with zero biases: `h₁ = s²/3`.
    pub fn superpose_first(&self) -> f64 {
        self.density * self.density / 3.0
    }

    /// Returns the loss if the last feature shares a dimension with a feature of importance 1: `h₂ = (1 + r) s²/6`.
    pub fn superpose_last(&self) -> f64 {
        (1.0 + self.importance) * self.density * self.density / 6.0
    }

    /// Returns the lower loss of the two solutions that give the dimension to one feature alone.
    pub fn dedicated(&self) -> f64 {
        self.ignore_first().min(self.ignore_last())
    }

    /// Returns the exact expected loss at the parameters `(w₁, w₂, b₁, b₂)` and writes its gradient to `gradient`.
    ///
    /// The unit square is cut along the line where an output turns on. On each piece the integrand is a parabola, for which
    /// two Gauss nodes per side are exact.
    ///
    /// # Units and range
    /// The mean squared error weighted by importance; at least 0.
    ///
    /// # Errors
    /// [`SuperpositionError::NotFinite`] if a parameter is NaN or infinite.
    pub fn loss_and_gradient(
        &self,
        parameters: &[f64; 4],
        gradient: &mut [f64; 4],
    ) -> Result<f64, SuperpositionError> {
        require_finite("parameters", parameters)?;
        Ok(self.value_and_gradient(parameters, gradient))
    }

    fn value_and_gradient(&self, &[w1, w2, b1, b2]: &[f64; 4], gradient: &mut [f64; 4]) -> f64 {
        let cross = w1 * w2;
        let first = self.output(w1 * w1, cross, b1);
        let second = self.output(w2 * w2, cross, b2);
        let r = self.importance;
        *gradient = [
            first.own * 2.0 * w1 + (first.other + r * second.other) * w2,
            r * second.own * 2.0 * w2 + (first.other + r * second.other) * w1,
            first.bias,
            r * second.bias,
        ];
        first.value + r * second.value
    }

    /// Computes the expected squared error of one output `ReLU(g x + h y + b)` for the target `x`.
    fn output(&self, g: f64, h: f64, b: f64) -> Output {
        let s = self.density;
        let off = b.max(0.0);
        let mut sum = Output {
            value: (1.0 - s).powi(2) * off * off,
            bias: (1.0 - s).powi(2) * 2.0 * off,
            ..Output::ZERO
        };
        // One feature is on: a line. The target is x if it is the first feature and 0 if it is the second.
        for (share, slope, target) in [(s * (1.0 - s), g, 1.0), (s * (1.0 - s), h, 0.0)] {
            for (low, high) in pieces(0.0, 1.0, &[-b / slope]) {
                for (x, weight) in gauss(low, high) {
                    let (x1, x2) = if target > 0.0 { (x, 0.0) } else { (0.0, x) };
                    sum.add(share * weight, g, h, b, x1, x2);
                }
            }
        }
        // Both features are on: slices at constant y, cut where the line of the kink enters or leaves the square.
        for (low, high) in pieces(0.0, 1.0, &[-b / h, -(g + b) / h]) {
            for (y, outer) in gauss(low, high) {
                for (from, to) in pieces(0.0, 1.0, &[-(h * y + b) / g]) {
                    for (x, inner) in gauss(from, to) {
                        sum.add(s * s * outer * inner, g, h, b, x, y);
                    }
                }
            }
        }
        sum
    }

    /// Searches the lowest of the local minima that descents reach from `starts` random points and from the natural candidates.
    ///
    /// # Errors
    /// [`SuperpositionError::NotConverged`] if no descent reached [`TwoFeatures::GRADIENT_TOLERANCE`].
    ///
    /// # Determinism
    /// Start `i` draws from `stream.child(i)`. The result depends on the stream alone.
    pub fn optimum(
        &self,
        starts: u64,
        stream: &mut RngStream,
    ) -> Result<TwoFeatureOptimum, SuperpositionError> {
        let mut best: Option<TwoFeatureOptimum> = None;
        let mut worst_gradient = f64::INFINITY;
        let natural = [[1.0, -1.0, 0.0, 0.0], [1.0, -0.8, -0.05, 0.05], [0.8, -1.0, 0.05, -0.05]];
        let random = (0..starts).map(|i| {
            let mut child = stream.child(i);
            let mut draw = |scale: f64| scale * child.normal();
            [draw(1.0), draw(1.0), draw(0.3), draw(0.3)]
        });
        let s = self.density;
        let dedicated = [[1.0, -0.05, 0.0, s / 2.0], [-0.05, 1.0, s / 2.0, 0.0]];
        for start in natural.into_iter().chain(dedicated).chain(random) {
            let end = self.descend_from(&start)?;
            worst_gradient = worst_gradient.min(end.gradient);
            if end.gradient <= Self::GRADIENT_TOLERANCE && best.is_none_or(|b| end.loss < b.loss) {
                best = Some(end);
            }
        }
        best.ok_or(SuperpositionError::NotConverged {
            search: "the multi-start descent of the two-feature loss",
            steps: starts as usize,
            gradient: worst_gradient,
            tolerance: Self::GRADIENT_TOLERANCE,
        })
    }

    /// Returns the end of a descent from `start`. A small gradient shows that it converged.
    ///
    /// # Errors
    /// [`SuperpositionError::NotFinite`] if a parameter is NaN or infinite.
    pub fn descend_from(&self, start: &[f64; 4]) -> Result<TwoFeatureOptimum, SuperpositionError> {
        require_finite("start", start)?;
        let config = DescentConfig { gradient_tolerance: Self::GRADIENT_TOLERANCE / 10.0, max_steps: 500 };
        let loss = |x: &[f64], g: &mut [f64]| {
            let mut exact = [0.0; 4];
            let value = self.value_and_gradient(&[x[0], x[1], x[2], x[3]], &mut exact);
            g.copy_from_slice(&exact);
            value
        };
        let end = descend(loss, start, &config)?;
        let sign = if end.point[0].abs() >= end.point[1].abs() {
            end.point[0].signum()
        } else {
            end.point[1].signum()
        };
        Ok(TwoFeatureOptimum {
            w: [sign * end.point[0], sign * end.point[1]],
            b: [end.point[2], end.point[3]],
            loss: end.value,
            gradient: end.gradient,
        })
    }
}

/// The exact expected loss over `(w₁, w₂, b₁, b₂)`. It has one sample, which is the distribution itself.
impl Objective<f64> for TwoFeatures {
    fn n_parameters(&self) -> usize {
        4
    }

    fn n_samples(&self) -> usize {
        1
    }

    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        let mut gradient = [0.0; 4];
        let value = self.value_and_gradient(&[w[0], w[1], w[2], w[3]], &mut gradient);
        out.copy_from_slice(&gradient);
        value
    }

    fn coordinate_name(&self, index: usize) -> String {
        ["w1", "w2", "b1", "b2"][index].to_owned()
    }
}

/// Returns the density below which the candidate `[1, −1]` has a lower loss than the candidates that ignore a feature.
///
/// ```text
/// s* = 4r / (2 + 5r)  for r ≤ 1        s* = 4 / (5 + 2r)  for r ≥ 1
/// ```
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] unless the importance is positive.
///
/// # Examples
/// ```
/// use collimate_superposition::canonical_boundary;
/// assert!((canonical_boundary(0.5)? - 4.0 / 9.0).abs() < 1e-15);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn canonical_boundary(importance: f64) -> Result<f64, SuperpositionError> {
    let r = importance;
    ensure(r > 0.0 && r.is_finite(), "importance", "positive and finite", r)?;
    Ok(if r <= 1.0 { 4.0 * r / (2.0 + 5.0 * r) } else { 4.0 / (5.0 + 2.0 * r) })
}

/// The density at which superposition stops being optimal, with the optimum just below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoFeatureBoundary {
    /// The density. It is a numerical lower bound, since a multi-start search can only miss optima.
    pub density: f64,
    /// The optimum at most one tolerance below the boundary. A small second weight indicates a continuous transition, a large
    /// one a jump.
    pub below: TwoFeatureOptimum,
}

/// Finds by bisection the density below which the optimum over all four parameters is lower than the dedicated solutions.
///
/// The result is `None` if superposition is still optimal at density 0.999.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for a bad importance or tolerance, [`SuperpositionError::NotConverged`] from
/// [`TwoFeatures::optimum`].
///
/// # Determinism
/// As [`TwoFeatures::optimum`]. Every density uses the same random starts.
pub fn optimised_boundary(
    importance: f64,
    tolerance: f64,
    starts: u64,
    stream: &mut RngStream,
) -> Result<Option<TwoFeatureBoundary>, SuperpositionError> {
    ensure(tolerance > 0.0, "tolerance", "positive", tolerance)?;
    let mut beats = |density: f64| -> Result<(bool, TwoFeatureOptimum), SuperpositionError> {
        let model = TwoFeatures::new(density, importance)?;
        let best = model.optimum(starts, stream)?;
        Ok((best.loss < model.dedicated() - STRICTLY_BETTER, best))
    };
    let (mut low, mut high) = (canonical_boundary(importance)? * 0.9, 0.999);
    if beats(high)?.0 {
        return Ok(None);
    }
    let mut below = beats(low)?.1;
    while high - low > tolerance {
        let middle = 0.5 * (low + high);
        let (wins, best) = beats(middle)?;
        if wins {
            (low, below) = (middle, best);
        } else {
            high = middle;
        }
    }
    Ok(Some(TwoFeatureBoundary { density: low, below }))
}

/// An expected squared error, with its derivatives in `g`, `h` and `b`.
#[derive(Clone, Copy)]
struct Output {
    value: f64,
    own: f64,
    other: f64,
    bias: f64,
}

impl Output {
    const ZERO: Self = Self { value: 0.0, own: 0.0, other: 0.0, bias: 0.0 };

    /// Adds the weighted error at one node.
    fn add(&mut self, weight: f64, g: f64, h: f64, b: f64, x: f64, y: f64) {
        let u = g * x + h * y + b;
        let error = u.max(0.0) - x;
        self.value += weight * error * error;
        if u > 0.0 {
            let slope = 2.0 * weight * error;
            self.own += slope * x;
            self.other += slope * y;
            self.bias += slope;
        }
    }
}

/// Returns the pieces of an interval that is divided by the cuts inside it.
fn pieces(low: f64, high: f64, cuts: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    let inside = |c: f64| if c > low && c < high { c } else { low };
    let (a, b) = (inside(cuts[0]), cuts.get(1).map_or(low, |&c| inside(c)));
    let (a, b) = (a.min(b), a.max(b));
    [(low, a), (a, b), (b, high)].into_iter().filter(|(from, to)| to > from)
}

/// Returns two Gauss nodes with weights, which are exact for cubics.
fn gauss(low: f64, high: f64) -> [(f64, f64); 2] {
    let (centre, half) = (0.5 * (low + high), 0.5 * (high - low));
    let offset = half / 3.0_f64.sqrt();
    [(centre - offset, half), (centre + offset, half)]
}
