use super::Factored;
use crate::error::check_shape;
use crate::{AttentionError, Precision, RotaryTable};
use ndarray::{ArrayRef2, Axis};

/// Computes the QK circuit W_QK = W_Q W_Kᵀ: the score of residual rows x and y is x W_QK yᵀ before its scale.
///
/// Under grouped heads, pass the key weights of the key head that the query head reads.
///
/// # Shapes
/// `w_q [m, d]`, `w_k [m, d]` for a residual of width m give `[m, m]` of rank at most d.
///
/// # Errors
/// Like [`Factored::new`].
///
/// # Examples
/// ```
/// use collimate_attention::circuits::qk_circuit;
/// use ndarray::array;
/// let (w_q, w_k) = (array![[1.0], [0.0]], array![[0.0], [2.0]]);
/// assert_eq!(qk_circuit(&w_q, &w_k)?.dense()?, array![[0.0, 2.0], [0.0, 0.0]]); // feature 0 looks for feature 1
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Elhage et al. (2021), "A Mathematical Framework for Transformer Circuits".
pub fn qk_circuit<F: Precision>(w_q: &ArrayRef2<F>, w_k: &ArrayRef2<F>) -> Result<Factored, AttentionError> {
    check_shape("w_k", "[m, d]", w_q.shape(), w_k.shape())?;
    Factored::new(w_q, &w_k.t())
}

/// Computes the QK circuit under rotary positions: W_Q R W_Kᵀ for one distance. The score depends on the distance alone.
///
/// `turn` is the table (`Rotary::table`) of one position: the query position minus the key position. It rotates the query, as
/// in R_i q · R_j k = R_{i−j} q · k.
///
/// # Errors
/// Like [`qk_circuit`]; [`AttentionError::Shape`] unless the table has exactly one position.
///
/// # Examples
/// ```
/// use collimate_attention::Rotary;
/// use collimate_attention::circuits::qk_circuit_at;
/// use ndarray::Array2;
/// let w = Array2::<f64>::eye(2);
/// let one_behind = Rotary::interleaved(2, 10_000.0).table([1])?; // the first pair turns by 1 a position
/// let circuit = qk_circuit_at(&w, &w, &one_behind)?.dense()?;
/// assert!((circuit[[0, 0]] - 1.0_f64.cos()).abs() < 1e-15);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
pub fn qk_circuit_at<F: Precision>(
    w_q: &ArrayRef2<F>,
    w_k: &ArrayRef2<F>,
    turn: &RotaryTable<F>,
) -> Result<Factored, AttentionError> {
    check_shape("turn", "[positions]", &[1], &[turn.len()])?;
    // Each row of W_Q is a query of its own, at the one position.
    let mut w_q = w_q.to_owned().insert_axis(Axis(1));
    turn.apply(&mut w_q)?;
    qk_circuit(&w_q.index_axis_move(Axis(1), 0), w_k)
}

/// Computes the OV circuit W_OV = W_V W_O: attending to a residual row x writes x W_OV.
///
/// # Shapes
/// `w_v [m, d]`, `w_o [d, m]` give `[m, m]` of rank at most d.
///
/// # Errors
/// Like [`Factored::new`].
///
/// # Examples
/// ```
/// use collimate_attention::circuits::ov_circuit;
/// use ndarray::array;
/// let circuit = ov_circuit(&array![[1.0], [0.0]], &array![[0.0, 3.0]])?;
/// assert_eq!(circuit.dense()?, array![[0.0, 3.0], [0.0, 0.0]]); // feature 0 there becomes 3 of feature 1 here
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Elhage et al. (2021), "A Mathematical Framework for Transformer Circuits".
pub fn ov_circuit<F: Precision>(w_v: &ArrayRef2<F>, w_o: &ArrayRef2<F>) -> Result<Factored, AttentionError> {
    Factored::new(w_v, w_o)
}
