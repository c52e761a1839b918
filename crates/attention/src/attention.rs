use crate::error::check_shape;
use crate::plan::Plan;
use crate::{AttentionError, Element, Gradients, HeadMap, Mask, Rotary, RotaryTable, Saved};
use ndarray::{Array3, ArrayRef3, CowArray, Ix3};

/// The factor on the scores.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Scale {
    /// 1/√d, so that scores of independent unit-variance rows have unit variance.
    InverseSqrtDim,
    /// A number, for example 1 (T5) or a model's own constant.
    Fixed(f64),
}

impl Scale {
    /// The number for rows of width `d`.
    pub fn value(&self, d: usize) -> f64 {
        match *self {
            Self::InverseSqrtDim => 1.0 / (d as f64).sqrt(),
            Self::Fixed(scale) => scale,
        }
    }
}

/// An attention variant: a composition of choices, each said out loud.
///
/// ```text
/// Z = scale · rotate(q) rotate(k)ᵀ,   P = softmax over the unmasked keys of Z,   out = P v
/// ```
///
/// # Shapes
/// `q (h, t, d)`, `k (g, s, d)`, `v (g, s, e)` give `out (h, t, e)`; any strides. See the crate page for the letters.
///
/// # Determinism
/// The same bits on any number of threads: each tile of queries is one task that writes its own rows.
///
/// # Examples
/// ```
/// use collimate_attention::{Attention, HeadMap, Mask, Offset};
/// use ndarray::Array3;
/// let attn = Attention::scaled_dot_product()
///     .heads(HeadMap::grouped_by_floor(4, 2))
///     .mask(Mask::causal(Offset::zero()));
/// let (q, k) = (Array3::<f64>::ones((4, 3, 2)), Array3::ones((2, 3, 2)));
/// let v = Array3::from_shape_fn((2, 3, 1), |(_, s, _)| s as f64);
/// let (out, saved) = attn.forward(&q, &k, &v)?;
/// assert!((out[[3, 2, 0]] - 1.0).abs() < 1e-15); // equal scores: the mean of 0, 1, 2
/// assert!((saved.pattern_row(3, 2)?[1] - 1.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
///
/// # References
/// Vaswani et al. (2017), "Attention Is All You Need", equation 1.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Attention {
    /// The factor on the scores.
    pub scale: Scale,
    /// Which key head a query head reads.
    pub heads: HeadMap,
    /// Rotary positions of q and k, or none.
    pub rotary: Option<Rotary>,
    /// Which keys a query attends to.
    pub mask: Mask,
}

impl Attention {
    /// softmax(q kᵀ/√d) v: as many key heads as query heads, no positions, no mask.
    pub fn scaled_dot_product() -> Self {
        Self { scale: Scale::InverseSqrtDim, heads: HeadMap::MultiHead, rotary: None, mask: Mask::None }
    }

    /// The same with another factor on the scores.
    #[must_use]
    pub fn scale(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    /// The same with another head map.
    #[must_use]
    pub fn heads(self, heads: HeadMap) -> Self {
        Self { heads, ..self }
    }

    /// The same with rotary positions: key `j` stands at position j, query `i` at `i` + the offset of the mask.
    #[must_use]
    pub fn rotary(self, rotary: Rotary) -> Self {
        Self { rotary: Some(rotary), ..self }
    }

    /// The same with another mask.
    #[must_use]
    pub fn mask(self, mask: Mask) -> Self {
        Self { mask, ..self }
    }

    /// The output and what the backward pass and the views of the pattern need: q, k, v and the log-sum-exp, O(t + s).
    ///
    /// # Errors
    /// [`AttentionError`] when shapes, head counts or parameters do not fit.
    pub fn forward<F: Element>(
        &self,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
    ) -> Result<(Array3<F>, Saved<F>), AttentionError> {
        let saved = self.save(q, k, v)?;
        let plan = &saved.plan;
        let mut out = Array3::zeros((plan.heads, plan.queries, plan.value_width));
        let log_sum_exp = F::forward(plan, &saved.q, &saved.k, &saved.v, &mut out);
        Ok((out, Saved { log_sum_exp, ..saved }))
    }

    /// Writes the output into `out` (h, t, e) of any strides and keeps nothing: the prefill path.
    ///
    /// Without rotary positions in `self` nothing is copied, so a model rotates its projections in place with
    /// [`RotaryTable::apply`] and passes views.
    ///
    /// # Errors
    /// As [`Attention::forward`].
    pub fn forward_into<F: Element>(
        &self,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
        out: &mut ArrayRef3<F>,
    ) -> Result<(), AttentionError> {
        let plan = self.plan(q, k, v)?;
        check_shape("out", "(h, t, e)", &[plan.heads, plan.queries, plan.value_width], out.shape())?;
        let tables = self.tables(&plan)?;
        let (q, k) = (rotated(q, tables.as_ref().map(|t| &t.0))?, rotated(k, tables.as_ref().map(|t| &t.1))?);
        F::forward(&plan, &q, &k, v, out);
        Ok(())
    }

    /// The output of a forward pass whose pattern an intervention changes, row by row, before it meets the values.
    ///
    /// `edit(head, query, row)` may change the row of the pattern (one number a key, masked keys 0) in any way; a key
    /// whose number is exactly 0 has no influence. It runs inside the tiles, so no (t, s) array is ever held.
    ///
    /// # Errors
    /// As [`Attention::forward`].
    ///
    /// # Examples
    /// ```
    /// use collimate_attention::Attention;
    /// use ndarray::{Array3, array};
    /// let (q, k) = (Array3::<f64>::ones((1, 2, 2)), Array3::ones((1, 2, 2)));
    /// let v = array![[[1.0], [5.0]]];
    /// let attn = Attention::scaled_dot_product();
    /// // Knock out the attention of query 1 to key 0, without renormalising.
    /// let out = attn.forward_editing(&q, &k, &v, |_, query, row| if query == 1 { row[0] = 0.0 })?;
    /// assert!((out[[0, 0, 0]] - 3.0).abs() < 1e-15 && (out[[0, 1, 0]] - 2.5).abs() < 1e-15);
    /// # Ok::<(), collimate_attention::AttentionError>(())
    /// ```
    pub fn forward_editing<F: Element>(
        &self,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
        edit: impl Fn(usize, usize, &mut [F]) + Sync,
    ) -> Result<Array3<F>, AttentionError> {
        let saved = self.save(q, k, v)?;
        let plan = &saved.plan;
        let mut out = Array3::zeros((plan.heads, plan.queries, plan.value_width));
        F::forward_editing(plan, &saved.q, &saved.k, &saved.v, &edit, &mut out);
        Ok(out)
    }

    /// The output for a given pattern (h, t, s) in the place of the softmax: `out = pattern · v`.
    ///
    /// A key whose number is exactly 0 has no influence. Only the head map of `self` matters here.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] and [`AttentionError::Heads`] when the arrays do not fit.
    pub fn apply_pattern<F: Element>(
        &self,
        pattern: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
    ) -> Result<Array3<F>, AttentionError> {
        let (heads, queries, keys) = pattern.dim();
        let (key_heads, given, value_width) = v.dim();
        check_shape("v", "(g, s, e)", &[key_heads, keys, value_width], &[key_heads, given, value_width])?;
        self.heads.check(heads, key_heads)?;
        let mut out = Array3::zeros((heads, queries, value_width));
        F::apply_pattern(&self.heads, pattern, v, &mut out);
        Ok(out)
    }

    /// The gradients of a loss by q, k and v, from its gradient by the output, `d_out (h, t, e)`.
    ///
    /// ```text
    /// dv = Pᵀ dO,   dP = dO vᵀ,   dZ = P ∘ (dP − D),  Dᵢ = Σⱼ Pᵢⱼ dPᵢⱼ,   dq = scale · dZ k,   dk = scale · dZᵀ q
    /// ```
    ///
    /// The pattern is computed again, tile by tile. A key head sums over the query heads that read it, in their order.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] when `d_out` has another shape than the output.
    pub fn backward<F: Element>(
        &self,
        saved: &Saved<F>,
        d_out: &ArrayRef3<F>,
    ) -> Result<Gradients<F>, AttentionError> {
        saved.backward(d_out)
    }

    /// The derivative of the output along a direction in q, k and v (forward mode).
    ///
    /// ```text
    /// Ż = scale · (q̇ kᵀ + q k̇ᵀ),   Ṗᵢⱼ = Pᵢⱼ (Żᵢⱼ − Σₘ Pᵢₘ Żᵢₘ),   ȯut = Ṗ v + P v̇
    /// ```
    ///
    /// # Errors
    /// [`AttentionError::Shape`] when a direction has another shape than its argument.
    pub fn jvp<F: Element>(
        &self,
        saved: &Saved<F>,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
    ) -> Result<Array3<F>, AttentionError> {
        saved.jvp(q, k, v)
    }

    /// Checks the arguments and works out the numbers that the kernels need.
    fn plan<F>(&self, q: &ArrayRef3<F>, k: &ArrayRef3<F>, v: &ArrayRef3<F>) -> Result<Plan, AttentionError> {
        let ((heads, queries, width), (key_heads, keys, _)) = (q.dim(), k.dim());
        let value_width = v.dim().2;
        check_shape("k", "(g, s, d)", &[key_heads, keys, width], k.shape())?;
        check_shape("v", "(g, s, e)", &[key_heads, keys, value_width], v.shape())?;
        self.heads.check(heads, key_heads)?;
        let scale = self.scale.value(width);
        if !scale.is_finite() {
            return Err(AttentionError::OutOfRange {
                name: "the scale",
                expected: "finite (d ≥ 1)",
                given: scale,
            });
        }
        let (map, mask) = (self.heads, self.mask);
        Ok(Plan { heads, queries, keys, width, value_width, scale, map, mask })
    }

    /// The rotation of the queries and that of the keys, if the variant has positions.
    fn tables<F: Element>(
        &self,
        plan: &Plan,
    ) -> Result<Option<(RotaryTable<F>, RotaryTable<F>)>, AttentionError> {
        let Some(rotary) = self.rotary else { return Ok(None) };
        let (queries, keys) = (plan.queries, plan.keys);
        let offset = match self.mask {
            Mask::Causal(offset) => offset.value(queries, keys),
            Mask::None if queries == keys => 0,
            Mask::None => return Err(AttentionError::UnknownPositions { queries, keys }),
        } as i64;
        let at_queries = rotary.table(offset..offset + queries as i64)?;
        Ok(Some((at_queries, rotary.table(0..keys as i64)?)))
    }

    fn save<F: Element>(
        &self,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
    ) -> Result<Saved<F>, AttentionError> {
        let plan = self.plan(q, k, v)?;
        let tables = self.tables(&plan)?;
        let (mut q, mut k) = (q.to_owned(), k.to_owned());
        if let Some((at_queries, at_keys)) = &tables {
            at_queries.apply(&mut q)?;
            at_keys.apply(&mut k)?;
        }
        Ok(Saved { plan, q, k, v: v.to_owned(), log_sum_exp: Default::default(), tables })
    }
}

/// The rows turned by a table, or the rows themselves without one.
fn rotated<'a, F: Element>(
    x: &'a ArrayRef3<F>,
    table: Option<&RotaryTable<F>>,
) -> Result<CowArray<'a, F, Ix3>, AttentionError> {
    let Some(table) = table else { return Ok(x.view().into()) };
    let mut owned = x.to_owned();
    table.apply(&mut owned)?;
    Ok(owned.into())
}
