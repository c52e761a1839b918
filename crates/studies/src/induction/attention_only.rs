use super::bigrams::Questions;
use crate::error::StudyError;
use collimate_attention::{Attention, Mask, Offset, Precision, Saved};
use collimate_grad::primitive::{cross_entropy, matmul};
use collimate_grad::{Adam, AdamConfig, Decay, GradError, Optimiser, Schedule, ScheduleConfig, WarmUp};
use collimate_stream::RngStream;
use ndarray::{Array2, Array4, ArrayRef, ArrayView2, ArrayViewMut2, Axis, Ix4, s};

/// The size of an [`AttentionOnly`] transformer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The number of tokens in the vocabulary, v.
    pub vocabulary: usize,
    /// The number of positions, n.
    pub positions: usize,
    /// The width of the residual stream, m.
    pub width: usize,
    /// The width of a head, d.
    pub head_width: usize,
    /// The number of heads in each layer, h.
    pub heads: usize,
    /// The number of layers.
    pub layers: usize,
}

impl Size {
    /// Returns the shapes of the weights, in their order.
    fn shapes(&self) -> Vec<(usize, usize)> {
        let (m, heads) = (self.width, self.heads * self.head_width);
        let layer = [(m, heads), (m, heads), (m, heads), (heads, m)];
        let ends = [(self.vocabulary, m), (self.positions, m)];
        let layers = std::iter::repeat_n(layer, self.layers).flatten();
        ends.into_iter().chain(layers).chain([(m, self.vocabulary)]).collect()
    }

    /// Returns the number of weights.
    pub fn parameters(&self) -> usize {
        self.shapes().iter().map(|(rows, columns)| rows * columns).sum()
    }

    /// Returns views of the weights as matrices.
    fn views<'a, F>(&self, mut w: &'a [F]) -> Vec<ArrayView2<'a, F>> {
        let take = |shape: (usize, usize)| {
            let (one, rest) = w.split_at(shape.0 * shape.1);
            w = rest;
            ArrayView2::from_shape(shape, one).expect("the lengths agree")
        };
        self.shapes().into_iter().map(take).collect()
    }

    fn views_mut<'a, F>(&self, w: &'a mut [F]) -> Vec<ArrayViewMut2<'a, F>> {
        let mut left = w;
        let take = |shape: (usize, usize)| {
            let (one, rest) = std::mem::take(&mut left).split_at_mut(shape.0 * shape.1);
            left = rest;
            ArrayViewMut2::from_shape(shape, one).expect("the lengths agree")
        };
        self.shapes().into_iter().map(take).collect()
    }

    /// Splits `[b·n, h·d]` into `[b, h, n, d]`.
    fn split<F: Precision>(&self, x: Array2<F>) -> Array4<F> {
        let (rows, d) = (x.nrows(), self.head_width);
        let shape = (rows / self.positions, self.positions, self.heads, d);
        let x = x.into_shape_with_order(shape).expect("rows of whole sequences");
        x.permuted_axes([0, 2, 1, 3]).as_standard_layout().into_owned()
    }

    /// Joins `[b, h, n, d]` to `[b·n, h·d]`.
    fn join<F: Precision>(&self, x: &ArrayRef<F, Ix4>) -> Array2<F> {
        let (b, h, n, d) = x.dim();
        let x = x.view().permuted_axes([0, 2, 1, 3]).as_standard_layout().into_owned();
        x.into_shape_with_order((b * n, h * d)).expect("rows of whole sequences")
    }
}

/// A transformer of causal attention layers, without norms and MLPs.
///
/// ```text
/// x ← E[token],   x ← x + Σ_h softmax(((x + P) W_Q)((x + P) W_K)ᵀ/√d) x W_V W_O  per layer,   logits = x U
/// ```
/// The positions P are part of queries and keys only, so the values hold tokens and no positions.
///
/// # References
/// Elhage et al. (2021), the section on attention-only transformers.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionOnly<F> {
    size: Size,
    w: Vec<F>,
}

/// The arrays that a layer keeps for its gradient.
struct Kept<F: Precision> {
    x: Array2<F>,
    with_positions: Array2<F>,
    saved: Saved<F, Ix4>,
    out: Array2<F>,
}

fn attention() -> Attention {
    Attention::scaled_dot_product().mask(Mask::causal(Offset::zero()))
}

impl<F: Precision + collimate_grad::Precision> AttentionOnly<F> {
    /// Draws normal weights of variance one over the rows of their matrix, and tokens and positions of variance one over the width.
    pub fn new(size: Size, stream: &mut RngStream) -> Self {
        let mut w = vec![F::zero(); size.parameters()];
        for (i, mut matrix) in size.views_mut(&mut w).into_iter().enumerate() {
            let fan = if i < 2 { size.width } else { matrix.nrows() };
            let deviation = 1.0 / (fan as f64).sqrt();
            matrix.mapv_inplace(|_| F::from_f64(deviation * stream.normal()));
        }
        Self { size, w }
    }

    /// Makes a model from its weights: E `[v, m]`, P `[n, m]`, W_Q, W_K, W_V `[m, h·d]` and W_O `[h·d, m]` of each layer, U `[m, v]`, row
    /// by row.
    ///
    /// # Errors
    /// [`GradError::Length`] when their number is not [`Size::parameters`].
    pub fn from_weights(size: Size, w: Vec<F>) -> Result<Self, GradError> {
        collimate_measure::same_length("w", size.parameters(), w.len())?;
        Ok(Self { size, w })
    }

    /// Returns the weights, in the order of [`AttentionOnly::from_weights`].
    pub fn weights(&self) -> &[F] {
        &self.w
    }

    /// Computes the residual stream after the last layer `[b·n, m]`, and the arrays that the layers keep.
    fn run(&self, tokens: &Array2<usize>) -> Result<(Array2<F>, Vec<Kept<F>>), StudyError> {
        let matrices = self.size.views(&self.w);
        let mut x = Array2::zeros((tokens.len(), self.size.width));
        x.rows_mut()
            .into_iter()
            .zip(tokens)
            .for_each(|(mut row, &token)| row.assign(&matrices[0].row(token)));
        let mut layers = Vec::with_capacity(self.size.layers);
        for layer in matrices[2..matrices.len() - 1].chunks(4) {
            let mut with_positions = x.clone();
            for mut sequence in with_positions.axis_chunks_iter_mut(Axis(0), self.size.positions) {
                sequence += &matrices[1];
            }
            let heads = |x: &Array2<F>, w: &ArrayView2<'_, F>| {
                self.size.split(matmul::forward(x, w).expect("the widths agree")).into_shared()
            };
            let (q, k) = (heads(&with_positions, &layer[0]), heads(&with_positions, &layer[1]));
            let (out, saved) = attention().forward_shared(q, k, heads(&x, &layer[2]))?;
            let out = self.size.join(&out);
            let next = &x + &matmul::forward(&out, &layer[3]).expect("the widths agree");
            layers.push(Kept { x: std::mem::replace(&mut x, next), with_positions, saved, out });
        }
        Ok((x, layers))
    }

    /// Returns the rows `[b·r, m]` of the last r positions of each sequence.
    fn at_questions(&self, x: &Array2<F>, questions: usize) -> Array2<F> {
        let n = self.size.positions;
        let rows: Vec<usize> = (0..x.nrows()).filter(|row| row % n >= n - questions).collect();
        x.select(Axis(0), &rows)
    }

    /// Computes the logits of the answer to each question, `[b·r, v]`.
    ///
    /// # Errors
    /// [`StudyError::Attention`] when scores overflow.
    ///
    /// # Panics
    /// Panics when the length of the sequences is not the number of positions of the model, or a token is not in the vocabulary.
    pub fn logits(&self, questions: &Questions) -> Result<Array2<F>, StudyError> {
        let (x, _) = self.run(&questions.tokens)?;
        let unembedding = self.size.views(&self.w).pop().expect("there is an unembedding");
        let asked = self.at_questions(&x, questions.answers.ncols());
        Ok(matmul::forward(&asked, &unembedding).expect("the widths agree"))
    }

    /// Computes the share of the counted questions whose answer has the largest logit.
    ///
    /// # Errors
    /// As [`AttentionOnly::logits`].
    pub fn accuracy(&self, questions: &Questions) -> Result<f64, StudyError> {
        let logits = self.logits(questions)?;
        let (mut right, mut all) = (0.0, 0.0);
        for (row, question) in questions.counted() {
            let logits = logits.row(row * questions.answers.ncols() + question);
            let answer = logits[questions.answers[[row, question]]];
            all += 1.0;
            right += f64::from(u8::from(logits.iter().filter(|&&logit| logit >= answer).count() == 1));
        }
        Ok(right / f64::max(all, 1.0))
    }

    /// Computes the mean cross-entropy of all answers, and its gradient with respect to the weights.
    ///
    /// # Errors
    /// As [`AttentionOnly::logits`].
    pub fn loss_and_gradient(&self, questions: &Questions) -> Result<(F, Vec<F>), StudyError> {
        let (n, r) = (self.size.positions, questions.answers.ncols());
        let (x, layers) = self.run(&questions.tokens)?;
        let matrices = self.size.views(&self.w);
        let mut gradient = vec![F::zero(); self.w.len()];
        let mut by = self.size.views_mut(&mut gradient);
        let answers: Vec<usize> = questions.answers.iter().copied().collect();
        let asked = self.at_questions(&x, r);
        let product =
            |a: &ArrayView2<'_, F>, b: &ArrayView2<'_, F>| matmul::forward(a, b).expect("the widths agree");
        let last = matrices.len() - 1;
        let logits = product(&asked.view(), &matrices[last]);
        let loss = cross_entropy::forward(&logits, &answers).expect("one answer for each question");
        let d_logits = cross_entropy::vjp(&logits, &answers, F::one()).expect("one answer for each question");
        by[last].assign(&product(&asked.t(), &d_logits.view()));
        let d_asked = product(&d_logits.view(), &matrices[last].t());
        let mut d_x = Array2::zeros(x.dim());
        for (mut sequence, from) in
            d_x.axis_chunks_iter_mut(Axis(0), n).zip(d_asked.axis_chunks_iter(Axis(0), r))
        {
            sequence.slice_mut(s![n - r.., ..]).assign(&from);
        }
        for (i, kept) in layers.iter().enumerate().rev() {
            let at = 2 + 4 * i;
            let w = &matrices[at..at + 4];
            by[at + 3].assign(&product(&kept.out.t(), &d_x.view()));
            let d_out = self.size.split(product(&d_x.view(), &w[3].t()));
            let d = attention().backward(&kept.saved, &d_out)?;
            let [d_q, d_k, d_v] = [&d.q, &d.k, &d.v].map(|d| self.size.join(d));
            by[at].assign(&product(&kept.with_positions.t(), &d_q.view()));
            by[at + 1].assign(&product(&kept.with_positions.t(), &d_k.view()));
            by[at + 2].assign(&product(&kept.x.t(), &d_v.view()));
            let d_both = product(&d_q.view(), &w[0].t()) + product(&d_k.view(), &w[1].t());
            for sequence in d_both.axis_chunks_iter(Axis(0), n) {
                by[1] += &sequence;
            }
            d_x += &d_both;
            d_x += &product(&d_v.view(), &w[2].t());
        }
        for (row, &token) in d_x.rows().into_iter().zip(&questions.tokens) {
            let mut by = by[0].row_mut(token);
            by += &row;
        }
        Ok((loss, gradient))
    }

    /// Trains by Adam with default moments on fresh batches; the rate falls from `peak` along half a cosine.
    ///
    /// # Errors
    /// As [`AttentionOnly::logits`]; [`StudyError::Training`] for a rate that is not positive and finite, and when training diverges.
    pub fn train(
        &mut self,
        steps: u64,
        peak: f64,
        mut batch: impl FnMut() -> Questions,
    ) -> Result<(), StudyError> {
        let (warm_up, decay) = (WarmUp::None, Decay::Cosine { to: 0.0 });
        let schedule = Schedule::new(ScheduleConfig { peak, total_steps: steps.max(1), warm_up, decay })?;
        let mut adam = Adam::new(self.w.len(), AdamConfig::default())?;
        for step in 0..steps {
            let (_, gradient) = self.loss_and_gradient(&batch())?;
            adam.step(schedule.rate(step), &gradient, &mut self.w)?;
        }
        Ok(())
    }
}
