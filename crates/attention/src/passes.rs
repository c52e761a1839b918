//! The public passes of [`Attention`]: they check the shapes and call the tiled engine.

use crate::error::check_shape;
use crate::tiled::{Gradients, Intervention, Plan, Saved};
use crate::{Attention, AttentionError, HeadAxes, Precision};
use collimate_tensor::zeros;
use ndarray::{ArcArray, Array, Array1, ArrayRef, ArrayView4, ArrayViewMut4, Ix4};

impl Attention {
    /// Computes the output, and keeps what the backward pass and the views of the pattern need: q, k, v, the output and the
    /// log-sum-exp, in O(t + s) memory.
    ///
    /// q, k, v and the output are copied. [`Attention::forward_shared`] avoids these copies.
    ///
    /// # Errors
    /// [`AttentionError`] if shapes, head counts or parameters do not fit. [`AttentionError::Overflow`] if
    /// finite rows have scores or an output too large for their type. A score that overflows
    /// downwards counts as −∞, which is an error only if the query has no other score. NaN and infinities of the inputs reach
    /// the queries that attend to them, without an error.
    pub fn forward<F: Precision, D: HeadAxes>(
        &self,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
    ) -> Result<(Array<F, D>, Saved<F, D>), AttentionError> {
        let [q, k, v] = [q, k, v].map(|x| x.to_owned().into_shared());
        let (out, saved) = self.forward_shared(q, k, v)?;
        Ok((out.into_owned(), saved))
    }

    /// Computes the output of [`Attention::forward`]. It shares q, k, v and the output with the caller instead of copying them.
    ///
    /// `into_shared` makes shared arrays, whose clones copy nothing. Writing to the output copies it while the saved state exists.
    /// Rotary positions rotate q and k in place if the caller holds no other clone of them, otherwise in copies.
    ///
    /// # Errors
    /// Like [`Attention::forward`].
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
    pub fn forward_shared<F: Precision, D: HeadAxes>(
        &self,
        q: ArcArray<F, D>,
        k: ArcArray<F, D>,
        v: ArcArray<F, D>,
    ) -> Result<(ArcArray<F, D>, Saved<F, D>), AttentionError> {
        self.run([q, k, v].map(D::lift), None)
    }

    /// Computes the output of [`Attention::forward_shared`] with a learned sink: the logit of each query head joins the denominator of
    /// its rows and is then dropped (gpt-oss). Logits of 0 give the softmax plus one.
    ///
    /// ```text
    /// Pᵢⱼ = e^{Zᵢⱼ} / (e^{s_h} + Σₘ e^{Zᵢₘ})
    /// ```
    ///
    /// # Errors
    /// Like [`Attention::forward`], and [`AttentionError::Shape`] if `sink` does not have one number for each query head.
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
    pub fn forward_with_sink<F: Precision, D: HeadAxes>(
        &self,
        q: ArcArray<F, D>,
        k: ArcArray<F, D>,
        v: ArcArray<F, D>,
        sink: &[F],
    ) -> Result<(ArcArray<F, D>, Saved<F, D>), AttentionError> {
        self.run([q, k, v].map(D::lift), Some(sink))
    }

    fn run<F: Precision, D: HeadAxes>(
        &self,
        arrays: [ArcArray<F, Ix4>; 3],
        sink: Option<&[F]>,
    ) -> Result<(ArcArray<F, D>, Saved<F, D>), AttentionError> {
        let plan = self.plan::<F, D>(arrays.each_ref().map(|x| x.view()))?;
        if let Some(sink) = sink {
            check_shape("sink", "[h]", &[plan.heads], &[sink.len()])?;
        }
        let saved = Saved::new(F::attend(self, plan, arrays, sink.map(<[F]>::to_vec))?);
        Ok((D::lower(saved.pass.kept.out.clone()), saved))
    }

    /// Writes the output into `out` `[h, t, e]` or `[b, h, t, e]` of any strides and keeps nothing: the prefill path.
    ///
    /// Without rotary positions in `self` nothing is copied. So a model rotates its projections in place with
    /// [`RotaryTable::apply`](crate::RotaryTable::apply) and passes views.
    ///
    /// # Errors
    /// Like [`Attention::forward`].
    pub fn forward_into<F: Precision, D: HeadAxes>(
        &self,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
        out: &mut ArrayRef<F, D>,
    ) -> Result<(), AttentionError> {
        let arrays = [q, k, v].map(|x| D::lift(x.view()));
        let plan = self.plan::<F, D>(arrays.each_ref().map(|x| x.view()))?;
        let out: ArrayViewMut4<'_, F> = D::lift(out.view_mut());
        let shape: [usize; 4] = plan.out_shape().into();
        check::<D>("out", 3, shape, out.shape())?;
        F::attend_into(self, &plan, arrays, None, out)
    }

    /// Computes the output of a forward pass in which `intervention` changes the scores or the pattern.
    ///
    /// Memory is O(t + s), except for whole rows: [`Intervention::Rows`] holds a block of rows of the pattern for each thread, and
    /// [`Intervention::Replace`] takes a whole pattern.
    ///
    /// # Errors
    /// Like [`Attention::forward`], and [`AttentionError::Shape`] if a given pattern has another shape than `[h, t, s]`. An
    /// intervention on the scores may make the output non-finite without an error.
    ///
    /// # Examples
    /// ```
    /// use collimate_attention::{Attention, Intervention};
    /// use ndarray::{Array3, array};
    /// let (q, k) = (Array3::<f64>::ones((1, 2, 2)), Array3::ones((1, 2, 2)));
    /// let v = array![[[1.0], [5.0]]];
    /// let attention = Attention::scaled_dot_product();
    /// // Remove the weight of query 1 on key 0. The other weight stays ½.
    /// let remove = Intervention::Rows(&|row| if row.query == 1 { row.values[0] = 0.0 });
    /// let out = attention.intervene(&q, &k, &v, remove)?;
    /// assert!((out[[0, 0, 0]] - 3.0).abs() < 1e-15 && (out[[0, 1, 0]] - 2.5).abs() < 1e-15);
    /// // Remove the score of query 1 and key 0. The weight goes to key 1.
    /// let mask = Intervention::Scores(&|mut tile| {
    ///     for ((i, j), score) in tile.values.indexed_iter_mut() {
    ///         if (tile.queries.start + i, tile.keys.start + j) == (1, 0) {
    ///             *score = f64::NEG_INFINITY;
    ///         }
    ///     }
    /// });
    /// assert!((attention.intervene(&q, &k, &v, mask)?[[0, 1, 0]] - 5.0).abs() < 1e-15);
    /// // Replace the pattern.
    /// let swap = array![[[0.0, 1.0], [1.0, 0.0]]];
    /// let out = attention.intervene(&q, &k, &v, Intervention::Replace(swap.view()))?;
    /// assert_eq!(out, array![[[5.0], [1.0]]]);
    /// # Ok::<(), collimate_attention::AttentionError>(())
    /// ```
    pub fn intervene<F: Precision, D: HeadAxes>(
        &self,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
        intervention: Intervention<'_, F, D>,
    ) -> Result<Array<F, D>, AttentionError> {
        let arrays = [q, k, v].map(|x| D::lift(x.view()));
        let plan = self.plan::<F, D>(arrays.each_ref().map(|x| x.view()))?;
        let intervention = intervention.lift();
        if let Intervention::Replace(pattern) = &intervention {
            let shape = [plan.batch, plan.heads, plan.queries, plan.keys];
            let axes = ["[b, h, t, s]", "[h, t, s]"][D::FIRST];
            check_shape("the pattern", axes, &shape[D::FIRST..], &pattern.shape()[D::FIRST..])?;
        }
        let mut out = zeros(plan.out_shape());
        F::attend_into(self, &plan, arrays, Some(intervention), out.view_mut())?;
        Ok(D::lower(out))
    }

    /// Computes the gradients of a loss by q, k and v from its gradient by the output, `d_out [h, t, e]`.
    ///
    /// ```text
    /// dv = Pᵀ dO,   dP = dO vᵀ,   dZ = P ∘ (dP − D),  Dᵢ = Σⱼ Pᵢⱼ dPᵢⱼ,   dq = scale · dZ k,   dk = scale · dZᵀ q
    /// ```
    ///
    /// The pattern is computed again, tile by tile. A key head sums over the query heads that read it, in order.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if `d_out` has another shape than the output.
    pub fn backward<F: Precision, D: HeadAxes>(
        &self,
        saved: &Saved<F, D>,
        d_out: &ArrayRef<F, D>,
    ) -> Result<Gradients<F, D>, AttentionError> {
        let d_out = D::lift(d_out.view());
        check::<D>("d_out", 3, shape_of(saved.pass.kept.out.shape()), d_out.shape())?;
        Ok(Gradients::lower(F::gradients(&saved.pass, &d_out)?))
    }

    /// Computes the derivative of the output along a direction in q, k and v (forward mode).
    ///
    /// ```text
    /// Ż = scale · (q̇ kᵀ + q k̇ᵀ),   Ṗᵢⱼ = Pᵢⱼ (Żᵢⱼ − Σₘ Pᵢₘ Żᵢₘ),   ȯut = Ṗ v + P v̇
    /// ```
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if a direction has another shape than its argument.
    pub fn jvp<F: Precision, D: HeadAxes>(
        &self,
        saved: &Saved<F, D>,
        q: &ArrayRef<F, D>,
        k: &ArrayRef<F, D>,
        v: &ArrayRef<F, D>,
    ) -> Result<Array<F, D>, AttentionError> {
        let [q, k, v] = [q, k, v].map(|x| D::lift(x.view()));
        check::<D>("the direction of q", 0, shape_of(saved.pass.q.shape()), q.shape())?;
        check::<D>("the direction of k", 1, shape_of(saved.pass.k.shape()), k.shape())?;
        check::<D>("the direction of v", 2, shape_of(saved.pass.v.shape()), v.shape())?;
        Ok(D::lower(F::along(&saved.pass, [q, k, v])?))
    }

    fn plan<F, D: HeadAxes>(&self, arrays: [ArrayView4<'_, F>; 3]) -> Result<Plan, AttentionError> {
        Plan::new(self, arrays.map(|x| x.dim().into()), (D::LETTERS, D::FIRST), None)
    }
}

impl<F: Precision, D: HeadAxes> Saved<F, D> {
    /// Computes the gradient of a loss by the logit of the sink of each head, summed over a batch. Returns `None` without a sink.
    ///
    /// ```text
    /// ds = −Σᵢ p_sink,ᵢ ⟨dOᵢ, Oᵢ⟩
    /// ```
    ///
    /// # Errors
    /// [`AttentionError::Shape`] if `d_out` has another shape than the output.
    pub fn sink_gradient(&self, d_out: &ArrayRef<F, D>) -> Result<Option<Array1<F>>, AttentionError> {
        let d_out = D::lift(d_out.view());
        check::<D>("d_out", 3, shape_of(self.pass.kept.out.shape()), d_out.shape())?;
        Ok(F::sink_gradient(&self.pass, &d_out).map(Array1::from_vec))
    }
}

fn shape_of(shape: &[usize]) -> [usize; 4] {
    shape.try_into().expect("four axes")
}

/// Checks the shape of an array with the axes of q, k, v or the output (0 to 3).
fn check<D: HeadAxes>(
    name: &'static str,
    axes: usize,
    expected: [usize; 4],
    given: &[usize],
) -> Result<(), AttentionError> {
    check_shape(name, D::LETTERS[axes], &expected[D::FIRST..], &given[D::FIRST..])
}
