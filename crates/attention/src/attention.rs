use crate::error::check_shape;
use crate::forward::{Input, Kept};
use crate::hooked::Tile;
use crate::plan::{Pairs, Plan};
use crate::saved::turn;
use crate::{AttentionError, Element, Gradients, HeadAxes, HeadMap, Mask, Rotary, RotaryTable, Saved};
use collimate_tensor::zeros;
use ndarray::{
    ArcArray, Array, Array3, Array4, ArrayRef, ArrayRef3, ArrayView, ArrayViewMut4, CowArray, Ix3,
};
use std::f64::consts::LN_2;

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
/// Z = scale · rotate(q) rotate(k)ᵀ,   with a softcap Z ← c·tanh(Z/c),   P = softmax over the unmasked keys of Z,   out = P v
/// ```
///
/// # Shapes
/// `q (h, t, d)`, `k (g, s, d)`, `v (g, s, e)` give `out (h, t, e)`, or all with a batch axis `b` in front; any strides. See the
/// crate page for the letters.
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
    /// The bound c of the scores, c·tanh(z/c), taken before the mask; or none.
    pub softcap: Option<f64>,
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
        Self {
            scale: Scale::InverseSqrtDim,
            softcap: None,
            heads: HeadMap::MultiHead,
            rotary: None,
            mask: Mask::None,
        }
    }

    /// The same with another factor on the scores.
    #[must_use]
    pub fn scale(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    /// The same with scores bounded by `cap`: c·tanh(z/c), before the mask (Gemma 2).
    #[must_use]
    pub fn softcap(self, cap: f64) -> Self {
        Self { softcap: Some(cap), ..self }
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

    /// The output and what the backward pass and the views of the pattern need: q, k, v, the output and the log-sum-exp, O(t + s).
    ///
    /// q, k, v and the output are copied; [`Attention::forward_shared`] does without.
    ///
    /// # Errors
    /// [`AttentionError`] when shapes, head counts or parameters do not fit; [`AttentionError::Overflow`] and
    /// [`AttentionError::OutputOverflow`] when finite rows have scores or an output too large for their type. A score that overflows
    /// downwards counts as −∞, which is an error only when a query has no other. NaN and infinities that were there before reach
    /// those who attend to them, without an error.
    pub fn forward<F: Element, D: HeadAxes>(
        &self,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
    ) -> Result<(Array<F, D>, Saved<F, D>), AttentionError> {
        let [q, k, v] = [q, k, v].map(|x| x.to_owned().into_shared());
        let (out, saved) = self.forward_shared(q, k, v)?;
        Ok((out.into_owned(), saved))
    }

    /// As [`Attention::forward`], sharing q, k, v and the output with the caller instead of copying them.
    ///
    /// Shared arrays come from `into_shared`, and cloning one copies nothing; writing to the output copies it while the saved state
    /// lives. With rotary positions q and k are rotated into
    /// copies, unless nobody else holds them.
    ///
    /// # Errors
    /// As [`Attention::forward`].
    ///
    /// # Examples
    /// ```
    /// use collimate_attention::Attention;
    /// use ndarray::Array4;
    /// // A batch of two, with three heads.
    /// let x = Array4::<f32>::ones((2, 3, 5, 8)).into_shared();
    /// let (out, saved) = Attention::scaled_dot_product().forward_shared(x.clone(), x.clone(), x)?;
    /// assert_eq!(out.dim(), (2, 3, 5, 8));
    /// assert!((saved.log_sum_exp()[[1, 2, 4]] - (8_f32.sqrt() + 5_f32.ln())).abs() < 1e-5);
    /// # Ok::<(), collimate_attention::AttentionError>(())
    /// ```
    pub fn forward_shared<F: Element, D: HeadAxes>(
        &self,
        q: ArcArray<F, D>,
        k: ArcArray<F, D>,
        v: ArcArray<F, D>,
    ) -> Result<(ArcArray<F, D>, Saved<F, D>), AttentionError> {
        let plan = self.plan::<F, D>(&q.view(), &k.view(), &v.view(), None)?;
        self.run(plan, q, k, v, None)
    }

    /// The pass that keeps what derivatives need, for a checked call.
    pub(crate) fn run<F: Element, D: HeadAxes>(
        &self,
        plan: Plan,
        q: ArcArray<F, D>,
        k: ArcArray<F, D>,
        v: ArcArray<F, D>,
        sink: Option<Vec<F>>,
    ) -> Result<(ArcArray<F, D>, Saved<F, D>), AttentionError> {
        let tables = self.tables(&plan)?;
        let (mut q, mut k, v) = (D::lift(q), D::lift(k), D::lift(v));
        if let Some(tables) = &tables {
            let rotated = rotate(tables, q.into_owned(), k.into_owned())?;
            (q, k) = (rotated.0.into_shared(), rotated.1.into_shared());
        }
        let mut out = zeros((plan.batch, plan.heads, plan.queries, plan.value_width));
        let mut log_sum_exp = plan.no_keys();
        let input =
            Input { plan: &plan, q: q.view(), k: k.view(), v: v.view(), sink: sink.as_deref(), edit: None };
        F::forward(&input, out.view_mut(), Some(&mut log_sum_exp))?;
        let kept = Kept { out: out.into_shared(), log_sum_exp };
        let log_sum_exp = D::lower_rows(kept.log_sum_exp.mapv(|x| x * F::from_f64(LN_2)));
        Ok((D::lower(kept.out.clone()), Saved { plan, q, k, v, sink, kept, log_sum_exp, tables }))
    }

    /// Writes the output into `out` (h, t, e) or (b, h, t, e) of any strides and keeps nothing: the prefill path.
    ///
    /// Without rotary positions in `self` nothing is copied, so a model rotates its projections in place with
    /// [`RotaryTable::apply`] and passes views.
    ///
    /// # Errors
    /// As [`Attention::forward`].
    pub fn forward_into<F: Element, D: HeadAxes>(
        &self,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
        out: &mut ArrayRef<F, D>,
    ) -> Result<(), AttentionError> {
        let plan = self.plan::<F, D>(&q.view(), &k.view(), &v.view(), None)?;
        let out = D::lift(out.view_mut());
        let shape = [plan.batch, plan.heads, plan.queries, plan.value_width];
        check_shape("out", D::LETTERS[3], &shape[D::FIRST..], &out.shape()[D::FIRST..])?;
        let (mut q, mut k) = (CowArray::from(D::lift(q.view())), CowArray::from(D::lift(k.view())));
        if let Some(tables) = self.tables(&plan)? {
            let rotated = rotate(&tables, q.into_owned(), k.into_owned())?;
            (q, k) = (rotated.0.into(), rotated.1.into());
        }
        let (q, k, v) = (q.view(), k.view(), D::lift(v.view()));
        F::forward(&Input { plan: &plan, q, k, v, sink: None, edit: None }, out, None)
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
    /// use ndarray::{Axis, Array3, array};
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
        let plan = self.plan::<F, Ix3>(&q.view(), &k.view(), &v.view(), None)?;
        let tables = self.tables(&plan)?;
        let (q, k) = (rotated(q, tables.as_ref().map(|t| &t.0))?, rotated(k, tables.as_ref().map(|t| &t.1))?);
        let mut out = Array3::zeros((plan.heads, plan.queries, plan.value_width));
        F::forward_editing(&plan, &q, &k, v, &edit, &mut out);
        Ok(out)
    }

    /// The output of a forward pass whose scores an intervention changes inside the tiles, before the softmax.
    ///
    /// The scores are those after scale and rotation, −∞ at masked pairs. −∞ takes a pair out, and the rest of its row is
    /// normalised without it; masked pairs stay masked whatever is written there. Memory stays O(t + s).
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
    /// // Query 1 no longer sees key 0: its weight goes to key 1.
    /// let out = Attention::scaled_dot_product().forward_editing_scores(&q, &k, &v, |mut tile| {
    ///     for ((i, j), score) in tile.values.indexed_iter_mut() {
    ///         if (tile.queries.start + i, tile.keys.start + j) == (1, 0) {
    ///             *score = f64::NEG_INFINITY;
    ///         }
    ///     }
    /// })?;
    /// assert!((out[[0, 0, 0]] - 3.0).abs() < 1e-15 && (out[[0, 1, 0]] - 5.0).abs() < 1e-15);
    /// # Ok::<(), collimate_attention::AttentionError>(())
    /// ```
    pub fn forward_editing_scores<F: Element, D: HeadAxes>(
        &self,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
        edit: impl Fn(Tile<'_, F>) + Sync,
    ) -> Result<Array<F, D>, AttentionError> {
        self.edited(q, k, v, |input, out| F::forward(&Input { edit: Some(&edit), ..input }, out, None))
    }

    /// The output of a forward pass whose pattern an intervention changes inside the tiles.
    ///
    /// As [`Attention::forward_editing`] for tiles in the place of whole rows: masked pairs are 0, a key whose number is
    /// exactly 0 has no influence, and nothing is normalised again. Memory stays O(t + s), at the price of computing the
    /// scores twice.
    ///
    /// # Errors
    /// As [`Attention::forward`].
    pub fn forward_editing_pattern<F: Element, D: HeadAxes>(
        &self,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
        edit: impl Fn(Tile<'_, F>) + Sync,
    ) -> Result<Array<F, D>, AttentionError> {
        self.edited(q, k, v, |input, out| F::forward_editing_pattern(&input, out, &edit))
    }

    fn edited<F: Element, D: HeadAxes>(
        &self,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
        run: impl Fn(Input<'_, F>, ArrayViewMut4<'_, F>) -> Result<(), AttentionError>,
    ) -> Result<Array<F, D>, AttentionError> {
        let plan = self.plan::<F, D>(&q.view(), &k.view(), &v.view(), None)?;
        let (mut q, mut k) = (D::lift(q.to_owned()), D::lift(k.to_owned()));
        if let Some(tables) = self.tables(&plan)? {
            (q, k) = rotate(&tables, q, k)?;
        }
        let mut out = zeros((plan.batch, plan.heads, plan.queries, plan.value_width));
        let (q, k, v) = (q.view(), k.view(), D::lift(v.view()));
        run(Input { plan: &plan, q, k, v, sink: None, edit: None }, out.view_mut())?;
        Ok(D::lower(out))
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
    pub fn backward<F: Element, D: HeadAxes>(
        &self,
        saved: &Saved<F, D>,
        d_out: &ArrayRef<F, D>,
    ) -> Result<Gradients<F, D>, AttentionError> {
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
    pub fn jvp<F: Element, D: HeadAxes>(
        &self,
        saved: &Saved<F, D>,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
    ) -> Result<Array<F, D>, AttentionError> {
        saved.jvp(q, k, v, None)
    }

    /// Checks the arguments and works out the numbers that the kernels need.
    pub(crate) fn plan<F, D: HeadAxes>(
        &self,
        q: &ArrayView<'_, F, D>,
        k: &ArrayView<'_, F, D>,
        v: &ArrayView<'_, F, D>,
        pairs: Option<Pairs>,
    ) -> Result<Plan, AttentionError> {
        let [q, k, v] = [q, k, v].map(|x| D::lift(x.view()));
        let ((batch, heads, queries, width), (_, key_heads, keys, _)) = (q.dim(), k.dim());
        let value_width = v.dim().3;
        let check = |name, letters, expected: [usize; 4], given: &[usize]| {
            check_shape(name, letters, &expected[D::FIRST..], &given[D::FIRST..])
        };
        check("k", D::LETTERS[1], [batch, key_heads, keys, width], k.shape())?;
        // Of pairs the head map joins one to another, and each has one value head.
        let of_one = if pairs.is_some() { 2 } else { 1 };
        check("v", D::LETTERS[2], [batch, key_heads / of_one, keys, value_width], v.shape())?;
        self.heads.check(heads / of_one, key_heads / of_one)?;
        let scale = self.scale.value(width);
        if !scale.is_finite() {
            return Err(AttentionError::OutOfRange {
                name: "the scale",
                expected: "finite (d ≥ 1)",
                given: scale,
            });
        }
        if let Some(cap) = self.softcap.filter(|cap| !(cap.is_finite() && *cap > 0.0)) {
            return Err(AttentionError::OutOfRange {
                name: "the softcap",
                expected: "finite and positive",
                given: cap,
            });
        }
        let (map, mask, softcap) = (self.heads, self.mask, self.softcap);
        Ok(Plan { batch, heads, queries, keys, width, value_width, scale, softcap, map, pairs, mask })
    }

    /// The rotation of the queries and that of the keys, if the variant has positions.
    fn tables<F: Element>(
        &self,
        plan: &Plan,
    ) -> Result<Option<(RotaryTable<F>, RotaryTable<F>)>, AttentionError> {
        let Some(rotary) = self.rotary else { return Ok(None) };
        let (queries, keys) = (plan.queries, plan.keys);
        let offset = match self.mask {
            Mask::Causal(offset) | Mask::Window { offset, .. } => offset.value(queries, keys),
            Mask::None if queries == keys => 0,
            Mask::None => return Err(AttentionError::UnknownPositions { queries, keys }),
        } as i64;
        let at_queries = rotary.table(offset..offset + queries as i64)?;
        Ok(Some((at_queries, rotary.table(0..keys as i64)?)))
    }
}

/// Queries and keys, each turned by its table.
fn rotate<F: Element>(
    (at_queries, at_keys): &(RotaryTable<F>, RotaryTable<F>),
    mut q: Array4<F>,
    mut k: Array4<F>,
) -> Result<(Array4<F>, Array4<F>), AttentionError> {
    turn(&mut q, |x| at_queries.apply(x))?;
    turn(&mut k, |x| at_keys.apply(x))?;
    Ok((q, k))
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
