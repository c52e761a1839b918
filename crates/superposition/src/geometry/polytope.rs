//! Ideal arrangements of directions. Each is a matrix `[m, n]` of unit columns.

use crate::error::SuperpositionError;
use collimate_measure::ensure;
use ndarray::{Array2, ArrayRef2, s};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// Returns the corners of a regular polygon with `k ≥ 3` corners, in the plane.
///
/// # Shapes
/// Result: `[2, k]`.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for `k < 3`.
pub fn regular_polygon(k: usize) -> Result<Array2<f64>, SuperpositionError> {
    ensure(k >= 3, "k", "at least 3", k as f64)?;
    Ok(Array2::from_shape_fn((2, k), |(row, i)| {
        let angle = 2.0 * PI * i as f64 / k as f64;
        if row == 0 { angle.cos() } else { angle.sin() }
    }))
}

/// Returns the corners of the regular simplex in `d ≥ 1` dimensions, centred at the origin: a digon, a triangle, a tetrahedron …
///
/// # Shapes
/// Result: `[d, d + 1]`.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for `d = 0`.
pub fn simplex(d: usize) -> Result<Array2<f64>, SuperpositionError> {
    ensure(d > 0, "d", "at least 1", d as f64)?;
    // Each new axis lifts one corner and shrinks the earlier ones so that all pairs keep cosine −1/d.
    let mut corners = Array2::zeros((d, d + 1));
    for axis in 0..d {
        let below: f64 = (0..axis).map(|a| corners[[a, axis]] * corners[[a, axis]]).sum();
        corners[[axis, axis]] = (1.0_f64 - below).sqrt();
        for later in axis + 1..=d {
            let shared: f64 = (0..axis).map(|a| corners[[a, axis]] * corners[[a, later]]).sum();
            corners[[axis, later]] = (-1.0 / d as f64 - shared) / corners[[axis, axis]];
        }
    }
    Ok(corners)
}

/// Returns the corners of the cross-polytope in `d ≥ 1` dimensions: `d` antipodal pairs, pairwise orthogonal.
///
/// # Shapes
/// Result: `[d, 2d]`.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] for `d = 0`.
pub fn orthoplex(d: usize) -> Result<Array2<f64>, SuperpositionError> {
    ensure(d > 0, "d", "at least 1", d as f64)?;
    Ok(Array2::from_shape_fn((d, 2 * d), |(row, i)| match (i / 2 == row, i % 2) {
        (true, 0) => 1.0,
        (true, _) => -1.0,
        _ => 0.0,
    }))
}

/// Returns the corners of the cube.
///
/// # Shapes
/// Result: `[3, 8]`.
pub fn cube() -> Array2<f64> {
    let side = 1.0 / 3.0_f64.sqrt();
    Array2::from_shape_fn((3, 8), |(row, i)| if i >> row & 1 == 0 { side } else { -side })
}

/// Returns the corners of a square antiprism: two squares, one turned by 45°, at heights `±half_height` relative to
/// the radius of the squares. All corners are scaled to unit length.
///
/// # Shapes
/// Result: `[3, 8]`.
///
/// # Errors
/// [`SuperpositionError::OutOfRange`] when `half_height` is negative or not finite.
pub fn square_antiprism(half_height: f64) -> Result<Array2<f64>, SuperpositionError> {
    ensure(
        half_height.is_finite() && half_height >= 0.0,
        "half_height",
        "finite and at least 0",
        half_height,
    )?;
    let scale = 1.0 / (1.0 + half_height * half_height).sqrt();
    Ok(Array2::from_shape_fn((3, 8), |(row, i)| {
        let (top, corner) = (i < 4, (i % 4) as f64);
        let angle = PI / 2.0 * corner + if top { 0.0 } else { PI / 4.0 };
        scale
            * match row {
                0 => angle.cos(),
                1 => angle.sin(),
                _ if top => half_height,
                _ => -half_height,
            }
    }))
}

/// Returns the half-height at which all 16 edges of the square antiprism are equally long: `2^(1/4) / 2`.
pub fn equal_edge_half_height() -> f64 {
    2.0_f64.powf(0.25) / 2.0
}

/// Returns the half-height at which the square antiprism is a tight frame: `1/√2`.
pub fn tight_half_height() -> f64 {
    FRAC_1_SQRT_2
}

/// Places two arrangements in orthogonal subspaces (their tegum product). Features of different arrangements are orthogonal.
///
/// # Shapes
/// `a`: `[m₁, n₁]`; `b`: `[m₂, n₂]`; result: `[m₁ + m₂, n₁ + n₂]`.
///
/// # Examples
/// ```
/// use collimate_superposition::{orthogonal_sum, simplex};
/// let two_digons = orthogonal_sum(&simplex(1)?, &simplex(1)?);
/// assert_eq!(two_digons.dim(), (2, 4));
/// # Ok::<(), collimate_superposition::SuperpositionError>(())
/// ```
pub fn orthogonal_sum(a: &ArrayRef2<f64>, b: &ArrayRef2<f64>) -> Array2<f64> {
    let mut sum = Array2::zeros((a.nrows() + b.nrows(), a.ncols() + b.ncols()));
    sum.slice_mut(s![..a.nrows(), ..a.ncols()]).assign(a);
    sum.slice_mut(s![a.nrows().., a.ncols()..]).assign(b);
    sum
}
