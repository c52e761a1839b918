use crate::AttentionError;
use crate::error::check_shape;
use collimate_tensor::Scalar;
use ndarray::{Array2, ArrayRef2};

/// The scores with which the text compares its own scores.
///
/// ```text
/// cosine ⟨q, k⟩ / (|q| |k|),   −L1 −Σ |q − k|,   −L2 −√Σ (q − k)²,   scaled dot product ⟨q, k⟩ / √d
/// ```
/// The cosine with a row of zeros is 0. The distances do not change if queries and keys are shifted together, the cosine does not
/// change if a row is made longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Companion {
    /// The cosine of the angle.
    Cosine,
    /// The negative sum of absolute differences.
    NegativeL1,
    /// The negative distance.
    NegativeL2,
    /// The inner product over √d.
    ScaledDotProduct,
}

impl Companion {
    /// All companions.
    pub const ALL: [Self; 4] = [Self::Cosine, Self::NegativeL1, Self::NegativeL2, Self::ScaledDotProduct];

    /// Computes the scores of every query and every key of one head.
    ///
    /// # Shapes
    /// `q [t, d]` and `k [s, d]` give `[t, s]`.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if the widths differ.
    ///
    /// # Examples
    /// ```
    /// use collimate_attention::product_rule::Companion;
    /// use ndarray::array;
    /// let (q, k) = (array![[3.0, 0.0]], array![[0.0, 4.0]]);
    /// assert_eq!(Companion::NegativeL1.scores(&q, &k)?, array![[-7.0]]);
    /// assert_eq!(Companion::NegativeL2.scores(&q, &k)?, array![[-5.0]]);
    /// # Ok::<(), collimate_attention::AttentionError>(())
    /// ```
    pub fn scores<F: Scalar>(self, q: &ArrayRef2<F>, k: &ArrayRef2<F>) -> Result<Array2<F>, AttentionError> {
        let ((t, d), (s, _)) = (q.dim(), k.dim());
        check_shape("k", "[s, d]", &[s, d], k.shape())?;
        let score = |i: usize, j: usize| {
            let (q, k) = (q.row(i), k.row(j));
            let differences = || q.iter().zip(&k).map(|(&q, &k)| q - k);
            match self {
                Self::NegativeL1 => -differences().map(|x| x.abs()).sum::<F>(),
                Self::NegativeL2 => -differences().map(|x| x * x).sum::<F>().sqrt(),
                Self::ScaledDotProduct => q.dot(&k) / F::from_f64((d as f64).sqrt()),
                Self::Cosine => {
                    let lengths = q.dot(&q).sqrt() * k.dot(&k).sqrt();
                    if lengths == F::zero() { F::zero() } else { q.dot(&k) / lengths }
                }
            }
        };
        Ok(Array2::from_shape_fn((t, s), |(i, j)| score(i, j)))
    }
}
