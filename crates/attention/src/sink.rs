//! Calls of the tiles that are more than softmax: a sink in the denominator, and pairs of heads.

use crate::algebra::{PairKeys, Pairing};
use crate::error::check_shape;
use crate::plan::Pairs;
use crate::{Attention, AttentionError, Element, HeadAxes, Saved};
use ndarray::{ArcArray, Ix3};

impl Attention {
    /// As [`Attention::forward_shared`] with a learned sink: a logit for each query head joins the denominator of its rows and is
    /// then dropped (gpt-oss). Logits of 0 are the softmax plus one.
    ///
    /// ```text
    /// Pᵢⱼ = e^{Zᵢⱼ} / (e^{s_h} + Σₘ e^{Zᵢₘ})
    /// ```
    ///
    /// # Errors
    /// As [`Attention::forward`], and [`AttentionError::Shape`] when `sink` is not one number a query head.
    ///
    /// # Examples
    /// ```
    /// use collimate_attention::Attention;
    /// use ndarray::Array3;
    /// let ones = Array3::<f64>::ones((1, 2, 4)).into_shared();
    /// // Two keys of score 2 and a sink of 2: a third of the weight is dropped.
    /// let plain = Attention::scaled_dot_product();
    /// let (out, saved) = plain.forward_with_sink(ones.clone(), ones.clone(), ones, &[2.0])?;
    /// assert!((out[[0, 1, 0]] - 2.0 / 3.0).abs() < 1e-14);
    /// assert!((saved.sink_gradient(&out)?.unwrap()[0] + 2.0 * 4.0 / 3.0 * 4.0 / 9.0).abs() < 1e-14);
    /// # Ok::<(), collimate_attention::AttentionError>(())
    /// ```
    pub fn forward_with_sink<F: Element, D: HeadAxes>(
        &self,
        q: ArcArray<F, D>,
        k: ArcArray<F, D>,
        v: ArcArray<F, D>,
        sink: &[F],
    ) -> Result<(ArcArray<F, D>, Saved<F, D>), AttentionError> {
        let plan = self.plan::<F, D>(&q.view(), &k.view(), &v.view(), None)?;
        check_shape("sink", "(h)", &[plan.heads], &[sink.len()])?;
        self.run(plan, q, k, v, Some(sink.to_vec()))
    }

    /// The heads of Differential V1: both of a pair read the value head of their pair.
    pub(crate) fn forward_pairs<F: Element>(
        &self,
        [q, k, v]: [ArcArray<F, Ix3>; 3],
        (pairing, keys): (Pairing, PairKeys),
        sink: Option<Vec<F>>,
    ) -> Result<(ArcArray<F, Ix3>, Saved<F>), AttentionError> {
        let pairs = Pairs { pairing, keys, key_heads: k.dim().0 };
        let plan = self.plan::<F, Ix3>(&q.view(), &k.view(), &v.view(), Some(pairs))?;
        self.run(plan, q, k, v, sink)
    }
}
