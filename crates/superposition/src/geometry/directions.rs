//! Measures of a set of feature directions: dimensionality, interference, coherence.
//!
//! Every function takes a matrix `W` `[m, n]`. Its column `W_i` is the direction of feature `i`.

use super::scale::{largest, scale_for};
use super::spectrum::Spectrum;
use crate::error::{SuperpositionError, require_finite, require_shape};
use collimate_measure::ensure;
use ndarray::{Array1, Array2, ArrayRef2, Axis};

/// The fraction of the largest singular value below which a singular value counts as zero in [`rank`] and
/// [`leverage_scores`].
pub const RANK_TOLERANCE: f64 = 1e-11;

/// Returns the Euclidean norm of each column.
///
/// ```text
/// ‖W_i‖
/// ```
///
/// A column with NaN has the norm NaN. Any other column with an infinite entry has an infinite norm.
///
/// # Shapes
/// `w`: `[m, n]`; result: `[n]`.
///
/// # Examples
/// ```
/// use collimate_superposition::feature_norms;
/// use ndarray::array;
/// let norms = feature_norms(&array![[3e200, f64::NAN], [4e200, 1.0]]);
/// assert!((norms[0] / 5e200 - 1.0).abs() < 1e-15 && norms[1].is_nan());
/// ```
pub fn feature_norms(w: &ArrayRef2<f64>) -> Array1<f64> {
    w.map_axis(Axis(0), |column| {
        // Squares of entries below 1e-154 would underflow, so the largest entry is factored out first.
        let largest = largest(column);
        if largest == 0.0 || !largest.is_finite() {
            largest
        } else {
            largest * column.iter().map(|x| (x / largest).powi(2)).sum::<f64>().sqrt()
        }
    })
}

/// Computes the dimensionality of each feature: the share of a dimension that it has to itself.
///
/// ```text
/// D_i = ‖W_i‖² / Σ_j (Ŵ_i · W_j)²      Ŵ_i = W_i / ‖W_i‖,  W_j not normalised;  D_i = 0 where W_i = 0
/// ```
///
/// # Shapes
/// `w`: `[m, n]`; result: `[n]`.
///
/// # Units and range
/// Dimensions, in `[0, 1]`; the sum lies between 1 and the rank of `W` (claims `superposition/dimensionality-sum`
/// and `superposition/dimensionality-at-least-one`).
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
///
/// # Examples
/// ```
/// use collimate_superposition::{feature_dimensionality, regular_polygon};
/// let d = feature_dimensionality(&regular_polygon(5)?)?;
/// assert!(d.iter().all(|d| (d - 0.4).abs() < 1e-14)); // five features share two dimensions
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// Elhage et al. (2022), "Toy Models of Superposition", section "The Geometry of Superposition".
pub fn feature_dimensionality(w: &ArrayRef2<f64>) -> Result<Array1<f64>, SuperpositionError> {
    require_finite("w", w.iter())?;
    let norms = feature_norms(w);
    Ok((0..w.ncols())
        .map(|i| {
            if norms[i] == 0.0 {
                return 0.0;
            }
            // Each projection is divided by ‖W_i‖ before squaring, so that tiny columns do not underflow.
            let total: f64 = projections(w, i, norms[i]).iter().map(|p| (p / norms[i]).powi(2)).sum();
            1.0 / total
        })
        .collect())
}

/// Returns the projection of every column on the direction of column `i`, whose length is `norm`: `Ŵ_i · W_j` for each `j`.
fn projections(w: &ArrayRef2<f64>, i: usize, norm: f64) -> Vec<f64> {
    let unit = w.column(i).mapv(|x| x / norm);
    w.axis_iter(Axis(1)).map(|other| unit.dot(&other)).collect()
}

/// Computes the capacity that a layer allocates to each feature.
///
/// ```text
/// C_i = (W_i · W_i)² / Σ_j (W_i · W_j)²      C_i = 0 where W_i = 0
/// ```
///
/// It equals [`feature_dimensionality`] (claim `superposition/capacity-is-dimensionality`). It is computed from a Gram matrix, as in
/// the paper that defines it, but from that of the columns at unit length: fourth powers of short columns would underflow.
///
/// # Shapes
/// `w`: `[m, n]`; result: `[n]`.
///
/// # Units and range
/// Dimensions, in `[0, 1]`.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
///
/// # References
/// Scherlis et al. (2022), "Polysemanticity and Capacity in Neural Networks".
pub fn capacity(w: &ArrayRef2<f64>) -> Result<Array1<f64>, SuperpositionError> {
    require_finite("w", w.iter())?;
    let (norms, gram) = (feature_norms(w), cosines(w));
    Ok((0..w.ncols())
        .map(|i| {
            if norms[i] == 0.0 {
                return 0.0;
            }
            // (W_i · W_j) / (W_i · W_i). Orthogonal columns have no share, whatever the ratio of their lengths.
            let share =
                |j: usize| if gram[[i, j]] == 0.0 { 0.0 } else { gram[[i, j]] * (norms[j] / norms[i]) };
            1.0 / (0..w.ncols()).map(|j| share(j).powi(2)).sum::<f64>()
        })
        .collect())
}

/// Computes the leverage of each feature: how well the best linear readout separates it from the others.
///
/// ```text
/// leverage_i = (W⁺ W)_ii
/// ```
///
/// # Shapes
/// `w`: `[m, n]`; result: `[n]`.
///
/// # Units and range
/// In `[0, 1]`; the sum is the rank. The leverage is never below [`feature_dimensionality`] (claim
/// `superposition/dimensionality-below-leverage`).
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
///
/// # Examples
/// ```
/// use collimate_superposition::leverage_scores;
/// use ndarray::array;
/// let l = leverage_scores(&array![[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])?;
/// assert!((l[0] - 0.5).abs() < 1e-14 && (l[2] - 1.0).abs() < 1e-14);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn leverage_scores(w: &ArrayRef2<f64>) -> Result<Array1<f64>, SuperpositionError> {
    require_finite("w", w.iter())?;
    let spectrum = Spectrum::of(&w.t());
    let rank = spectrum.rank(RANK_TOLERANCE);
    Ok(spectrum.left.axis_iter(Axis(0)).map(|row| row.iter().take(rank).map(|x| x * x).sum()).collect())
}

/// Computes how strongly each feature is disturbed if all other features are active.
///
/// ```text
/// interference_i = Σ_{j≠i} (Ŵ_i · W_j)²      0 where W_i = 0
/// ```
///
/// # Shapes
/// `w`: `[m, n]`; result: `[n]`.
///
/// # Units and range
/// The unit is the squared length of `W`; at least 0.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
pub fn interference(w: &ArrayRef2<f64>) -> Result<Array1<f64>, SuperpositionError> {
    require_finite("w", w.iter())?;
    let norms = feature_norms(w);
    Ok((0..w.ncols())
        .map(|i| {
            if norms[i] == 0.0 {
                return 0.0;
            }
            let others = projections(w, i, norms[i]).into_iter().enumerate().filter(|&(j, _)| j != i);
            others.map(|(_, p)| p.powi(2)).sum()
        })
        .collect())
}

/// Returns the number of hidden dimensions for each represented feature.
///
/// ```text
/// D* = m / ‖W‖_F²
/// ```
///
/// # Units and range
/// Dimensions per feature; infinite for `W = 0`.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
///
/// # References
/// Elhage et al. (2022), section "The Geometry of Superposition".
pub fn dimensions_per_feature(w: &ArrayRef2<f64>) -> Result<f64, SuperpositionError> {
    require_finite("w", w.iter())?;
    let scale = scale_for(largest(w));
    Ok(w.nrows() as f64 / w.iter().map(|x| (x * scale) * (x * scale)).sum::<f64>() * scale * scale)
}

/// Computes the cosines between all pairs of columns. A zero column has cosine 0 with every column, itself included.
///
/// # Shapes
/// `w`: `[m, n]`; result: `[n, n]`.
pub fn cosines(w: &ArrayRef2<f64>) -> Array2<f64> {
    let unit = normalised(w);
    unit.t().dot(&unit)
}

/// Scales the columns to unit length; a zero column stays zero.
fn normalised(w: &ArrayRef2<f64>) -> Array2<f64> {
    let norms = feature_norms(w);
    let mut unit = w.to_owned();
    for (i, mut column) in unit.axis_iter_mut(Axis(1)).enumerate() {
        if norms[i] > 0.0 {
            column.mapv_inplace(|x| x / norms[i]);
        }
    }
    unit
}

/// Computes the frame potential of the normalised columns.
///
/// ```text
/// FP = Σ_{i,j} cos²(W_i, W_j)  ≥  n² / d      equality exactly for a unit-norm tight frame of n vectors in d dimensions
/// ```
///
/// # Units and range
/// Without unit, between `n²/d` and `n²` when no column is zero.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
///
/// # References
/// J. J. Benedetto and M. Fickus (2003), "Finite normalized tight frames".
pub fn frame_potential(w: &ArrayRef2<f64>) -> Result<f64, SuperpositionError> {
    require_finite("w", w.iter())?;
    Ok(cosines(w).iter().map(|c| c * c).sum())
}

/// Returns the largest absolute cosine between two different columns; 0 for fewer than two columns.
///
/// # Units and range
/// In `[0, 1]`, at least [`welch_bound`] (claim `superposition/welch-bound`).
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
pub fn coherence(w: &ArrayRef2<f64>) -> Result<f64, SuperpositionError> {
    require_finite("w", w.iter())?;
    let cosines = cosines(w);
    Ok(cosines.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, c)| c.abs()).fold(0.0, f64::max))
}

/// Computes how well learned directions match true directions on average (mean max cosine similarity, MMCS).
///
/// ```text
/// mean over learned columns l of  max over true columns t of  cos(l, t)
/// ```
///
/// The mean runs over the *learned* directions, so a true direction without a match does not lower it. The value for
/// random directions is far from 0 (claim `superposition/random-matches-look-good`).
///
/// # Shapes
/// `learned`: `[m, k]`; `truth`: `[m, n]`.
///
/// # Units and range
/// In `[−1, 1]`; a zero column has cosine 0 with every column.
///
/// # Errors
/// [`SuperpositionError::Shape`] if the dimensions differ or a matrix is empty, [`SuperpositionError::NotFinite`] for
/// NaN or infinite entries.
///
/// # Examples
/// ```
/// use collimate_superposition::mean_max_cosine;
/// use ndarray::array;
/// let (learned, truth) = (array![[2.0, 0.0], [0.0, 1.0]], array![[1.0], [0.0]]);
/// assert_eq!(mean_max_cosine(&learned, &truth)?, 0.5);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn mean_max_cosine(learned: &ArrayRef2<f64>, truth: &ArrayRef2<f64>) -> Result<f64, SuperpositionError> {
    require_shape("truth", &[learned.nrows(), truth.ncols().max(1)], truth.shape())?;
    require_shape("learned", &[learned.nrows(), learned.ncols().max(1)], learned.shape())?;
    require_finite("learned", learned.iter())?;
    require_finite("truth", truth.iter())?;
    let products = normalised(learned).t().dot(&normalised(truth));
    let best = products.rows().into_iter().map(|row| row.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    Ok(best.sum::<f64>() / learned.ncols() as f64)
}

/// Returns the smallest coherence that `n` directions in `d` dimensions can have, by Welch's inequality.
///
/// ```text
/// √((n − d) / (d (n − 1)))      0 for n ≤ d
/// ```
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for `d = 0`.
///
/// # Examples
/// ```
/// use collimate_superposition::{coherence, simplex, welch_bound};
/// // A simplex attains the bound.
/// assert!((coherence(&simplex(3)?)? - welch_bound(4, 3)?).abs() < 1e-14);
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// L. R. Welch (1974), "Lower bounds on the maximum cross correlation of signals".
pub fn welch_bound(n: usize, d: usize) -> Result<f64, SuperpositionError> {
    ensure(d > 0, "d", "at least 1", d as f64)?;
    if n <= d {
        return Ok(0.0);
    }
    let (n, d) = (n as f64, d as f64);
    Ok(((n - d) / (d * (n - 1.0))).sqrt())
}

/// Returns the rank of `W`: the number of singular values above [`RANK_TOLERANCE`] times the largest.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
pub fn rank(w: &ArrayRef2<f64>) -> Result<usize, SuperpositionError> {
    require_finite("w", w.iter())?;
    Ok(Spectrum::of(&w.t()).rank(RANK_TOLERANCE))
}
