use super::Factored;
use crate::AttentionError;
use collimate_measure::{Measurement, Quantity, Unit};

const COPYING: Quantity = Quantity {
    name: "eigenvalue copying score",
    definition: "Σ Re λ / Σ |λ| over the eigenvalues λ of a circuit of the vocabulary or of the residual",
    unit: Unit::One,
};

/// Measures whether a circuit tends to map inputs to themselves: the sum of its eigenvalues over the sum of their absolute values.
///
/// ```text
/// Σ Re λ_i / Σ |λ_i|,   λ the eigenvalues of W_E W_V W_O W_U, computed from the narrow product right · left
/// ```
/// The value 1 means that every eigenvector is scaled by a positive number, −1 by a negative number. It is weak evidence: a map
/// can have positive eigenvalues and still map most tokens to other tokens.
///
/// # Errors
/// [`AttentionError::Shape`] when the circuit is not square; [`AttentionError::Undefined`] when it has no eigenvalue other
/// than zero.
///
/// # Determinism
/// The eigenvalues are computed on one thread.
///
/// # Examples
/// ```
/// use collimate_attention::circuits::{Factored, eigenvalue_copying};
/// use ndarray::{Array2, array};
/// let copies = Factored::new(&Array2::<f64>::eye(2), &Array2::eye(2))?;
/// assert!((eigenvalue_copying(&copies)?.value - 1.0).abs() < 1e-12);
/// let turns = Factored::new(&Array2::<f64>::eye(2), &array![[0.0, -1.0], [1.0, 0.0]])?; // eigenvalues ±i
/// assert!(eigenvalue_copying(&turns)?.value.abs() < 1e-12);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Elhage et al. (2021), "A Mathematical Framework for Transformer Circuits", detecting copying heads.
pub fn eigenvalue_copying(circuit: &Factored) -> Result<Measurement, AttentionError> {
    let core = circuit.core()?;
    let undefined = |reason| AttentionError::Undefined { quantity: COPYING.name, reason };
    if core.is_empty() {
        return Err(undefined("the circuit has rank zero"));
    }
    let matrix = faer::Mat::<f64>::from_fn(core.nrows(), core.ncols(), |i, j| core[[i, j]]);
    let eigenvalues = matrix.eigenvalues().map_err(|_| undefined("the eigenvalues were not found"))?;
    let size: f64 = eigenvalues.iter().map(|z| z.re.hypot(z.im)).sum();
    // A nilpotent circuit has only rounding for eigenvalues.
    let rounding = 1e-12 * core.iter().map(|x| x * x).sum::<f64>().sqrt();
    if size <= rounding {
        return Err(undefined("all eigenvalues are zero"));
    }
    let value = eigenvalues.iter().map(|z| z.re).sum::<f64>() / size;
    Ok(Measurement {
        n: eigenvalues.len() as u64,
        ..Measurement::exact(&COPYING, value, circuit.fingerprint())
    })
}
