use super::{Channels, after, before, steps};
use crate::AttentionError;
use crate::error::check_shape;
use collimate_tensor::Scalar;
use collimate_tensor::{matmul, softmax_rows};
use ndarray::{Array1, Array2, ArrayRef2, Axis};

/// The scores as the text publishes them.
///
/// ```text
/// per dimension   P_t = q_t ⊙ Δk_t + Δq_t ⊙ k_{t+1} = q_{t+1} ⊙ k_{t+1} − q_t ⊙ k_t       weights softmax_d(P) V
/// summed          Σ_d P_td = ⟨q_{t+1}, k_{t+1}⟩ − ⟨q_t, k_t⟩                              weights softmax(Σ P) V
/// ```
/// The softmax of the summed form runs over the axis that the sum has reduced to length 1, so every weight is 1 for all q and k.
/// The shapes of the product with V fit only if V has one row for each dimension (per dimension) or one row (summed). For other
/// shapes [`Published::attend`] returns an error, like the published code.
///
/// # Examples
/// ```
/// use collimate_attention::product_rule::{Channels, Published};
/// use ndarray::array;
/// let (q, k) = (array![[1.0, 2.0], [3.0, 5.0]], array![[2.0, 1.0], [4.0, 0.0]]);
/// let published = Published::new(&q, &k)?;
/// assert_eq!(published.per_dimension, array![[10.0, -2.0]]); // 3·4 − 1·2 and 5·0 − 2·1
/// assert_eq!(published.summed(), array![8.0]);
/// assert_eq!(published.weights(Channels::Summed), array![[1.0]]);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Lemariey and Campergue (2024), `differential_attention` of the published code.
#[derive(Clone, Debug, PartialEq)]
pub struct Published<F> {
    /// The scores P `[t − 1, d]`.
    pub per_dimension: Array2<F>,
}

impl<F: Scalar> Published<F> {
    /// Computes the scores of the queries and keys of one head, `[t, d]` each.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if the shapes differ.
    pub fn new(q: &ArrayRef2<F>, k: &ArrayRef2<F>) -> Result<Self, AttentionError> {
        check_shape("k", "[t, d]", q.shape(), k.shape())?;
        Ok(Self { per_dimension: before(q) * steps(k) + steps(q) * after(k) })
    }

    /// Computes the sum over the dimensions `[t − 1]`.
    pub fn summed(&self) -> Array1<F> {
        self.per_dimension.sum_axis(Axis(1))
    }

    /// Computes the published softmax: over the dimensions of a step `[t − 1, d]`, or over the one sum of a step `[t − 1, 1]`.
    pub fn weights(&self, channels: Channels) -> Array2<F> {
        let mut weights = match channels {
            Channels::PerDimension => self.per_dimension.clone(),
            Channels::Summed => self.summed().insert_axis(Axis(1)),
        };
        softmax_rows(&mut weights);
        weights
    }

    /// Computes the published product of weights and values, if the shapes fit.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if `v` does not have one row for each weight of a step.
    pub fn attend(&self, channels: Channels, v: &ArrayRef2<F>) -> Result<Array2<F>, AttentionError> {
        let weights = self.weights(channels);
        let axes = "[weights of a step, e] for the published product";
        check_shape("v", axes, &[weights.ncols(), v.ncols()], v.shape())?;
        Ok(matmul(&weights, v)?)
    }
}
