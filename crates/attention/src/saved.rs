use crate::algebra::Pairing;
use crate::backward::Pass;
use crate::error::check_shape;
use crate::forward::Kept;
use crate::plan::Plan;
use crate::scores::{fill_masked, scores_into, softmax_with_log_sum_exp};
use crate::{AttentionError, Element, HeadAxes, RotaryTable};
use ndarray::{ArcArray, Array, Array1, Array2, Array4, ArrayRef, ArrayView4, Axis, Ix3, Ix4, s};
use std::ops::Range;

/// What a forward pass keeps: the (rotated) q and k, v, the output, and the log-sum-exp of each row of scores.
///
/// The pattern is not among it: any row or head of it is computed on demand, so memory stays linear in the length. `D` says
/// whether there is a batch axis; in a batch heads are counted through, `head = b·H + h`.
#[derive(Clone, Debug)]
pub struct Saved<F, D: HeadAxes = Ix3> {
    pub(crate) plan: Plan,
    pub(crate) q: ArcArray<F, Ix4>,
    pub(crate) k: ArcArray<F, Ix4>,
    pub(crate) v: ArcArray<F, Ix4>,
    pub(crate) sink: Option<Vec<F>>,
    pub(crate) kept: Kept<F>,
    pub(crate) log_sum_exp: Array<F, D::Smaller>,
    pub(crate) tables: Option<(RotaryTable<F>, RotaryTable<F>)>,
}

/// The gradients by q, k and v, in their shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients<F, D: HeadAxes = Ix3> {
    /// By q (h, t, d).
    pub q: Array<F, D>,
    /// By k (g, s, d).
    pub k: Array<F, D>,
    /// By v (g, s, e).
    pub v: Array<F, D>,
}

impl<F: Element, D: HeadAxes> Saved<F, D> {
    /// log Σⱼ exp Zᵢⱼ for each head and query, (h, t) or (b, h, t), with the sink as one more j; −∞ for a query without any.
    pub fn log_sum_exp(&self) -> &ArrayRef<F, D::Smaller> {
        &self.log_sum_exp
    }

    /// The scores of one head before the softmax (t, s), −∞ at masked pairs.
    ///
    /// # Errors
    /// [`AttentionError::Index`] when there is no such head.
    pub fn scores(&self, head: usize) -> Result<Array2<F>, AttentionError> {
        self.scores_of(head, 0..self.plan.queries)
    }

    /// The pattern of one head (t, s): each row sums to 1, less what a sink takes, or is zero for a query without any key.
    ///
    /// # Errors
    /// [`AttentionError::Index`] when there is no such head.
    pub fn pattern(&self, head: usize) -> Result<Array2<F>, AttentionError> {
        let mut pattern = self.scores_of(head, 0..self.plan.queries)?;
        for (query, mut row) in pattern.rows_mut().into_iter().enumerate() {
            self.normalise(head, query, row.as_slice_mut().expect("a new matrix is contiguous"));
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
        self.normalise(head, query, row.as_slice_mut().expect("a new row is contiguous"));
        Ok(row)
    }

    /// A tile of the scores of one head (queries, keys), −∞ at masked pairs: O(tile) memory.
    ///
    /// # Errors
    /// [`AttentionError::Index`] when there is no such head, query or key.
    pub fn scores_tile(
        &self,
        head: usize,
        queries: Range<usize>,
        keys: Range<usize>,
    ) -> Result<Array2<F>, AttentionError> {
        self.tile(&self.plan, head, queries, keys)
    }

    /// The scores of one head (t, s) as they are before the softcap.
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
        self.check_head(head)?;
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

    /// A tile of the pattern of one head (queries, keys), from the log-sum-exp: O(tile) memory.
    ///
    /// # Errors
    /// As [`Saved::scores_tile`].
    pub fn pattern_tile(
        &self,
        head: usize,
        queries: Range<usize>,
        keys: Range<usize>,
    ) -> Result<Array2<F>, AttentionError> {
        let mut tile = self.scores_tile(head, queries.clone(), keys.clone())?;
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
        self.kept.log_sum_exp[[batch, head, query]] * F::from_f64(std::f64::consts::LN_2)
    }

    fn check_head(&self, head: usize) -> Result<(), AttentionError> {
        let length = self.plan.batch * self.plan.heads;
        if head >= length {
            return Err(AttentionError::Index { axis: "head", index: head, length });
        }
        Ok(())
    }

    fn normalise(&self, head: usize, query: usize, row: &mut [F]) {
        if self.sink.is_some() {
            let sum = self.log_sum_exp_of(head, query);
            row.iter_mut().for_each(|x| *x = (*x - sum).exp());
        } else {
            softmax_with_log_sum_exp(row);
        }
        // A NaN among the attended scores makes the row NaN; the masked keys of such a row stay 0.
        fill_masked(&self.plan, query, &(0..self.plan.keys), F::zero(), row);
    }

    fn scores_of(&self, head: usize, queries: Range<usize>) -> Result<Array2<F>, AttentionError> {
        self.scores_tile(head, queries, 0..self.plan.keys)
    }

    fn pass(&self, difference: Option<(Pairing, F)>) -> Pass<'_, F> {
        let (q, k, v) = (self.q.view(), self.k.view(), self.v.view());
        Pass { plan: &self.plan, q, k, v, sink: self.sink.as_deref(), kept: &self.kept, difference }
    }

    pub(crate) fn backward(&self, d_out: &ArrayRef<F, D>) -> Result<Gradients<F, D>, AttentionError> {
        let d_out = D::lift(d_out.view());
        check::<D>("d_out", D::LETTERS[3], self.kept.out.shape(), d_out.shape())?;
        self.gradients(&d_out, None)
    }

    /// The gradients of a loss, from its gradient by the output of the heads (b, h, t, e) or, with a weight, by the differences of
    /// pairs of them, first − weight · second (b, h/2, t, e). The caller has checked the shape.
    pub(crate) fn gradients(
        &self,
        d_out: &ArrayView4<'_, F>,
        difference: Option<(Pairing, F)>,
    ) -> Result<Gradients<F, D>, AttentionError> {
        let mut gradients = F::backward(&self.pass(difference), d_out);
        if let Some((at_queries, at_keys)) = &self.tables {
            turn(&mut gradients.q, |x| at_queries.apply_inverse(x))?;
            turn(&mut gradients.k, |x| at_keys.apply_inverse(x))?;
        }
        Ok(Gradients { q: D::lower(gradients.q), k: D::lower(gradients.k), v: D::lower(gradients.v) })
    }

    /// The gradient of a loss by the logit of the sink of each head, summed over a batch; none without a sink.
    ///
    /// ```text
    /// ds = −Σᵢ p_sink,ᵢ ⟨dOᵢ, Oᵢ⟩
    /// ```
    ///
    /// # Errors
    /// [`AttentionError::Shape`] when `d_out` has another shape than the output.
    pub fn sink_gradient(&self, d_out: &ArrayRef<F, D>) -> Result<Option<Array1<F>>, AttentionError> {
        let d_out = D::lift(d_out.view());
        check::<D>("d_out", D::LETTERS[3], self.kept.out.shape(), d_out.shape())?;
        Ok(self.gradient_by_sinks(&d_out, None).map(Array1::from_vec))
    }

    /// What [`Saved::gradients`] is to q, k and v, to the logits of the sinks.
    pub(crate) fn gradient_by_sinks(
        &self,
        d_out: &ArrayView4<'_, F>,
        difference: Option<(Pairing, F)>,
    ) -> Option<Vec<F>> {
        F::sink_gradient(&self.pass(difference), d_out)
    }

    /// The derivative of the output along directions of q, k, v and of the sinks, which otherwise stand still.
    pub(crate) fn jvp(
        &self,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
        sink: Option<&[F]>,
    ) -> Result<Array<F, D>, AttentionError> {
        let [q, k, v] = [q, k, v].map(|x| D::lift(x.view()));
        check::<D>("the direction of q", D::LETTERS[0], self.q.shape(), q.shape())?;
        check::<D>("the direction of k", D::LETTERS[1], self.k.shape(), k.shape())?;
        check::<D>("the direction of v", D::LETTERS[2], self.v.shape(), v.shape())?;
        let Some((at_queries, at_keys)) = &self.tables else {
            return Ok(D::lower(F::jvp(&self.pass(None), [q, k, v], sink)));
        };
        let (mut q, mut k) = (q.to_owned(), k.to_owned());
        turn(&mut q, |x| at_queries.apply(x))?;
        turn(&mut k, |x| at_keys.apply(x))?;
        Ok(D::lower(F::jvp(&self.pass(None), [q.view(), k.view(), v], sink)))
    }
}

/// Turns the rows of each member of a batch.
pub(crate) fn turn<F>(
    x: &mut Array4<F>,
    rotate: impl Fn(&mut ArrayRef<F, Ix3>) -> Result<(), AttentionError>,
) -> Result<(), AttentionError> {
    x.axis_iter_mut(Axis(0)).try_for_each(|mut x| rotate(&mut x))
}

fn check<D: HeadAxes>(
    name: &'static str,
    letters: &'static str,
    expected: &[usize],
    given: &[usize],
) -> Result<(), AttentionError> {
    check_shape(name, letters, &expected[D::FIRST..], &given[D::FIRST..])
}
