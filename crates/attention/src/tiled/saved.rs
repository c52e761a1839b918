use super::backward::{self, Gradients4, Pass};
use super::block::Kept;
use super::jvp;
use super::plan::Plan;
use super::scores::{fill_masked, scores_into, softmax_with_log_sum_exp};
use crate::AttentionError;
use crate::kernels::Loops;
use crate::parts::{HeadAxes, Pairing, RotaryTable};
use ndarray::{ArcArray, Array, Array1, Array2, Array4, ArrayRef, ArrayRef3, ArrayView4, Axis, Ix3, Ix4, s};
use std::f64::consts::LN_2;
use std::ops::Range;

/// The results that a forward pass keeps: the (rotated) q and k, v, the output, and the log-sum-exp of each row of scores.
///
/// The pattern is not kept: any row or head of it is computed on request, so memory stays linear in the length. With a batch
/// axis, heads are numbered `b·H + h`.
#[derive(Clone, Debug)]
pub struct Saved<F, D: HeadAxes = Ix3> {
    pub(crate) pass: SavedPass<F>,
    /// The log-sum-exp in natural units.
    log_sum_exp: Array<F, D::Smaller>,
}

/// The gradients by q, k and v, with the shapes of q, k and v.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients<F, D: HeadAxes = Ix3> {
    /// The gradient by q `[h, t, d]`.
    pub q: Array<F, D>,
    /// The gradient by k `[g, s, d]`.
    pub k: Array<F, D>,
    /// The gradient by v `[g, s, e]`.
    pub v: Array<F, D>,
}

impl<F, D: HeadAxes> Gradients<F, D> {
    /// Removes the batch axis that was added.
    pub(crate) fn lower(gradients: Gradients4<F>) -> Self {
        let Gradients4 { q, k, v } = gradients;
        Self { q: D::lower(q), k: D::lower(k), v: D::lower(v) }
    }
}

impl<F: Loops, D: HeadAxes> Saved<F, D> {
    pub(crate) fn new(pass: SavedPass<F>) -> Self {
        let log_sum_exp = D::lower_rows(pass.kept.log_sum_exp.mapv(|x| x * F::from_f64(LN_2)));
        Self { pass, log_sum_exp }
    }

    /// Returns log Σⱼ exp Zᵢⱼ for each head and query, `[h, t]` or `[b, h, t]`. A sink is one more j. Without any j it is −∞.
    pub fn log_sum_exp(&self) -> &ArrayRef<F, D::Smaller> {
        &self.log_sum_exp
    }

    /// Computes the scores of one head before the softmax, `[t, s]`, −∞ at masked pairs.
    ///
    /// # Errors
    /// [`AttentionError::Index`] if there is no such head.
    pub fn scores(&self, head: usize) -> Result<Array2<F>, AttentionError> {
        self.pass.scores(head, 0..self.pass.plan.queries)
    }

    /// Computes the pattern of one head `[t, s]`. Each row sums to 1 minus the share of a sink. It is zero for a query without any
    /// key.
    ///
    /// # Errors
    /// [`AttentionError::Index`] if there is no such head.
    pub fn pattern(&self, head: usize) -> Result<Array2<F>, AttentionError> {
        self.pass.pattern(head, 0..self.pass.plan.queries)
    }

    /// Computes one row of the pattern of one head `[s]`.
    ///
    /// # Errors
    /// [`AttentionError::Index`] if there is no such head or query.
    pub fn pattern_row(&self, head: usize, query: usize) -> Result<Array1<F>, AttentionError> {
        let length = self.pass.plan.queries;
        if query >= length {
            return Err(AttentionError::Index { axis: "query", index: query, length });
        }
        Ok(self.pass.pattern(head, query..query + 1)?.row(0).to_owned())
    }

    /// Computes a tile of the scores of one head `[queries, keys]`, −∞ at masked pairs, in O(tile) memory.
    ///
    /// # Errors
    /// [`AttentionError::Index`] if there is no such head, query or key.
    pub fn scores_tile(
        &self,
        head: usize,
        queries: Range<usize>,
        keys: Range<usize>,
    ) -> Result<Array2<F>, AttentionError> {
        self.pass.tile(&self.pass.plan, head, queries, keys)
    }

    /// Computes a tile of the pattern of one head `[queries, keys]` from the log-sum-exp, in O(tile) memory.
    ///
    /// # Errors
    /// Like [`Saved::scores_tile`].
    pub fn pattern_tile(
        &self,
        head: usize,
        queries: Range<usize>,
        keys: Range<usize>,
    ) -> Result<Array2<F>, AttentionError> {
        self.pass.pattern_tile(head, queries, keys)
    }
}

/// The results of a forward pass, with a batch axis.
#[derive(Clone, Debug)]
pub struct SavedPass<F> {
    pub(crate) plan: Plan,
    pub(crate) q: ArcArray<F, Ix4>,
    pub(crate) k: ArcArray<F, Ix4>,
    pub(crate) v: ArcArray<F, Ix4>,
    pub(crate) sink: Option<Vec<F>>,
    pub(crate) kept: Kept<F>,
    /// The rotations of queries and keys.
    pub(crate) tables: Option<(RotaryTable<F>, RotaryTable<F>)>,
}

impl<F: Loops> SavedPass<F> {
    fn scores(&self, head: usize, queries: Range<usize>) -> Result<Array2<F>, AttentionError> {
        self.tile(&self.plan, head, queries, 0..self.plan.keys)
    }

    /// Computes the scores of one head `[t, s]` before the softcap.
    pub(crate) fn scores_before_softcap(&self, head: usize) -> Result<Array2<F>, AttentionError> {
        let plan = Plan { softcap: None, ..self.plan };
        self.tile(&plan, head, 0..plan.queries, 0..plan.keys)
    }

    fn tile(
        &self,
        plan: &Plan,
        head: usize,
        queries: Range<usize>,
        keys: Range<usize>,
    ) -> Result<Array2<F>, AttentionError> {
        let length = self.plan.batch * self.plan.heads;
        if head >= length {
            return Err(AttentionError::Index { axis: "head", index: head, length });
        }
        for (axis, range, length) in [("query", &queries, self.plan.queries), ("key", &keys, self.plan.keys)]
        {
            if range.start > range.end || range.end > length {
                return Err(AttentionError::Index { axis, index: range.end.max(range.start), length });
            }
        }
        let (batch, head) = (head / self.plan.heads, head % self.plan.heads);
        let mut scores = Array2::zeros((queries.len(), keys.len()));
        let q = self.q.slice(s![batch, head, queries.clone(), ..]);
        let k = self.k.slice(s![batch, self.plan.key_head(head), keys.clone(), ..]);
        scores_into(plan, &q, &k, queries, keys, &mut scores);
        Ok(scores)
    }

    fn pattern(&self, head: usize, queries: Range<usize>) -> Result<Array2<F>, AttentionError> {
        let mut pattern = self.scores(head, queries.clone())?;
        for (query, mut row) in queries.zip(pattern.rows_mut()) {
            let row = row.as_slice_mut().expect("a new matrix is contiguous");
            if self.sink.is_some() {
                let sum = self.log_sum_exp_of(head, query);
                row.iter_mut().for_each(|x| *x = (*x - sum).exp());
            } else {
                softmax_with_log_sum_exp(row);
            }
            // A NaN among the attended scores makes the row NaN. The masked keys of such a row stay 0.
            fill_masked(&self.plan, query, &(0..self.plan.keys), F::zero(), row);
        }
        Ok(pattern)
    }

    fn pattern_tile(
        &self,
        head: usize,
        queries: Range<usize>,
        keys: Range<usize>,
    ) -> Result<Array2<F>, AttentionError> {
        let mut tile = self.tile(&self.plan, head, queries.clone(), keys.clone())?;
        for (query, mut row) in queries.zip(tile.rows_mut()) {
            let lse = self.log_sum_exp_of(head, query);
            for (key, x) in keys.clone().zip(row.iter_mut()) {
                *x = if self.plan.attends(query, key) { (*x - lse).exp() } else { F::zero() };
            }
        }
        Ok(tile)
    }

    fn log_sum_exp_of(&self, head: usize, query: usize) -> F {
        let (batch, head) = (head / self.plan.heads, head % self.plan.heads);
        self.kept.log_sum_exp[[batch, head, query]] * F::from_f64(LN_2)
    }

    fn pass(&self, difference: Option<(Pairing, F)>) -> Pass<'_, F> {
        let (q, k, v) = (self.q.view(), self.k.view(), self.v.view());
        Pass { plan: &self.plan, q, k, v, sink: self.sink.as_deref(), kept: &self.kept, difference }
    }

    /// Computes the gradients of a loss from its gradient by the output `[b, h, t, e]` or, with a difference, by the differences of
    /// pairs of heads, first − weight · second `[b, h/2, t, e]`.
    pub(crate) fn gradients(
        &self,
        d_out: &ArrayView4<'_, F>,
        difference: Option<(Pairing, F)>,
    ) -> Result<Gradients4<F>, AttentionError> {
        let mut gradients = backward::backward(&self.pass(difference), d_out);
        if let Some((at_queries, at_keys)) = &self.tables {
            turn(&mut gradients.q, |x| at_queries.apply_inverse(x))?;
            turn(&mut gradients.k, |x| at_keys.apply_inverse(x))?;
        }
        Ok(gradients)
    }

    /// Computes the gradient by the logits of the sinks; the arguments are those of [`SavedPass::gradients`]. Returns `None` without a sink.
    pub(crate) fn sink_gradient(
        &self,
        d_out: &ArrayView4<'_, F>,
        difference: Option<(Pairing, F)>,
    ) -> Option<Vec<F>> {
        backward::sink_gradient(&self.pass(difference), d_out)
    }

    /// Computes the derivative of the output along directions of q, k, v and, if given, of the sinks.
    pub(crate) fn along(
        &self,
        [q, k, v]: [ArrayView4<'_, F>; 3],
        sink: Option<&[F]>,
    ) -> Result<Array4<F>, AttentionError> {
        let Some((at_queries, at_keys)) = &self.tables else {
            return Ok(jvp::jvp(&self.pass(None), [q, k, v], sink));
        };
        let (mut q, mut k) = (q.to_owned(), k.to_owned());
        turn(&mut q, |x| at_queries.apply(x))?;
        turn(&mut k, |x| at_keys.apply(x))?;
        Ok(jvp::jvp(&self.pass(None), [q.view(), k.view(), v], sink))
    }
}

/// Computes the gradients of a loss from its gradient by the output `[b, h, t, e]`. The caller has checked the shape.
pub(crate) fn gradients<F: Loops>(
    saved: &SavedPass<F>,
    d_out: &ArrayView4<'_, F>,
) -> Result<Gradients4<F>, AttentionError> {
    saved.gradients(d_out, None)
}

/// Computes the gradient by the logits of the sinks.
pub(crate) fn sink_gradient<F: Loops>(saved: &SavedPass<F>, d_out: &ArrayView4<'_, F>) -> Option<Vec<F>> {
    saved.sink_gradient(d_out, None)
}

/// Computes the derivative of the output along directions of q, k and v. The caller has checked the shapes.
pub(crate) fn along<F: Loops>(
    saved: &SavedPass<F>,
    direction: [ArrayView4<'_, F>; 3],
) -> Result<Array4<F>, AttentionError> {
    saved.along(direction, None)
}

/// Rotates the rows of each member of a batch.
pub(super) fn turn<F>(
    x: &mut Array4<F>,
    rotate: impl Fn(&mut ArrayRef3<F>) -> Result<(), AttentionError>,
) -> Result<(), AttentionError> {
    x.axis_iter_mut(Axis(0)).try_for_each(|mut x| rotate(&mut x))
}
