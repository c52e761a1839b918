//! Cross-entropy of logits against class indices: the mean over rows, in nats.

use super::{check2, softmax};
use crate::error::GradError;
use collimate_tensor::{Scalar, log_softmax_in_place};
use ndarray::{Array2, ArrayRef2};

/// Computes `L = (1/b) Σ_b (log Σ_k e^{x_bk} − x_{b, t_b})`.
///
/// The largest logit of a row is subtracted from the others first, so a large common part of a row costs no digits. A row of only
/// `−∞` gives infinity, and a row with NaN or `+∞` gives NaN.
///
/// # Shapes
/// `logits [b, c]`, `targets [b]` with values below `c`.
///
/// # Units
/// Nats per row.
///
/// # Errors
/// [`GradError::Length`] if the number of targets is not the number of rows, or 0; [`GradError::Index`] for a target outside
/// the classes.
///
/// # Examples
/// ```
/// use collimate_grad::primitive::cross_entropy;
/// let loss: f64 = cross_entropy::forward(&ndarray::array![[0.0, 0.0, 0.0, 0.0]], &[2])?;
/// assert!((loss - 4f64.ln()).abs() < 1e-15);
/// # Ok::<(), collimate_grad::GradError>(())
/// ```
pub fn forward<F: Scalar>(logits: &ArrayRef2<F>, targets: &[usize]) -> Result<F, GradError> {
    check_targets(logits, targets)?;
    let total: f64 = logits
        .rows()
        .into_iter()
        .zip(targets)
        .map(|(row, &target)| {
            let mut log_p = row.to_vec();
            log_softmax_in_place(&mut log_p);
            0.0 - log_p[target].to_f64()
        })
        .sum();
    Ok(F::from_f64(total / targets.len() as f64))
}

/// Computes `x̄ = L̄ (softmax(x) − onehot(t)) / b`.
///
/// # Errors
/// Those of [`forward`].
pub fn vjp<F: Scalar>(logits: &ArrayRef2<F>, targets: &[usize], d_loss: F) -> Result<Array2<F>, GradError> {
    check_targets(logits, targets)?;
    let mut out = softmax::forward(logits);
    let scale = d_loss / F::from_f64(targets.len() as f64);
    for (mut row, &target) in out.rows_mut().into_iter().zip(targets) {
        row[target] -= F::one();
        row.mapv_inplace(|x| x * scale);
    }
    Ok(out)
}

/// Computes `L̇ = ⟨(softmax(x) − onehot(t)) / b, ẋ⟩`.
///
/// # Errors
/// Those of [`forward`], and [`GradError::Shape`] if the shapes differ.
pub fn jvp<F: Scalar>(
    logits: &ArrayRef2<F>,
    targets: &[usize],
    logits_dot: &ArrayRef2<F>,
) -> Result<F, GradError> {
    check2("logits_dot", logits.dim(), logits_dot)?;
    let gradient = vjp(logits, targets, F::one())?;
    Ok(gradient.iter().zip(logits_dot.iter()).map(|(&g, &d)| g * d).sum())
}

fn check_targets<F: Scalar>(logits: &ArrayRef2<F>, targets: &[usize]) -> Result<(), GradError> {
    collimate_measure::same_length("targets", logits.nrows().max(1), targets.len())?;
    let len = logits.ncols();
    match targets.iter().position(|&t| t >= len) {
        Some(position) => {
            Err(GradError::Index { argument: "targets", position, index: targets[position], len })
        }
        None => Ok(()),
    }
}
