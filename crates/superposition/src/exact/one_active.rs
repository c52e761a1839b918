//! The toy model on data with exactly one active feature: its loss on infinite data, in closed form.
//!
//! The model is `x' = ReLU(WᵀW x + b)`; a sample is `x = ξ e_j` with `j` uniform over the `c` features and `ξ` uniform
//! on `[0, 1]`. The loss is a sum of one-dimensional integrals of parabolas, so value, gradient and Hessian are
//! exact, and no data are drawn.

use crate::error::{SuperpositionError, require_finite, require_shape};
use collimate_grad::{Batch, HessianVectorProducts, Objective, Scratch};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2};

/// The loss of the one-active-feature model with `c` features and `r` hidden dimensions.
///
/// ```text
/// L(W, b) = 1/c · Σ_j [ d(G_jj, b_j) + Σ_{i≠j} o(G_ij, b_i) ]      G = WᵀW
/// o(g, b) = ∫₀¹ ReLU(g x + b)² dx
/// d(g, b) = ∫₀¹ (x − ReLU(g x + b))² dx
/// ```
///
/// The parameters are one flat slice: `W` `[r, c]` in row-major order, then `b` `[c]`.
///
/// # Examples
/// ```
/// use collimate_superposition::OneActive;
/// let model = OneActive::new(2, 6)?;
/// // With all parameters 0 every feature is predicted as 0. The loss of a sample is ∫x² = 1/3.
/// assert!((model.loss(&vec![0.0; model.parameters()])? - 1.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// Z. Chen, E. Lau, J. Mendel, S. Wei, D. Murfet (2023), "Dynamical versus Bayesian Phase Transitions in a Toy Model
/// of Superposition", section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneActive {
    hidden: usize,
    features: usize,
}

impl OneActive {
    /// Creates a model with `hidden` dimensions and `features` features.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] if either is zero.
    pub fn new(hidden: usize, features: usize) -> Result<Self, SuperpositionError> {
        ensure(hidden > 0, "hidden", "at least 1", hidden as f64)?;
        ensure(features > 0, "features", "at least 1", features as f64)?;
        Ok(Self { hidden, features })
    }

    /// Returns the number of hidden dimensions `r`.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Returns the number of features `c`.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Returns the number of parameters, `r c + c`.
    pub fn parameters(&self) -> usize {
        (self.hidden + 1) * self.features
    }

    /// Draws a random point: independent normal weights and biases with these standard deviations.
    ///
    /// # Determinism
    /// The result depends on the stream alone.
    pub fn draw(&self, weights: f64, biases: f64, stream: &mut RngStream) -> Vec<f64> {
        let split = self.hidden * self.features;
        (0..self.parameters()).map(|i| stream.normal() * if i < split { weights } else { biases }).collect()
    }

    /// Packs a weight matrix and a bias into one flat vector.
    ///
    /// # Shapes
    /// `w`: `[r, c]`; `b`: `[c]`.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] if the shapes do not fit the model.
    pub fn pack(&self, w: &ArrayRef2<f64>, b: &ArrayRef1<f64>) -> Result<Vec<f64>, SuperpositionError> {
        require_shape("w", &[self.hidden, self.features], w.shape())?;
        require_shape("b", &[self.features], b.shape())?;
        Ok(w.iter().chain(b.iter()).copied().collect())
    }

    /// Unpacks a flat vector into the weight matrix `[r, c]` and the bias `[c]`.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] if the length is not [`OneActive::parameters`].
    pub fn unpack(&self, parameters: &[f64]) -> Result<(Array2<f64>, Array1<f64>), SuperpositionError> {
        require_shape("parameters", &[self.parameters()], &[parameters.len()])?;
        let split = self.hidden * self.features;
        let w =
            Array2::from_shape_fn((self.hidden, self.features), |(k, i)| parameters[k * self.features + i]);
        Ok((w, Array1::from(parameters[split..].to_vec())))
    }

    /// Returns the loss at a point.
    ///
    /// # Units and range
    /// The mean over samples of the squared error summed over features; at least 0.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] and [`SuperpositionError::NotFinite`] for a bad parameter vector.
    pub fn loss(&self, parameters: &[f64]) -> Result<f64, SuperpositionError> {
        self.check(parameters)?;
        Ok(self.value_and_gradient(parameters, &mut vec![0.0; self.parameters()]))
    }

    /// Returns the loss at a point and writes the exact gradient to `gradient`.
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] and [`SuperpositionError::NotFinite`] for a bad parameter or gradient vector.
    pub fn loss_and_gradient(
        &self,
        parameters: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64, SuperpositionError> {
        self.check(parameters)?;
        require_shape("gradient", &[self.parameters()], &[gradient.len()])?;
        Ok(self.value_and_gradient(parameters, gradient))
    }

    fn check(&self, parameters: &[f64]) -> Result<(), SuperpositionError> {
        require_shape("parameters", &[self.parameters()], &[parameters.len()])?;
        require_finite("parameters", parameters)
    }

    /// Returns the loss and writes its gradient. The caller has checked the lengths.
    pub(crate) fn value_and_gradient(&self, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let (r, c) = (self.hidden, self.features);
        let share = 1.0 / c as f64;
        let (w, b) = parameters.split_at(r * c);
        gradient.fill(0.0);
        let (dw, db) = gradient.split_at_mut(r * c);
        let mut total = 0.0;
        for j in 0..c {
            for i in 0..c {
                let g: f64 = (0..r).map(|k| w[k * c + i] * w[k * c + j]).sum();
                let cell = if i == j { own_error(g, b[i]) } else { cross_talk(g, b[i]) };
                total += cell.value;
                db[i] += share * cell.db;
                for k in 0..r {
                    dw[k * c + i] += share * cell.dg * w[k * c + j];
                    dw[k * c + j] += share * cell.dg * w[k * c + i];
                }
            }
        }
        share * total
    }

    /// Computes the exact Hessian of the loss.
    ///
    /// The loss is C¹. Its second derivative jumps where a bias, or a pre-activation at the end of the range, changes sign.
    /// At such a point the result is the derivative from the active side.
    ///
    /// # Shapes
    /// Result: `[p, p]` with p = [`OneActive::parameters`].
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] and [`SuperpositionError::NotFinite`] for a bad parameter vector.
    pub fn hessian(&self, parameters: &[f64]) -> Result<Array2<f64>, SuperpositionError> {
        self.check(parameters)?;
        let (r, c) = (self.hidden, self.features);
        let share = 1.0 / c as f64;
        let w = |k: usize, i: usize| parameters[k * c + i];
        let mut hessian = Array2::zeros((self.parameters(), self.parameters()));
        for j in 0..c {
            for i in 0..c {
                let g: f64 = (0..r).map(|k| w(k, i) * w(k, j)).sum();
                let bias = r * c + i;
                let cell =
                    if i == j { own_error(g, parameters[bias]) } else { cross_talk(g, parameters[bias]) };
                // ∂G_ij/∂θ as a short list of (index, value). A repeated index (i = j) is summed in the loops below.
                let dg: Vec<(usize, f64)> =
                    (0..r).flat_map(|k| [(k * c + i, w(k, j)), (k * c + j, w(k, i))]).collect();
                for &(p, x) in &dg {
                    for &(q, y) in &dg {
                        hessian[[p, q]] += share * cell.dgg * x * y;
                    }
                    hessian[[p, bias]] += share * cell.dgb * x;
                    hessian[[bias, p]] += share * cell.dgb * x;
                }
                hessian[[bias, bias]] += share * cell.dbb;
                for k in 0..r {
                    hessian[[k * c + i, k * c + j]] += share * cell.dg;
                    hessian[[k * c + j, k * c + i]] += share * cell.dg;
                }
            }
        }
        Ok(hessian)
    }
}

/// The loss on infinite data as an objective. It has one "sample", the whole distribution, so every batch has one value.
impl Objective<f64> for OneActive {
    fn n_parameters(&self) -> usize {
        self.parameters()
    }

    fn n_samples(&self) -> usize {
        1
    }

    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        self.value_and_gradient(w, out)
    }

    fn coordinate_name(&self, index: usize) -> String {
        let (row, column) = (index / self.features, index % self.features);
        if row < self.hidden { format!("W[{row}, {column}]") } else { format!("b[{column}]") }
    }

    fn hessian_vector_products(&self) -> Option<&dyn HessianVectorProducts<f64>> {
        Some(self)
    }
}

impl HessianVectorProducts<f64> for OneActive {
    fn hessian_vector_product_into(
        &self,
        w: &[f64],
        direction: &[f64],
        _: Batch<'_>,
        _: &mut Scratch,
        out: &mut [f64],
    ) {
        // With tens of parameters the matrix is cheap. A bad `w` is a bug of the caller and gives NaN.
        match self.hessian(w) {
            Ok(hessian) => {
                for (value, row) in out.iter_mut().zip(hessian.rows()) {
                    *value = row.iter().zip(direction).map(|(h, d)| h * d).sum();
                }
            }
            Err(_) => out.fill(f64::NAN),
        }
    }
}

/// A one-dimensional integral with its first and second derivatives in the slope `g` and the bias `b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActiveIntegral {
    /// The integral.
    pub value: f64,
    /// The derivative in `g`.
    pub dg: f64,
    /// The derivative in `b`.
    pub db: f64,
    /// The second derivative in `g`.
    pub dgg: f64,
    /// The mixed second derivative.
    pub dgb: f64,
    /// The second derivative in `b`.
    pub dbb: f64,
}

/// Returns the part of `[0, 1]` on which `g x + b > 0`, and its inner end if that end moves with the parameters.
fn active(g: f64, b: f64) -> Option<(f64, f64, Option<f64>)> {
    let (starts, ends) = (b > 0.0, g + b > 0.0);
    let crossing = -b / g;
    match (starts, ends) {
        (true, true) => Some((0.0, 1.0, None)),
        (true, false) => Some((0.0, crossing, Some(crossing))),
        (false, true) => Some((crossing, 1.0, Some(crossing))),
        (false, false) => None,
    }
}

/// Returns the moments `∫ 1, ∫ x, ∫ x²` over an interval.
fn moments(low: f64, high: f64) -> (f64, f64, f64) {
    let width = high - low;
    (width, width * (high + low) / 2.0, width * (high * high + high * low + low * low) / 3.0)
}

/// Computes the error of the output of an inactive feature, `o(g, b) = ∫₀¹ ReLU(g x + b)² dx`, with derivatives.
///
/// ```text
/// o(g, b) = (max(g + b, 0)³ − max(b, 0)³) / (3 g)      o(0, b) = max(b, 0)²
/// ```
pub fn cross_talk(g: f64, b: f64) -> ActiveIntegral {
    let Some((low, high, _)) = active(g, b) else {
        return ActiveIntegral { value: 0.0, dg: 0.0, db: 0.0, dgg: 0.0, dgb: 0.0, dbb: 0.0 };
    };
    let (one, x, xx) = moments(low, high);
    // A mean of products of the two end values. It has no cancellation, unlike the difference of cubes.
    let (p, q) = ((g * high + b).max(0.0), (g * low + b).max(0.0));
    ActiveIntegral {
        value: one * (p * p + p * q + q * q) / 3.0,
        dg: 2.0 * (g * xx + b * x),
        db: 2.0 * (g * x + b * one),
        dgg: 2.0 * xx,
        dgb: 2.0 * x,
        dbb: 2.0 * one,
    }
}

/// Computes the error of the output of the active feature, `d(g, b) = ∫₀¹ (x − ReLU(g x + b))² dx`, with derivatives.
pub fn own_error(g: f64, b: f64) -> ActiveIntegral {
    let Some((low, high, moving)) = active(g, b) else {
        return ActiveIntegral { value: 1.0 / 3.0, dg: 0.0, db: 0.0, dgg: 0.0, dgb: 0.0, dbb: 0.0 };
    };
    let (one, x, xx) = moments(low, high);
    let missed = (1.0 - (high - low) * (high * high + high * low + low * low)) / 3.0;
    let (p, q) = ((1.0 - g) * high - b, (1.0 - g) * low - b);
    // The moving end contributes to the second derivative, because the error there is x and not zero.
    let (tt, t, u) = match moving {
        Some(t) => (2.0 * t.powi(3) / g.abs(), 2.0 * t * t / g.abs(), 2.0 * t / g.abs()),
        None => (0.0, 0.0, 0.0),
    };
    ActiveIntegral {
        value: one * (p * p + p * q + q * q) / 3.0 + missed,
        dg: 2.0 * ((g - 1.0) * xx + b * x),
        db: 2.0 * ((g - 1.0) * x + b * one),
        dgg: 2.0 * xx - tt,
        dgb: 2.0 * x - t,
        dbb: 2.0 * one - u,
    }
}
