use super::rows::{Gain, RowChange};
use super::{
    Combination, LogitChange, MaskRule, Normaliser, OutputChange, Parameter, PatternChange, Score, Window,
    lambda_init,
};
use crate::attention::{Attention, Scale};
use crate::parts::{HeadMap, Mask, Offset, PairKeys, Pairing};

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
/// If the composition is a dense softmax over scaled dot products ([`Variant::tiled`]), the tiled kernels compute it in O(t + s)
/// memory. Every other composition is computed pair by pair, with O(t s) memory. A query without any key gets zeros. The key and
/// value of a masked pair have no influence, forwards and backwards, even if they are NaN.
///
/// # Shapes
/// `q [h, t, d]`, `k [g, s, d]` and `v [g, s, e]` give `[h, t, e]`. A differential variant gives `[h/2, t, e]`, and V1 takes one
/// value head for each pair of key heads.
///
/// # Determinism
/// The bits are the same on any number of threads, except the sign of a NaN.
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
    /// The changes of the query and key rows, in order.
    pub rows: Vec<RowChange>,
    /// The similarity of rows.
    pub score: Score,
    /// The factor on the scores.
    pub scale: Scale,
    /// The key head that a query head reads; in Differential V1, the pair of key heads.
    pub heads: HeadMap,
    /// The position of the queries among the keys, for masks, rotary positions and biases.
    pub positions: Offset,
    /// The changes of the logits, in order.
    pub logits: Vec<LogitChange>,
    /// The mask rules. A pair attends if all rules allow it.
    pub mask: Vec<MaskRule>,
    /// The map from logits to weights.
    pub normaliser: Normaliser,
    /// The changes of the pattern, in order.
    pub pattern: Vec<PatternChange>,
    /// The combination of the outputs of the heads.
    pub combination: Combination,
    /// The changes of the output, in order.
    pub output: Vec<OutputChange>,
}

impl Variant {
    /// Returns softmax(q kᵀ/√d) v with equal numbers of query heads and key heads. Query `i` has position `i` + the offset.
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

    /// Returns cosine similarity with a learned temperature for each head ([`Parameter::Temperature`]).
    pub fn cosine(positions: Offset, epsilon: f64) -> Self {
        Self::scaled_dot_product(positions)
            .row(RowChange::Unit { epsilon })
            .scale(Scale::Fixed(1.0))
            .logit(LogitChange::Temperature)
    }

    /// Returns the Differential Transformer of 2024 for the layer at `depth`, counted from 0.
    ///
    /// It has pairs of maps with a learned weight, a norm of each output row, and the factor 1 − λ_init. `gain` is the learned factor
    /// of the norm, shared by all heads (the released code has it, DiffLlama in Hugging Face does not). The epsilon is 1e-5.
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

    /// Returns the second Differential Transformer: a weight for each pair and query, and no norm.
    pub fn differential_v2(positions: Offset, pairing: Pairing) -> Self {
        Self { combination: Combination::DifferentialV2 { pairing }, ..Self::scaled_dot_product(positions) }
    }

    /// Returns this variant with a further change of the rows, after the others.
    #[must_use]
    pub fn row(mut self, change: RowChange) -> Self {
        self.rows.push(change);
        self
    }

    /// Returns this variant with the score `score`.
    #[must_use]
    pub fn score(self, score: Score) -> Self {
        Self { score, ..self }
    }

    /// Returns this variant with the factor `scale` on the scores.
    #[must_use]
    pub fn scale(self, scale: Scale) -> Self {
        Self { scale, ..self }
    }

    /// Returns this variant with the head map `heads`.
    #[must_use]
    pub fn heads(self, heads: HeadMap) -> Self {
        Self { heads, ..self }
    }

    /// Returns this variant with a further change of the logits, after the others.
    #[must_use]
    pub fn logit(mut self, change: LogitChange) -> Self {
        self.logits.push(change);
        self
    }

    /// Returns this variant with a further mask rule.
    #[must_use]
    pub fn mask(mut self, rule: MaskRule) -> Self {
        self.mask.push(rule);
        self
    }

    /// Returns this variant with the normaliser `normaliser`.
    #[must_use]
    pub fn normaliser(self, normaliser: Normaliser) -> Self {
        Self { normaliser, ..self }
    }

    /// Returns this variant with a further change of the pattern, after the others.
    #[must_use]
    pub fn pattern(mut self, change: PatternChange) -> Self {
        self.pattern.push(change);
        self
    }

    /// Returns this variant with the combination `combination`.
    #[must_use]
    pub fn combination(self, combination: Combination) -> Self {
        Self { combination, ..self }
    }

    /// Returns this variant with a further change of the output, after the others.
    #[must_use]
    pub fn output(mut self, change: OutputChange) -> Self {
        self.output.push(change);
        self
    }

    /// Returns the learned arrays that the variant needs, in the order in which it reads them.
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

    /// Returns the tiled attention that computes the heads of this variant, if there is one.
    ///
    /// It exists for a dense softmax over scaled dot products, with or without a sink, without a mask, with a causal mask or with a
    /// window of previous keys. The only allowed change of the logits is a softcap, and the pattern must not be changed. The changes
    /// of rows and outputs and the combination run outside of it, the logits of sinks come from the parameters, and in Differential V1
    /// its head map joins pairs.
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
}

/// The variant with the choices of an attention. The offset of the mask applies to all positions.
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
