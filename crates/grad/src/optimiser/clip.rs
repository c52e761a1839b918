use super::step::BLOCK;
use crate::error::GradError;
use crate::kernels::{Precision, first_non_finite};
use collimate_measure::ensure;
use collimate_tensor::Scalar;
use rayon::prelude::*;

/// Returns the Euclidean norm of several slices as one vector.
///
/// ```text
/// ‖g‖ = √(Σ_k Σ_i g_{k,i}²)
/// ```
///
/// Squares that overflow or underflow are no obstacle: the largest number is factored out then. A NaN gives NaN.
///
/// # Determinism
/// Squares are summed in f64 over fixed blocks in fixed order.
///
/// # Examples
/// ```
/// assert_eq!(collimate_grad::global_norm::<f64>(&[&[3.0], &[4.0]]), 5.0);
/// ```
pub fn global_norm<F: Precision>(gradients: &[&[F]]) -> f64 {
    let total: f64 = gradients
        .iter()
        .map(|g| {
            if g.len() < 4 * BLOCK {
                return g.chunks(BLOCK).map(F::sum_of_squares).sum::<f64>();
            }
            g.par_chunks(BLOCK).map(F::sum_of_squares).collect::<Vec<f64>>().iter().sum()
        })
        .sum();
    if total > f64::MIN_POSITIVE / f64::EPSILON && total < f64::INFINITY {
        return total.sqrt();
    }
    let all = || gradients.iter().flat_map(|g| g.iter().map(|&x| Scalar::to_f64(x)));
    // A NaN, once reached, remains the largest.
    let top = all().fold(0.0, |top: f64, x| if x.abs() > top || x.is_nan() { x.abs() } else { top });
    if top > 0.0 && top < f64::INFINITY {
        top * all().map(|x| (x / top).powi(2)).sum::<f64>().sqrt()
    } else {
        top
    }
}

/// Scales several slices together so that their common norm is at most `max_norm`, and returns the norm before scaling.
///
/// If the norm is larger, each number is multiplied by `max_norm / norm`. (PyTorch divides by `norm + 1e-6`
/// and ends slightly below `max_norm`.)
///
/// # Errors
/// [`GradError::OutOfRange`] unless `max_norm` is positive and finite; [`GradError::NonFinite`] if a number is NaN or
/// infinite.
///
/// # Examples
/// ```
/// let (mut a, mut b) = ([3.0f64], [4.0f64]);
/// let norm = collimate_grad::clip_global_norm(&mut [&mut a, &mut b], 1.0)?;
/// assert_eq!(norm, 5.0);
/// assert!((a[0] - 0.6).abs() < 1e-15 && (b[0] - 0.8).abs() < 1e-15);
/// # Ok::<(), collimate_grad::GradError>(())
/// ```
pub fn clip_global_norm<F: Precision>(gradients: &mut [&mut [F]], max_norm: f64) -> Result<f64, GradError> {
    ensure(max_norm > 0.0 && max_norm.is_finite(), "max_norm", "positive and finite", max_norm)?;
    let norm = global_norm(&gradients.iter().map(|g| &**g).collect::<Vec<_>>());
    if !norm.is_finite() {
        for g in gradients.iter() {
            if let Some((index, value)) = first_non_finite(g) {
                return Err(GradError::NonFinite { argument: "gradients", index, value });
            }
        }
        return Err(GradError::NonFinite { argument: "the norm of the gradients", index: 0, value: norm });
    }
    if norm > max_norm {
        for g in gradients.iter_mut() {
            F::scale_by(max_norm / norm, g);
        }
    }
    Ok(norm)
}
