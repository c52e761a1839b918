use super::rows::{Gain, RowChange};
use super::{
    Arguments, Combination, LogitChange, MaskRule, Normaliser, OutputChange, PairKeys, Pairing, Parameter,
    PatternChange, Score, Trace, Window, lambda_init,
};
use crate::{Attention, AttentionError, Element, HeadMap, Mask, Offset, Scale};
use ndarray::{Array3, ArrayRef3};

/// An attention variant as data: every choice is a field, and the order of changes is the order of a list.
///
/// ```text
/// rows        q, k ← norm, rotary, …                              in order
/// score       Z = scale · score(q_i, k_j)                         for the pairs that all mask rules allow, and no others
/// logits      Z ← softcap, bias, ALiBi, forgetting, …             in order
/// normaliser  P = normaliser(Z_i·)                                row by row
/// pattern     P ← talking heads, …                                in order
/// heads       O_h = P_h v
/// combination out = O_h, or differences of pairs of heads
/// output      out ← norm, gate, …                                 in order
/// ```
///
/// Where the composition is a dense softmax over scaled dot products ([`Variant::tiled`]) the tiled kernels compute it in O(t + s)
/// memory; everything else goes the plain way, pair by pair, with O(t s) memory. A query without any key gets zeros, and what
/// stands at a masked pair has no influence, forwards and backwards, even if it is NaN.
///
/// # Shapes
/// `q (h, t, d)`, `k (g, s, d)`, `v (g, s, e)` give `(h, t, e)`; a differential variant gives `(h/2, t, e)`, and V1 takes one
/// value head for each pair of key heads.
///
/// # Determinism
/// The same bits on any number of threads.
///
/// # Examples
/// ```
/// use collimate_attention::algebra::{Arguments, LogitChange, MaskRule, Normaliser, Parameter, Variant};
/// use collimate_attention::Offset;
/// use ndarray::{Array3, arr1, arr3};
/// // Gemma 2's softcap, then causal attention with a learned sink.
/// let variant = Variant::scaled_dot_product(Offset::zero())
///     .mask(MaskRule::Causal)
///     .logit(LogitChange::Softcap(50.0))
///     .normaliser(Normaliser::LearnedSink);
/// let ones = Array3::<f64>::ones((1, 2, 1));
/// let arguments = Arguments::new(&ones, &ones, &ones).with(Parameter::Sink, arr1(&[1.0]));
/// let (out, trace) = variant.forward(&arguments)?;
/// // The first query shares with the sink, e¹ : e^{50 tanh(1/50)}.
/// assert!((out[[0, 0, 0]] - 0.5).abs() < 1e-4);
/// let gradient = variant.backward(&trace, &arr3(&[[[1.0], [0.0]]]))?;
/// assert!((gradient.parameters.get(Parameter::Sink).unwrap()[0] + 0.25).abs() < 1e-4);
/// # Ok::<(), collimate_attention::AttentionError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Variant {
    /// Changes of the query and key rows, in order.
    pub rows: Vec<RowChange>,
    /// How rows are compared.
    pub score: Score,
    /// The factor on the scores.
    pub scale: Scale,
    /// Which key head a query head reads; for Differential V1, which pair.
    pub heads: HeadMap,
    /// Where the queries stand among the keys: for masks, rotary positions and biases alike.
    pub positions: Offset,
    /// Changes of the logits, in order.
    pub logits: Vec<LogitChange>,
    /// Rules that a pair must all pass.
    pub mask: Vec<MaskRule>,
    /// How logits become weights.
    pub normaliser: Normaliser,
    /// Changes of the pattern, in order.
    pub pattern: Vec<PatternChange>,
    /// How the outputs of the heads are joined.
    pub combination: Combination,
    /// Changes of the output, in order.
    pub output: Vec<OutputChange>,
}

impl Variant {
    /// softmax(q kᵀ/√d) v, with as many key heads as query heads; query `i` stands at position `i` + the offset.
    pub fn scaled_dot_product(positions: Offset) -> Self {
        Self {
            rows: Vec::new(),
            score: Score::DotProduct,
            scale: Scale::InverseSqrtDim,
            heads: HeadMap::MultiHead,
            positions,
            logits: Vec::new(),
            mask: Vec::new(),
            normaliser: Normaliser::Softmax,
            pattern: Vec::new(),
            combination: Combination::Plain,
            output: Vec::new(),
        }
    }

    /// Cosine similarity with a learned temperature for each head ([`Parameter::Temperature`]).
    pub fn cosine(positions: Offset, epsilon: f64) -> Self {
        Self::scaled_dot_product(positions)
            .row(RowChange::Unit { epsilon })
            .scale(Scale::Fixed(1.0))
            .logit(LogitChange::Temperature)
    }

    /// The Differential Transformer of 2024 for the layer at `depth`, counted from 0.
    ///
    /// Pairs of maps with a learned weight, a norm of each output row, and the factor 1 − λ_init. `gain` says whether the norm has a
    /// learned factor, shared by all heads (the released code: yes; DiffLlama in Hugging Face: no); the epsilon is 1e-5.
    pub fn differential_v1(
        positions: Offset,
        pairing: Pairing,
        keys: PairKeys,
        depth: usize,
        gain: Gain,
    ) -> Self {
        let lambda_init = lambda_init(depth);
        Self {
            combination: Combination::DifferentialV1 { pairing, keys, lambda_init },
            ..Self::scaled_dot_product(positions)
        }
        .output(OutputChange::HeadNorm { epsilon: 1e-5, gain })
        .output(OutputChange::Scale(1.0 - lambda_init))
    }

    /// The second Differential Transformer: a weight for each pair and query, and no norm.
    pub fn differential_v2(positions: Offset, pairing: Pairing) -> Self {
        Self { combination: Combination::DifferentialV2 { pairing }, ..Self::scaled_dot_product(positions) }
    }

    /// The same with one change of the rows more, after the others.
    #[must_use]
    pub fn row(mut self, change: RowChange) -> Self {
        self.rows.push(change);
        self
    }

    /// The same with another score.
    #[must_use]
    pub fn score(self, score: Score) -> Self {
        Self { score, ..self }
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

    /// The same with one change of the logits more, after the others.
    #[must_use]
    pub fn logit(mut self, change: LogitChange) -> Self {
        self.logits.push(change);
        self
    }

    /// The same with one mask rule more.
    #[must_use]
    pub fn mask(mut self, rule: MaskRule) -> Self {
        self.mask.push(rule);
        self
    }

    /// The same with another normaliser.
    #[must_use]
    pub fn normaliser(self, normaliser: Normaliser) -> Self {
        Self { normaliser, ..self }
    }

    /// The same with one change of the pattern more, after the others.
    #[must_use]
    pub fn pattern(mut self, change: PatternChange) -> Self {
        self.pattern.push(change);
        self
    }

    /// The same with another combination.
    #[must_use]
    pub fn combination(self, combination: Combination) -> Self {
        Self { combination, ..self }
    }

    /// The same with one change of the output more, after the others.
    #[must_use]
    pub fn output(mut self, change: OutputChange) -> Self {
        self.output.push(change);
        self
    }

    /// The learned arrays the variant needs, in the order in which it reads them.
    pub fn parameters(&self) -> Vec<Parameter> {
        let rows = self.rows.iter().flat_map(RowChange::parameters).copied();
        let logits = self.logits.iter().filter_map(LogitChange::parameter);
        let pattern = self.pattern.iter().filter_map(PatternChange::parameter);
        let output = self.output.iter().filter_map(OutputChange::parameter);
        rows.chain(logits)
            .chain(self.normaliser.parameter())
            .chain(pattern)
            .chain(self.combination.parameters().iter().copied())
            .chain(output)
            .collect()
    }

    /// The shapes of the learned arrays for such q, k and v: full for a bias, the width d for the vectors of λ.
    ///
    /// # Errors
    /// As [`Variant::forward`], for q, k, v and the choices.
    pub fn parameter_shapes<F>(
        &self,
        q: &ArrayRef3<F>,
        k: &ArrayRef3<F>,
        v: &ArrayRef3<F>,
    ) -> Result<Vec<(Parameter, Vec<usize>)>, AttentionError> {
        let (sizes, _) = self.check(q, k, v)?;
        Ok(self.parameters().into_iter().map(|name| (name, self.shape(name, &sizes).1)).collect())
    }

    /// The tiled attention that computes the heads of this variant, if there is one: dense softmax over scaled dot products, with
    /// or without a sink; no mask, a causal one or a window of previous keys; no change of the logits but a softcap, none of
    /// the pattern. Changes of rows and outputs and the combination go around it, the logits of sinks come from the
    /// parameters, and for Differential V1 its head map joins pairs.
    ///
    /// # Examples
    /// ```
    /// use collimate_attention::algebra::{LogitChange, Pairing, Variant};
    /// use collimate_attention::Offset;
    /// let variant = Variant::differential_v2(Offset::zero(), Pairing::Neighbours);
    /// assert!(variant.tiled().is_some());
    /// assert!(variant.logit(LogitChange::Bias).tiled().is_none());
    /// ```
    pub fn tiled(&self) -> Option<Attention> {
        let mask = match &self.mask[..] {
            [] => Mask::none(),
            [MaskRule::Causal] => Mask::causal(self.positions),
            [MaskRule::Window(Window { back: Some(back), ahead: Some(0) })] => {
                Mask::window(self.positions, *back)
            }
            _ => return None,
        };
        let softcap = match self.logits[..] {
            [] => None,
            [LogitChange::Softcap(cap)] => Some(cap),
            _ => return None,
        };
        let dense = self.score == Score::DotProduct
            && matches!(
                self.normaliser,
                Normaliser::Softmax | Normaliser::SoftmaxPlusOne | Normaliser::LearnedSink
            )
            && self.pattern.is_empty();
        let plain = Attention::scaled_dot_product().scale(self.scale).heads(self.heads).mask(mask);
        dense.then(|| softcap.map_or(plain, |cap| plain.softcap(cap)))
    }

    /// The output (h, t, e), and what derivatives and views of the pattern need.
    ///
    /// # Errors
    /// [`AttentionError`] naming the argument when shapes, head counts, parameters or choices do not fit, and
    /// [`AttentionError::Overflow`] when finite rows give a score that is not.
    pub fn forward<F: Element>(
        &self,
        arguments: &Arguments<F>,
    ) -> Result<(Array3<F>, Trace<F>), AttentionError> {
        F::algebra_forward(self, arguments, true)
    }

    /// As [`Variant::forward`], but always the plain way: the definition that the tiled kernels are checked against.
    ///
    /// # Errors
    /// As [`Variant::forward`].
    pub fn forward_plain<F: Element>(
        &self,
        arguments: &Arguments<F>,
    ) -> Result<(Array3<F>, Trace<F>), AttentionError> {
        F::algebra_forward(self, arguments, false)
    }

    /// The gradients of a loss by all arguments, from its gradient by the output.
    ///
    /// # Errors
    /// [`AttentionError::Shape`] when `d_out` has another shape than the output.
    pub fn backward<F: Element>(
        &self,
        trace: &Trace<F>,
        d_out: &ArrayRef3<F>,
    ) -> Result<Arguments<F>, AttentionError> {
        F::algebra_backward(trace, d_out)
    }

    /// The derivative of the output along a direction in all arguments (forward mode).
    ///
    /// # Errors
    /// [`AttentionError::Shape`] and [`AttentionError::Parameter`] when the direction does not have the shapes of the arguments.
    pub fn jvp<F: Element>(
        &self,
        trace: &Trace<F>,
        direction: &Arguments<F>,
    ) -> Result<Array3<F>, AttentionError> {
        F::algebra_jvp(trace, direction)
    }
}

/// The same choices, with the offset of the mask for all positions.
impl From<Attention> for Variant {
    fn from(attention: Attention) -> Self {
        let (positions, mask) = match attention.mask {
            Mask::Causal(offset) => (offset, vec![MaskRule::Causal]),
            Mask::Window { offset, back } => (offset, vec![MaskRule::Window(Window::previous(back))]),
            Mask::None => (Offset::Zero, Vec::new()),
        };
        Self {
            rows: attention.rotary.into_iter().map(RowChange::Rotary).collect(),
            scale: attention.scale,
            heads: attention.heads,
            logits: attention.softcap.into_iter().map(LogitChange::Softcap).collect(),
            mask,
            ..Self::scaled_dot_product(positions)
        }
    }
}
