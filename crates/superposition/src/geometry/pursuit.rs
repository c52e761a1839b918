//! Orthogonal matching pursuit: a non-linear readout of sparse codes.

use super::directions::coherence;
use super::scale::{largest, scale_for};
use crate::error::{SuperpositionError, require_finite, require_shape};
use ndarray::{Array1, ArrayRef1, ArrayRef2};

/// Decodes `h = W x` for a sparse `x` and picks one feature at a time.
///
/// Each step picks the column with the largest inner product with the residual and fits all picked columns again by
/// least squares. The search stops after `k` features or when the residual is zero.
///
/// # Shapes
/// `w`: `[m, n]` with unit columns; `h`: `[m]`; result: `[n]`.
///
/// # Errors
/// [`SuperpositionError::Shape`] if `h` has another length, [`SuperpositionError::NotFinite`] for NaN or infinities.
///
/// # Examples
/// ```
/// use collimate_superposition::{matching_pursuit, simplex};
/// use ndarray::array;
/// let simplex = simplex(5)?;
/// let x = array![0.0, 0.0, 1.5, 0.0, -0.5, 0.0];
/// let found = matching_pursuit(&simplex, &simplex.dot(&x), 2)?;
/// assert!((found - x).iter().all(|e| e.abs() < 1e-12));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
///
/// # References
/// J. A. Tropp (2004), "Greed is Good".
pub fn matching_pursuit(
    w: &ArrayRef2<f64>,
    h: &ArrayRef1<f64>,
    k: usize,
) -> Result<Array1<f64>, SuperpositionError> {
    require_shape("h", &[w.nrows()], h.shape())?;
    require_finite("w", w.iter())?;
    require_finite("h", h.iter())?;
    let (scale, k) = (scale_for(largest(h)), k.min(w.ncols()));
    let h = h.mapv(|x| x * scale);
    let mut left = h.clone();
    let small = 1e-13 * h.dot(&h).sqrt();
    let mut picked: Vec<usize> = Vec::with_capacity(k);
    // An orthonormal basis of the picked columns, and the coefficients of each picked column in that basis.
    let mut basis: Vec<Array1<f64>> = Vec::with_capacity(k);
    let mut triangle: Vec<Vec<f64>> = Vec::with_capacity(k);
    while picked.len() < k && left.dot(&left).sqrt() > small {
        let seen = w.t().dot(&left);
        let free = (0..w.ncols()).filter(|i| !picked.contains(i));
        let Some(best) = free.reduce(|a, b| if seen[b].abs() > seen[a].abs() { b } else { a }) else { break };
        let mut direction = w.column(best).to_owned();
        let mut shares = Vec::with_capacity(basis.len() + 1);
        for q in &basis {
            let share = q.dot(&direction);
            direction.scaled_add(-share, q);
            shares.push(share);
        }
        let length = direction.dot(&direction).sqrt();
        if length < 1e-12 {
            break;
        }
        direction /= length;
        shares.push(length);
        let seen = direction.dot(&left);
        left.scaled_add(-seen, &direction);
        picked.push(best);
        basis.push(direction);
        triangle.push(shares);
    }
    // Back substitution: column k of the triangle holds the coefficients of the k-th picked column.
    let mut code = Array1::zeros(w.ncols());
    let mut wanted: Vec<f64> = basis.iter().map(|q| q.dot(&h)).collect();
    for (k, &feature) in picked.iter().enumerate().rev() {
        let value = wanted[k] / triangle[k][k];
        code[feature] = value;
        for (wanted, share) in wanted.iter_mut().zip(&triangle[k][..k]) {
            *wanted -= value * share;
        }
    }
    code /= scale;
    Ok(code)
}

/// Returns the largest number of active features that [`matching_pursuit`] certainly recovers: the largest integer below
/// `(1 + 1/μ)/2`.
///
/// # Errors
/// [`SuperpositionError::NotFinite`] when an entry is NaN or infinite.
///
/// # References
/// J. A. Tropp (2004), theorem 3.5 with the coherence μ.
pub fn guaranteed_sparsity(w: &ArrayRef2<f64>) -> Result<usize, SuperpositionError> {
    let mu = coherence(w)?;
    if mu <= 0.0 {
        return Ok(w.ncols());
    }
    // Strictly below the bound. Simplices attain it exactly, and rounding must not go beyond it.
    Ok((((1.0 + 1.0 / mu) / 2.0 - 1e-9).ceil() as usize - 1).min(w.ncols()))
}
