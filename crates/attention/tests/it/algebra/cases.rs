//! Variants to test: each choice alone, and random compositions.

use collimate_attention::algebra::{
    Arguments, Buckets, Combination, Direction, Distance, Gain, GateForm, LogitChange, MaskRule, Mixing,
    NormOver, Normaliser, OutputChange, PairKeys, Pairing, Parameter, PatternChange, Polarity, RowChange,
    Score, SigmoidBias, Slopes, Ties, Variant, Window,
};
use collimate_attention::{HeadMap, Offset, Rotary, Scale};
use collimate_stream::RngStream;
use ndarray::{Array3, ArrayD};

/// The sizes of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) key_heads: usize,
    pub(crate) group: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) width: usize,
    pub(crate) value_width: usize,
}

impl Shape {
    /// Lengths of 1, odd lengths and widths, more queries than keys. Rotations take two dimensions.
    pub(crate) fn random(stream: &mut RngStream) -> Self {
        let mut between = |low: usize, high: usize| low + stream.below(high - low + 1);
        Self {
            key_heads: between(1, 2),
            group: between(1, 3),
            queries: between(1, 7),
            keys: between(1, 7),
            width: between(2, 6),
            value_width: between(1, 4),
        }
    }

    /// Returns the numbers of query heads, key heads and value heads: twice the query heads if heads are subtracted.
    fn heads(&self, combination: &Combination) -> (usize, usize, usize) {
        let (g, h) = (self.key_heads, self.key_heads * self.group);
        match combination {
            Combination::DifferentialV1 { .. } => (2 * h, 2 * g, g),
            Combination::DifferentialV2 { .. } => (2 * h, g, g),
            _ => (h, g, g),
        }
    }

    /// Returns arguments for a variant, and the variant with a head map that fits.
    pub(crate) fn fit(
        &self,
        variant: Variant,
        magnitude: f64,
        stream: &mut RngStream,
    ) -> (Variant, Arguments<f64>) {
        let (h, g, value_heads) = self.heads(&variant.combination);
        let modulo = stream.bernoulli(0.3);
        let heads = match variant.combination {
            Combination::DifferentialV1 { .. } if modulo => HeadMap::grouped_by_modulo(h / 2, g / 2),
            Combination::DifferentialV1 { .. } => HeadMap::grouped_by_floor(h / 2, g / 2),
            // Neighbours are in one group by floor, halves by modulo.
            Combination::DifferentialV2 { pairing: Pairing::Halves } => HeadMap::grouped_by_modulo(h, g),
            Combination::DifferentialV2 { .. } => HeadMap::grouped_by_floor(h, g),
            _ if modulo => HeadMap::grouped_by_modulo(h, g),
            _ => HeadMap::grouped_by_floor(h, g),
        };
        let variant = variant.heads(heads);
        let mut normal = |shape, size: f64| Array3::from_shape_simple_fn(shape, || size * stream.normal());
        let mut arguments = Arguments::new(
            &normal((h, self.queries, self.width), magnitude),
            &normal((g, self.keys, self.width), magnitude),
            &normal((value_heads, self.keys, self.value_width), 1.0),
        );
        for (name, shape) in variant.parameter_shapes(&arguments.q, &arguments.k, &arguments.v).unwrap() {
            let array = ArrayD::from_shape_simple_fn(shape, || 0.6 * stream.normal());
            arguments.parameters.insert(
                name,
                match name {
                    Parameter::LogForget => array.mapv(|x: f64| -x.abs()),
                    Parameter::Temperature => array.mapv(|x| 1.0 + 0.5 * x),
                    _ => array,
                },
            );
        }
        (variant, arguments)
    }
}

pub(crate) fn plain() -> Variant {
    Variant::scaled_dot_product(Offset::keys_minus_queries())
}

fn rms(over: NormOver, gain: Gain) -> RowChange {
    RowChange::Rms { over, epsilon: 1e-2, gain }
}

pub(crate) fn row_changes() -> Vec<Vec<RowChange>> {
    let (interleaved, half) = (Rotary::interleaved(2, 50.0), Rotary::half_split(2, 50.0));
    vec![
        vec![rms(NormOver::Head, Gain::Learned)],
        vec![rms(NormOver::Head, Gain::None), RowChange::Rotary(half)],
        vec![RowChange::Rotary(interleaved), rms(NormOver::Head, Gain::Learned)],
        vec![rms(NormOver::Projection, Gain::Learned), RowChange::Rotary(interleaved)],
        vec![RowChange::Unit { epsilon: 1e-3 }],
        vec![RowChange::Rotary(half)],
    ]
}

pub(crate) fn logit_changes() -> Vec<LogitChange> {
    let buckets = |direction| LogitChange::Buckets(Buckets { count: 6, farthest: 5, direction });
    vec![
        LogitChange::Softcap(1.5),
        LogitChange::Bias,
        LogitChange::Temperature,
        LogitChange::Alibi(Slopes::Geometric, Distance::Signed),
        LogitChange::Alibi(Slopes::NextPowerOfTwo, Distance::Absolute),
        LogitChange::Alibi(Slopes::Learned, Distance::Signed),
        LogitChange::Alibi(Slopes::Learned, Distance::Absolute),
        buckets(Direction::Causal),
        buckets(Direction::Bidirectional),
        LogitChange::Forgetting,
        LogitChange::Selective { head: 0 },
        LogitChange::MixHeads(Mixing::Replace),
        LogitChange::MixHeads(Mixing::Add),
    ]
}

/// Rules for a shape; the last differ between heads.
pub(crate) fn rules(shape: &Shape, heads: usize, stream: &mut RngStream) -> Vec<MaskRule> {
    let (t, s) = (shape.queries, shape.keys);
    let mut bools =
        |shape: (usize, usize, usize)| Array3::from_shape_simple_fn(shape, || stream.bernoulli(0.6));
    let (blocks, one_row, pairs) =
        (bools((1, t.div_ceil(2), s.div_ceil(3))), bools((1, 1, s)), bools((heads, t, s)));
    let head_blocks = bools((heads, t.div_ceil(3), s.div_ceil(2)));
    let mut documents = |n: usize| (0..n).map(|_| stream.below(2) as u32).collect();
    vec![
        MaskRule::Causal,
        MaskRule::Window(Window::previous(1)),
        MaskRule::Window(Window { back: Some(1), ahead: Some(2) }),
        MaskRule::Window(Window { back: None, ahead: Some(1) }),
        MaskRule::Prefix { length: 2 },
        MaskRule::Documents { queries: documents(t), keys: documents(s) },
        MaskRule::Blocks { queries: 2, keys: 3, attends: blocks },
        MaskRule::Pairs { pairs: one_row, polarity: Polarity::TrueAttends },
        MaskRule::Pairs { pairs, polarity: Polarity::TrueIsMasked },
        MaskRule::Blocks { queries: 3, keys: 2, attends: head_blocks },
    ]
}

pub(crate) fn normalisers() -> Vec<Normaliser> {
    vec![
        Normaliser::Softmax,
        Normaliser::SoftmaxPlusOne,
        Normaliser::LearnedSink,
        Normaliser::Sigmoid(SigmoidBias::MinusLogKeys),
        Normaliser::Sigmoid(SigmoidBias::Fixed(-0.7)),
        Normaliser::Sigmoid(SigmoidBias::Learned),
        Normaliser::Sparsemax,
        Normaliser::Entmax15,
        Normaliser::TopK { k: 2, ties: Ties::KeepAll },
        Normaliser::TopK { k: 3, ties: Ties::KeepFirst },
        Normaliser::SignedSoftmax,
    ]
}

pub(crate) fn pattern_changes() -> Vec<PatternChange> {
    vec![
        PatternChange::MixHeads(Mixing::Replace),
        PatternChange::MixHeads(Mixing::Add),
        PatternChange::Scale(0.4),
    ]
}

pub(crate) fn combinations() -> Vec<Combination> {
    let v1 = |pairing, keys| Combination::DifferentialV1 { pairing, keys, lambda_init: 0.3 };
    vec![
        Combination::Plain,
        v1(Pairing::Neighbours, PairKeys::Paired),
        v1(Pairing::Halves, PairKeys::Paired),
        v1(Pairing::Neighbours, PairKeys::Repeated),
        v1(Pairing::Halves, PairKeys::Repeated),
        Combination::DifferentialV2 { pairing: Pairing::Neighbours },
        Combination::DifferentialV2 { pairing: Pairing::Halves },
    ]
}

pub(crate) fn output_changes() -> Vec<OutputChange> {
    vec![
        OutputChange::HeadNorm { epsilon: 1e-2, gain: Gain::Learned },
        OutputChange::HeadNorm { epsilon: 1e-2, gain: Gain::None },
        OutputChange::Scale(0.3),
        OutputChange::Gate(GateForm::Elementwise),
        OutputChange::Gate(GateForm::Headwise),
    ]
}

pub(crate) fn scores() -> Vec<Score> {
    vec![
        Score::DotProduct,
        Score::NegativeManhattan,
        Score::NegativeEuclidean,
        Score::NegativeSquaredEuclidean,
    ]
}

/// Returns variants with one special choice each.
pub(crate) fn single_choices(shape: &Shape, stream: &mut RngStream) -> Vec<Variant> {
    let causal = || plain().mask(MaskRule::Causal);
    let mut all: Vec<Variant> = vec![plain(), causal(), Variant::cosine(Offset::zero(), 1e-3)];
    all.extend(row_changes().into_iter().map(|changes| changes.into_iter().fold(plain(), Variant::row)));
    all.extend(scores().into_iter().map(|score| plain().score(score).scale(Scale::Fixed(0.8))));
    all.extend(logit_changes().into_iter().map(|change| causal().logit(change)));
    all.extend(normalisers().into_iter().map(|normaliser| plain().normaliser(normaliser)));
    all.extend(pattern_changes().into_iter().map(|change| plain().pattern(change)));
    all.extend(combinations().into_iter().map(|combination| causal().combination(combination)));
    all.extend(output_changes().into_iter().map(|change| plain().output(change)));
    let heads = shape.key_heads * shape.group;
    all.extend(rules(shape, heads, stream).into_iter().map(|rule| plain().mask(rule)));
    let repeated =
        |pairing| Variant::differential_v1(Offset::zero(), pairing, PairKeys::Paired, 2, Gain::Learned);
    all.extend([repeated(Pairing::Neighbours), repeated(Pairing::Halves)]);
    all
}

/// Draws a random composition. Returns `None` if it has no meaning.
pub(crate) fn composition(shape: &Shape, stream: &mut RngStream) -> Option<Variant> {
    fn one<T: Clone>(from: &[T], stream: &mut RngStream) -> T {
        from[stream.below(from.len())].clone()
    }
    let offsets = [Offset::zero(), Offset::keys_minus_queries(), Offset::fixed(-2), Offset::fixed(1)];
    let mut variant =
        Variant::scaled_dot_product(one(&offsets, stream)).combination(one(&combinations(), stream));
    if stream.bernoulli(0.6) {
        variant.rows = one(&row_changes(), stream);
    }
    if stream.bernoulli(0.3) {
        variant = variant.score(one(&scores(), stream));
    }
    let heads = shape.heads(&variant.combination).0;
    for _ in 0..stream.below(3) {
        let rule = one(&rules(shape, heads, stream), stream);
        variant = variant.mask(rule);
    }
    for _ in 0..stream.below(4) {
        variant = variant.logit(one(&logit_changes(), stream));
    }
    variant = variant.normaliser(one(&normalisers(), stream));
    for _ in 0..stream.below(2) {
        variant = variant.pattern(one(&pattern_changes(), stream));
    }
    for _ in 0..stream.below(3) {
        variant = variant.output(one(&output_changes(), stream));
    }
    let (fitted, arguments) = shape.fit_or_refuse(&variant, stream)?;
    fitted.forward(&arguments).is_ok().then_some(variant)
}

impl Shape {
    fn fit_or_refuse(&self, variant: &Variant, stream: &mut RngStream) -> Option<(Variant, Arguments<f64>)> {
        // The choices are checked before the parameters, so an empty set of parameters is enough here.
        let (h, g, values) = self.heads(&variant.combination);
        let zeros = |heads, rows, width| Array3::<f64>::zeros((heads, rows, width));
        let (q, k) = (zeros(h, self.queries, self.width), zeros(g, self.keys, self.width));
        let map = match variant.combination {
            Combination::DifferentialV1 { .. } => HeadMap::grouped_by_floor(h / 2, g / 2),
            Combination::DifferentialV2 { pairing: Pairing::Halves } => HeadMap::grouped_by_modulo(h, g),
            _ => HeadMap::grouped_by_floor(h, g),
        };
        let asked =
            variant.clone().heads(map).parameter_shapes(&q, &k, &zeros(values, self.keys, self.value_width));
        asked.is_ok().then(|| self.fit(variant.clone(), 1.0, stream))
    }
}
