use crate::error::check_shape;
use crate::{AttentionError, Precision, Saved};
use ndarray::{Array2, Array3, Zip};

/// Attention over a part of the keys: the output for that part and its log-sum-exp.
///
/// ```text
/// (O₁, L₁) ∘ (O₂, L₂) = (e^{L₁−L} O₁ + e^{L₂−L} O₂, L),   L = log(e^{L₁} + e^{L₂})
/// ```
///
/// These pairs are a commutative monoid. ∘ is associative and commutative (up to rounding). Its identity (to the bit) is
/// [`Partial::empty`], the part without any key. The part of the union of two disjoint sets of keys is the product of their parts.
/// So the keys may be cut at any place, across caches or threads, and joined in any order.
///
/// # Shapes
/// Output `[h, t, e]`, log-sum-exp `[h, t]`.
///
/// # Examples
/// ```
/// use collimate_attention::{Attention, Partial};
/// use ndarray::{Array3, s};
/// let attention = Attention::scaled_dot_product();
/// let q = Array3::<f64>::ones((1, 1, 2));
/// let k = Array3::from_shape_fn((1, 4, 2), |(_, j, _)| j as f64);
/// let part = |keys: std::ops::Range<usize>| {
///     let rows = k.slice(s![.., keys, ..]);
///     attention.forward(&q, &rows, &rows).map(|(out, saved)| Partial::new(out, &saved))
/// };
/// let joined = part(0..1)?.merge(&part(1..4)?)?;
/// assert!((joined.out()[[0, 0, 0]] - part(0..4)?.out()[[0, 0, 0]]).abs() < 1e-15);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Milakov and Gimelshein (2018), "Online normalizer calculation for softmax", section 3.1; Dao et al. (2023), "Flash-Decoding".
#[derive(Clone, Debug, PartialEq)]
pub struct Partial<F> {
    out: Array3<F>,
    log_sum_exp: Array2<F>,
}

impl<F: Precision> Partial<F> {
    /// Takes the result of a forward pass over a part of the keys.
    pub fn new(out: Array3<F>, saved: &Saved<F>) -> Self {
        Self { out, log_sum_exp: saved.log_sum_exp().to_owned() }
    }

    /// Takes an output `[h, t, e]` and its log-sum-exp `[h, t]`.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if the two do not fit.
    pub fn from_parts(out: Array3<F>, log_sum_exp: Array2<F>) -> Result<Self, AttentionError> {
        let (h, t, _) = out.dim();
        check_shape("log_sum_exp", "[h, t]", &[h, t], log_sum_exp.shape())?;
        Ok(Self { out, log_sum_exp })
    }

    /// Returns the part without any key: zeros, with the log-sum-exp −∞.
    pub fn empty(heads: usize, queries: usize, value_width: usize) -> Self {
        Self {
            out: Array3::zeros((heads, queries, value_width)),
            log_sum_exp: Array2::from_elem((heads, queries), F::neg_infinity()),
        }
    }

    /// Returns the output `[h, t, e]`.
    pub fn out(&self) -> &Array3<F> {
        &self.out
    }

    /// Returns the log-sum-exp `[h, t]`.
    pub fn log_sum_exp(&self) -> &Array2<F> {
        &self.log_sum_exp
    }

    /// Joins two parts.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if the other part has another shape.
    pub fn merge(mut self, other: &Self) -> Result<Self, AttentionError> {
        check_shape("the other part", "[h, t, e]", self.out.shape(), other.out.shape())?;
        Zip::from(self.out.rows_mut())
            .and(&mut self.log_sum_exp)
            .and(other.out.rows())
            .and(&other.log_sum_exp)
            .for_each(|mut out, sum, theirs, &their_sum| {
                let top = if their_sum > *sum { their_sum } else { *sum };
                if top == F::neg_infinity() && !their_sum.is_nan() {
                    return;
                }
                let (ours, other) = ((*sum - top).exp(), (their_sum - top).exp());
                let total = ours + other;
                let (ours, other) = (ours / total, other / total);
                out.zip_mut_with(&theirs, |x, &y| {
                    // A part without weight has no influence, even if it holds NaN.
                    let kept = if ours == F::zero() { F::zero() } else { ours * *x };
                    *x = if other == F::zero() { kept } else { kept + other * y };
                });
                *sum = top + total.ln();
            });
        Ok(self)
    }
}
