use crate::error::check_shape;
use crate::forward::{fill_masked, scores_into, softmax_with_log_sum_exp};
use crate::plan::Plan;
use crate::{AttentionError, Element, RotaryTable};
use ndarray::{Array1, Array2, Array3, ArrayRef2, ArrayRef3, s};
use std::ops::Range;

/// What a forward pass keeps: the (rotated) q and k, v, and the log-sum-exp of each row of scores.
///
/// The pattern is not among it: any row or head of it is computed on demand, so memory stays linear in the length.
#[derive(Clone, Debug)]
pub struct Saved<F> {
    pub(crate) plan: Plan,
    pub(crate) q: Array3<F>,
    pub(crate) k: Array3<F>,
    pub(crate) v: Array3<F>,
    pub(crate) log_sum_exp: Array2<F>,
    pub(crate) tables: Option<(RotaryTable<F>, RotaryTable<F>)>,
}

/// The gradients by q, k and v, in their shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients<F> {
    /// By q (h, t, d).
    pub q: Array3<F>,
    /// By k (g, s, d).
    pub k: Array3<F>,
    /// By v (g, s, e).
    pub v: Array3<F>,
}

impl<F: Element> Saved<F> {
    /// log Σⱼ exp Zᵢⱼ for each head and query (h, t); −∞ for a query without any key.
    pub fn log_sum_exp(&self) -> &ArrayRef2<F> {
        &self.log_sum_exp
    }

    /// The scores of one head before the softmax (t, s), −∞ at masked pairs.
    ///
    /// # Errors
    /// [`AttentionError::Index`] when there is no such head.
    pub fn scores(&self, head: usize) -> Result<Array2<F>, AttentionError> {
        self.scores_of(head, 0..self.plan.queries)
    }

    /// The pattern of one head (t, s): each row sums to 1, or is zero for a query without any key.
    ///
    /// # Errors
    /// [`AttentionError::Index`] when there is no such head.
    pub fn pattern(&self, head: usize) -> Result<Array2<F>, AttentionError> {
        let mut pattern = self.scores_of(head, 0..self.plan.queries)?;
        for (query, mut row) in pattern.rows_mut().into_iter().enumerate() {
            self.normalise(query, row.as_slice_mut().expect("a new matrix is contiguous"));
        }
        Ok(pattern)
    }

    /// One row of the pattern of one head (s).
    ///
    /// # Errors
    /// [`AttentionError::Index`] when there is no such head or query.
    pub fn pattern_row(&self, head: usize, query: usize) -> Result<Array1<F>, AttentionError> {
        if query >= self.plan.queries {
            return Err(AttentionError::Index { axis: "query", index: query, length: self.plan.queries });
        }
        let mut row = self.scores_of(head, query..query + 1)?.row(0).to_owned();
        self.normalise(query, row.as_slice_mut().expect("a new row is contiguous"));
        Ok(row)
    }

    fn normalise(&self, query: usize, row: &mut [F]) {
        softmax_with_log_sum_exp(row);
        // A NaN among the attended scores makes the row NaN; the masked keys of such a row stay 0.
        fill_masked(&self.plan, query, &(0..self.plan.keys), F::zero(), row);
    }

    fn scores_of(&self, head: usize, queries: Range<usize>) -> Result<Array2<F>, AttentionError> {
        if head >= self.plan.heads {
            return Err(AttentionError::Index { axis: "head", index: head, length: self.plan.heads });
        }
        let mut scores = Array2::zeros((queries.len(), self.plan.keys));
        let q = self.q.slice(s![head, queries.clone(), ..]);
        let k = self.k.slice(s![self.plan.map.key_head(head), .., ..]);
        scores_into(&self.plan, &q, &k, queries, 0..self.plan.keys, &mut scores);
        Ok(scores)
    }

    pub(crate) fn backward(&self, d_out: &ArrayRef3<F>) -> Result<Gradients<F>, AttentionError> {
        let Plan { heads, queries, value_width, .. } = self.plan;
        check_shape("d_out", "(h, t, e)", &[heads, queries, value_width], d_out.shape())?;
        let mut gradients = F::backward(self, d_out);
        if let Some((at_queries, at_keys)) = &self.tables {
            at_queries.apply_inverse(&mut gradients.q)?;
            at_keys.apply_inverse(&mut gradients.k)?;
        }
        Ok(gradients)
    }

    pub(crate) fn jvp(
        &self,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
    ) -> Result<Array3<F>, AttentionError> {
        check_shape("the direction of q", "(h, t, d)", self.q.shape(), q.shape())?;
        check_shape("the direction of k", "(g, s, d)", self.k.shape(), k.shape())?;
        check_shape("the direction of v", "(g, s, e)", self.v.shape(), v.shape())?;
        let Some((at_queries, at_keys)) = &self.tables else { return Ok(F::jvp(self, q, k, v)) };
        let (mut q, mut k) = (q.to_owned(), k.to_owned());
        at_queries.apply(&mut q)?;
        at_keys.apply(&mut k)?;
        Ok(F::jvp(self, &q, &k, v))
    }
}
