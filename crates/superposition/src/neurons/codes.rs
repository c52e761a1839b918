//! Polysemantic neurons without superposition.
//!
//! Polysemanticity is an observation: a neuron responds to several features. Superposition is one explanation: more features
//! than dimensions, as nearly orthogonal directions. The generators here build the other explanations with known ground
//! truth: orthogonal features off the neuron basis ([`rotated_code`]), a non-linear representation ([`level_code`],
//! [`circular_code`]), and composition in which no feature has a direction ([`ParityCode`]).
//!
//! # References
//! L. Chan (2022), "Superposition is not 'just' neuron polysemanticity".

use crate::error::{SuperpositionError, require_finite, require_shape};
use crate::geometry::{RANK_TOLERANCE, Spectrum};
use collimate_measure::ensure;
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2, Axis};
use std::f64::consts::PI;

/// All states of a set of features, with the activations that represent them.
///
/// All states are equally likely.
#[derive(Clone, Debug, PartialEq)]
pub struct Representation {
    /// The activations `[states, neurons]`.
    pub activations: Array2<f64>,
    /// The features `[states, n]`.
    pub features: Array2<f64>,
}

/// Draws an orthonormal set of `n` feature directions in `n` neurons, uniformly over all rotations.
///
/// There is no superposition, since all features are orthogonal and have a dimension each. Yet the neurons are polysemantic
/// (claim `superposition/polysemantic-without-superposition`).
///
/// # Shapes
/// Result: `[neurons, n]` with n neurons.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for `n = 0`.
///
/// # Determinism
/// The result depends on the stream alone.
///
/// # References
/// G. W. Stewart (1980), "The efficient generation of random orthogonal matrices".
pub fn rotated_code(n: usize, stream: &mut RngStream) -> Result<Array2<f64>, SuperpositionError> {
    ensure(n > 0, "n", "at least 1", n as f64)?;
    let mut q = Array2::<f64>::eye(n);
    // A product of Householder reflections is uniform if their vectors are normal in n, n − 1, …, 1 dimensions.
    for size in (1..=n).rev() {
        let mut v = Array1::<f64>::zeros(n);
        for i in n - size..n {
            v[i] = stream.normal();
        }
        let norm = v.dot(&v).sqrt();
        let sign = if v[n - size] < 0.0 { -1.0 } else { 1.0 };
        v[n - size] += sign * norm;
        let length = v.dot(&v);
        if length > 0.0 {
            let image = v.dot(&q);
            for ((i, j), entry) in q.indexed_iter_mut() {
                *entry -= 2.0 * v[i] * image[j] / length;
            }
        }
        q.row_mut(n - size).mapv_inplace(|x| -sign * x);
    }
    Ok(q)
}

/// Returns `n` orthonormal feature directions: the axes after a rotation by one angle in each plane `(i, i + 1)`, in order.
///
/// # Shapes
/// Result: `[neurons, n]` with n neurons.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for `n = 0` or an angle that is not finite.
pub fn turned_code(n: usize, degrees: f64) -> Result<Array2<f64>, SuperpositionError> {
    ensure(n > 0, "n", "at least 1", n as f64)?;
    ensure(degrees.is_finite(), "degrees", "finite", degrees)?;
    let (sin, cos) = degrees.to_radians().sin_cos();
    let mut q = Array2::<f64>::eye(n);
    for i in 0..n.saturating_sub(1) {
        for j in 0..n {
            let (x, y) = (q[[i, j]], q[[i + 1, j]]);
            q[[i, j]] = cos * x - sin * y;
            q[[i + 1, j]] = sin * x + cos * y;
        }
    }
    Ok(q)
}

/// Computes for each neuron the share of its squared weights that belongs to its largest feature.
///
/// ```text
/// share_k = max_i W_ki² / Σ_i W_ki²      1 for a monosemantic neuron and for a neuron with zero weights
/// ```
///
/// # Shapes
/// `w`: `[neurons, n]`; result: `[neurons]`.
///
/// # Units and range
/// Without unit, in `[1/n, 1]`.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
///
/// # Examples
/// ```
/// use collimate_superposition::{neuron_top_share, turned_code};
/// let share = neuron_top_share(&turned_code(2, 45.0)?)?;
/// assert!((share[0] - 0.5).abs() < 1e-15);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn neuron_top_share(w: &ArrayRef2<f64>) -> Result<Array1<f64>, SuperpositionError> {
    require_finite("w", w.iter())?;
    Ok(w.map_axis(Axis(1), |row| {
        let total: f64 = row.iter().map(|x| x * x).sum();
        let top = row.iter().fold(0.0_f64, |m, x| m.max(x * x));
        if total == 0.0 { 1.0 } else { top / total }
    }))
}

/// Encodes `q` mutually exclusive features as the levels 1 … q of a single neuron.
///
/// A piecewise linear readout ([`read_level`]) decodes the features exactly. No linear readout does.
///
/// # Shapes
/// Activations: `[q, 1]`; features: `[q, q]` (one-hot).
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for `q = 0`.
pub fn level_code(q: usize) -> Result<Representation, SuperpositionError> {
    ensure(q > 0, "q", "at least 1", q as f64)?;
    let activations = Array2::from_shape_fn((q, 1), |(state, _)| (state + 1) as f64);
    Ok(Representation { activations, features: Array2::eye(q) })
}

/// Reads one level of a [`level_code`] exactly, by the tent function `max(0, 1 − |h − level|)` made of three ReLUs.
///
/// # Examples
/// ```
/// use collimate_superposition::read_level;
/// assert_eq!((read_level(3.0, 3), read_level(4.0, 3)), (1.0, 0.0));
/// ```
pub fn read_level(activation: f64, level: usize) -> f64 {
    let from = activation - level as f64;
    (from + 1.0).max(0.0) - 2.0 * from.max(0.0) + (from - 1.0).max(0.0)
}

/// Encodes a cyclic feature with `q` values as `q` points on a circle in two neurons, such as the weekdays for `q = 7`.
///
/// # Shapes
/// Activations: `[q, 2]`; features: `[q, q]` (one-hot).
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for `q < 2`.
///
/// # References
/// J. Engels et al. (2024), "Not All Language Model Features Are Linear".
pub fn circular_code(q: usize) -> Result<Representation, SuperpositionError> {
    ensure(q >= 2, "q", "at least 2", q as f64)?;
    let activations = Array2::from_shape_fn((q, 2), |(state, axis)| {
        let angle = 2.0 * PI * state as f64 / q as f64;
        if axis == 0 { angle.cos() } else { angle.sin() }
    });
    Ok(Representation { activations, features: Array2::eye(q) })
}

/// Computes the share of the variance that the best `directions` directions keep.
///
/// ```text
/// Σ_{k ≤ directions} σ_k² / Σ_k σ_k²      singular values of the centred activations
/// ```
///
/// # Shapes
/// `activations`: `[states, neurons]`.
///
/// # Units and range
/// In `[0, 1]`; 1 for activations that do not vary.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
pub fn variance_kept(activations: &ArrayRef2<f64>, directions: usize) -> Result<f64, SuperpositionError> {
    require_finite("activations", activations.iter())?;
    let singular = Spectrum::of(&centred(activations)).singular_values;
    let total: f64 = singular.iter().map(|s| s * s).sum();
    if total == 0.0 {
        return Ok(1.0);
    }
    Ok(singular.iter().take(directions).map(|s| s * s).sum::<f64>() / total)
}

/// Computes `R²` of the best linear readout (with intercept) of a target from activations.
///
/// # Shapes
/// `activations`: `[states, neurons]`; `target`: `[states]`.
///
/// # Units and range
/// In `[0, 1]`; 1 for a target that does not vary.
///
/// # Errors
/// [`SuperpositionError::Shape`] if the numbers of states differ, [`SuperpositionError::NotFinite`] for NaN or
/// infinite numbers.
///
/// # Examples
/// ```
/// use collimate_superposition::{level_code, linear_r_squared};
/// let code = level_code(3)?;
/// // A linear readout explains nothing of the middle level.
/// assert!(linear_r_squared(&code.activations, &code.features.column(1))? < 1e-15);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn linear_r_squared(
    activations: &ArrayRef2<f64>,
    target: &ArrayRef1<f64>,
) -> Result<f64, SuperpositionError> {
    require_shape("target", &[activations.nrows()], target.shape())?;
    require_finite("activations", activations.iter())?;
    require_finite("target", target.iter())?;
    Ok(explained_by(&Spectrum::of(&centred(activations)), target))
}

/// Computes [`linear_r_squared`] of every column of targets. The caller has checked the arguments.
pub(crate) fn linear_r_squared_each(activations: &ArrayRef2<f64>, targets: &ArrayRef2<f64>) -> Vec<f64> {
    let spectrum = Spectrum::of(&centred(activations));
    targets.columns().into_iter().map(|target| explained_by(&spectrum, &target)).collect()
}

/// Computes the share of a target's variance that lies in the column space of centred activations.
fn explained_by(spectrum: &Spectrum, target: &ArrayRef1<f64>) -> f64 {
    let mean = target.sum() / target.len() as f64;
    let residual = target.mapv(|y| y - mean);
    let total = residual.dot(&residual);
    if total == 0.0 {
        return 1.0;
    }
    let rank = spectrum.rank(RANK_TOLERANCE);
    let explained: f64 = (0..rank).map(|k| spectrum.left.column(k).dot(&residual).powi(2)).sum();
    explained / total
}

fn centred(activations: &ArrayRef2<f64>) -> Array2<f64> {
    let mean = activations.sum_axis(Axis(0)) / activations.nrows().max(1) as f64;
    let mut out = activations.to_owned();
    out -= &mean;
    out
}

/// A code of `k` binary features, each the parity of at least two of `k` binary neurons.
///
/// The map from neurons to features is an invertible matrix over the two-element field, so the joint state decodes
/// exactly. Yet over uniform states every feature is uncorrelated with every neuron, so no linear readout explains any of its
/// variance.
///
/// # Examples
/// ```
/// use collimate_stream::RngStream;
/// use collimate_superposition::{ParityCode, linear_r_squared};
/// let code = ParityCode::random(4, &mut RngStream::new(1, 0))?;
/// let all = code.representation();
/// assert!(linear_r_squared(&all.activations, &all.features.column(0))? < 1e-15);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParityCode {
    /// The bit masks of the neurons: feature `i` is the parity of the neurons in mask `i`.
    reads: Vec<u32>,
}

impl ParityCode {
    /// Draws a random code of `3 ≤ k ≤ 12` features.
    ///
    /// # Errors
    /// [`SuperpositionError::OutOfRange`] for another `k`. With `k = 2` both features would be the parity of both neurons.
    ///
    /// # Determinism
    /// The result depends on the stream alone. It is drawn by rejection, which accepts about one in ten candidates.
    pub fn random(k: usize, stream: &mut RngStream) -> Result<Self, SuperpositionError> {
        ensure((3..=12).contains(&k), "k", "3 to 12", k as f64)?;
        loop {
            let reads: Vec<u32> = (0..k).map(|_| (stream.bits() & ((1 << k) - 1)) as u32).collect();
            if reads.iter().all(|row| row.count_ones() >= 2) && invertible(&reads) {
                return Ok(Self { reads });
            }
        }
    }

    /// Returns the number of features, which is also the number of neurons.
    pub fn features(&self) -> usize {
        self.reads.len()
    }

    /// Decodes the features of one state of the neurons (entries 0 and 1).
    ///
    /// # Errors
    /// [`SuperpositionError::Shape`] for another number of neurons.
    pub fn decode(&self, neurons: &ArrayRef1<f64>) -> Result<Array1<f64>, SuperpositionError> {
        require_shape("neurons", &[self.features()], neurons.shape())?;
        let state = neurons.iter().enumerate().fold(0u32, |s, (i, &x)| s | (u32::from(x > 0.5) << i));
        Ok(self.reads.iter().map(|row| f64::from((row & state).count_ones() % 2)).collect())
    }

    /// Returns every state of the features with the neurons that represent it.
    ///
    /// # Shapes
    /// Activations and features: `[2ᵏ, k]`.
    pub fn representation(&self) -> Representation {
        let k = self.features();
        let bit = |state: usize, i: usize| f64::from(u8::from(state >> i & 1 == 1));
        let activations = Array2::from_shape_fn((1 << k, k), |(state, i)| bit(state, i));
        let mut features = Array2::zeros((1 << k, k));
        for (mut row, neurons) in features.rows_mut().into_iter().zip(activations.rows()) {
            row.assign(&self.decode(&neurons).expect("each row has one entry a neuron"));
        }
        Representation { activations, features }
    }
}

/// Returns true if rows of bits are independent over the two-element field.
fn invertible(rows: &[u32]) -> bool {
    let mut basis: Vec<u32> = Vec::with_capacity(rows.len());
    for &row in rows {
        // Each basis vector clears its own highest bit.
        let left = basis.iter().fold(row, |r, &b| r.min(r ^ b));
        if left == 0 {
            return false;
        }
        basis.push(left);
        basis.sort_unstable_by(|a, b| b.cmp(a));
    }
    true
}
