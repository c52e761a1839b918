//! Infinite and very large numbers: gates, biases, scores and values at the limits of their types.

use super::cases::plain;
use collimate_attention::algebra::{
    Arguments, LogitChange, MaskRule, Mixing, Normaliser, Parameter, PatternChange, Score, SigmoidBias, Ties,
    Variant,
};
use collimate_attention::linear::{Form, Setting, simple_gla};
use collimate_attention::{Attention, AttentionError, HeadMap, Mask, Offset, Overflow, Precision, Scale};
use collimate_stream::RngStream;
use ndarray::{Array2, Array3, ArrayD, arr1, arr2, array, s};

fn forgetting() -> Variant {
    Variant::scaled_dot_product(Offset::zero()).mask(MaskRule::Causal).logit(LogitChange::Forgetting)
}

/// Returns arguments with equal scores, these values and these log gates.
fn gated<F: Precision>(values: &[F], gates: &[F]) -> Arguments<F> {
    let n = values.len();
    let v = Array3::from_shape_fn((1, n, 1), |(_, j, _)| values[j]);
    let gates = Array2::from_shape_fn((1, n), |(_, j)| gates[j]);
    let ones = Array3::from_elem((1, n, 2), F::one());
    Arguments::new(&ones, &ones, &v).with(Parameter::LogForget, gates)
}

#[test]
fn a_large_gate_hides_no_smaller_one() {
    let half = -std::f32::consts::LN_2;
    // Weights 1, 1/2 and 1/4 for the last three keys, 0 for the first: (1000 + 50 + 2.5) / 1.75.
    let exact = 1052.5 / 1.75;
    for large in [-1e30_f32, -1e38, f32::MIN, f32::NEG_INFINITY] {
        let arguments = gated(&[1.0_f32, 10.0, 100.0, 1000.0], &[0.0, large, half, half]);
        let (out, _) = forgetting().forward(&arguments).unwrap();
        assert!((out[[0, 3, 0]] - exact).abs() < 1e-4, "{large:e}: {}", out[[0, 3, 0]]);
        assert_eq!(out[[0, 0, 0]], 1.0);
        assert_eq!(out[[0, 1, 0]], 10.0);
    }
    let half = -std::f64::consts::LN_2;
    let exact = 1052.5 / 1.75;
    for large in [-1e30_f64, -1e300, f64::MIN, f64::NEG_INFINITY] {
        let gates = [0.0, large, half, half];
        let (out, trace) = forgetting().forward(&gated(&[1.0, 10.0, 100.0, 1000.0], &gates)).unwrap();
        assert!((out[[0, 3, 0]] - exact).abs() < 1e-11, "{large:e}: {}", out[[0, 3, 0]]);
        let gradient = forgetting().backward(&trace, &out).unwrap();
        assert!(gradient.parameters.get(Parameter::LogForget).unwrap().iter().all(|g| g.is_finite()));
        let direction = gated(&[1.0; 4], &[1.0; 4]);
        assert!(forgetting().jvp(&trace, &direction).unwrap().iter().all(|x| x.is_finite()));
    }
    // Gates that add up beyond the least number, and two large gates of which a query sees one.
    let arguments = gated(&[1.0_f32, 10.0, 100.0], &[0.0, f32::MIN, f32::MIN]);
    assert_eq!(forgetting().forward(&arguments).unwrap().0.as_slice().unwrap(), [1.0, 10.0, 100.0]);
}

#[test]
fn a_gate_of_minus_infinity_masks_what_lies_before_it() {
    let mut stream = RngStream::new(5, 0);
    let mut normal = |shape: (usize, usize, usize)| Array3::from_shape_simple_fn(shape, || stream.normal());
    let (q, k, v) = (normal((2, 6, 3)), normal((2, 6, 3)), normal((2, 6, 2)));
    let mut gates = normal((1, 2, 6)).index_axis_move(ndarray::Axis(0), 0).mapv(|g: f64| -g.abs());
    // Head 0 forgets everything at position 3, head 1 at position 5.
    (gates[[0, 3]], gates[[1, 5]]) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    // A change after the gate does not bring the pair back, and neither do rows of NaN.
    for variant in [forgetting(), forgetting().logit(LogitChange::Softcap(2.0))] {
        let arguments = Arguments::new(&q, &k, &v).with(Parameter::LogForget, gates.clone());
        let (out, trace) = variant.forward(&arguments).unwrap();
        for (head, cut) in [(0, 3), (1, 5)] {
            // A sequence that begins at the gate has this output.
            let late = |x: &Array3<f64>| x.slice(s![head..=head, cut.., ..]).to_owned();
            let own = Arguments::new(&late(&q), &late(&k), &late(&v))
                .with(Parameter::LogForget, gates.slice(s![head..=head, cut..]).to_owned());
            let (expected, _) = variant.forward(&own).unwrap();
            let given = out.slice(s![head, cut.., ..]);
            assert!(given.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-14), "head {head}");
            assert!(trace.pattern(head).unwrap().slice(s![cut.., ..cut]).iter().all(|&p| p == 0.0));
        }
        let mut d_out = Array3::zeros(out.dim());
        d_out.slice_mut(s![0, 3.., ..]).fill(1.0);
        let gradient = variant.backward(&trace, &d_out).unwrap();
        for x in [&gradient.k, &gradient.v] {
            assert!(x.slice(s![0, ..3, ..]).iter().all(|&g| g == 0.0) && x.iter().all(|g| g.is_finite()));
        }
        let mut poisoned = arguments.clone();
        poisoned.k.slice_mut(s![0, ..3, ..]).fill(f64::NAN);
        poisoned.v.slice_mut(s![0, ..3, ..]).fill(f64::NAN);
        let (after, _) = variant.forward(&poisoned).unwrap();
        assert_eq!(after.slice(s![0, 3.., ..]), out.slice(s![0, 3.., ..]));
    }
    // Talking heads need one mask for all heads.
    let mixed = forgetting().logit(LogitChange::MixHeads(Mixing::Replace));
    let arguments = Arguments::new(&q, &k, &v)
        .with(Parameter::LogForget, gates.clone())
        .with(Parameter::MixLogits, Array2::eye(2));
    assert!(mixed.forward(&arguments).unwrap_err().to_string().contains("use one mask for all heads"));
}

#[test]
fn gates_are_those_of_gated_linear_attention() {
    // With equal scores both are weighted means, with the products of the gates as weights.
    let values = [3.0, -1.0, 0.5, 7.0, 2.0];
    let gates = [-0.3, f64::NEG_INFINITY, -1e200, -0.1, -2.0];
    let (out, _) = forgetting().forward(&gated(&values, &gates)).unwrap();
    let one = Array3::<f64>::ones((1, 5, 1));
    let both = Array3::from_shape_fn((1, 5, 2), |(_, t, c)| if c == 0 { values[t] } else { 1.0 });
    let setting = Setting { scale: Scale::Fixed(1.0), heads: HeadMap::MultiHead, form: Form::Recurrent };
    let pass = simple_gla(&setting, &one, &one, &both, &arr2(&[gates]), None).unwrap();
    for t in 0..5 {
        let expected = pass.out[[0, t, 0]] / pass.out[[0, t, 1]];
        assert!((out[[0, t, 0]] - expected).abs() < 1e-14, "{t}: {} for {expected}", out[[0, t, 0]]);
    }
}

fn normalisers() -> Vec<Normaliser> {
    vec![
        Normaliser::Softmax,
        Normaliser::SoftmaxPlusOne,
        Normaliser::Sigmoid(SigmoidBias::Fixed(0.0)),
        Normaliser::Sparsemax,
        Normaliser::Entmax15,
        Normaliser::TopK { k: 2, ties: Ties::KeepAll },
        Normaliser::TopK { k: 9, ties: Ties::KeepFirst },
        Normaliser::SignedSoftmax,
    ]
}

#[test]
fn an_infinite_logit_gives_a_row_of_nan_and_no_panic() {
    let ones = Array3::<f64>::ones((1, 2, 2));
    let keys = Array3::<f64>::ones((1, 3, 2));
    let values = array![[[1.0], [2.0], [4.0]]];
    for normaliser in normalisers() {
        let variant = plain().logit(LogitChange::Bias).normaliser(normaliser);
        let with = |bias: [f64; 3]| {
            let bias = Array3::from_shape_fn((1, 2, 3), |(_, i, j)| if i == 0 { bias[j] } else { 0.0 });
            let arguments = Arguments::new(&ones, &keys, &values).with(Parameter::Bias, bias);
            variant.forward(&arguments).map(|(out, trace)| (out, trace.pattern(0).unwrap()))
        };
        for bias in [[0.0, f64::INFINITY, 0.0], [f64::INFINITY; 3], [f64::NAN, f64::INFINITY, 0.0]] {
            let (out, pattern) = with(bias).unwrap();
            let bounded = matches!(normaliser, Normaliser::Sigmoid(_)) && !bias[0].is_nan();
            assert!(pattern.row(0).iter().all(|p| p.is_nan() != bounded), "{normaliser:?}: {pattern}");
            assert_eq!(out[[0, 0, 0]].is_nan(), !bounded, "{normaliser:?}");
            // No other row is touched.
            assert!(out[[0, 1, 0]].is_finite() && pattern.row(1).iter().all(|p| p.is_finite()));
        }
        // A bias of −∞ masks, also for all keys.
        let (out, _) = with([f64::NEG_INFINITY; 3]).unwrap();
        assert_eq!(out[[0, 0, 0]], 0.0, "{normaliser:?}");
        // A query of −∞ has only scores of −∞ or NaN, which is no panic either.
        let mut q = ones.clone();
        q[[0, 0, 0]] = f64::NEG_INFINITY;
        let arguments = Arguments::new(&q, &keys, &values);
        let (out, _) = plain().normaliser(normaliser).forward(&arguments).unwrap();
        assert!(out[[0, 1, 0]].is_finite(), "{normaliser:?}");
    }
}

/// Returns both computations of a variant: the output, or the error.
fn both<F: Precision>(variant: &Variant, arguments: &Arguments<F>) -> [Result<Array3<F>, AttentionError>; 2] {
    [variant.forward(arguments), variant.forward_plain(arguments)].map(|x| x.map(|(out, _)| out))
}

#[test]
fn a_score_that_overflows_downwards_is_no_error_beside_another() {
    let arguments =
        Arguments::new(&array![[[1e30_f32]]], &array![[[-1e30_f32], [0.0]]], &array![[[1.0_f32], [2.0]]]);
    for out in both(&plain(), &arguments) {
        assert_eq!(out.unwrap()[[0, 0, 0]], 2.0);
    }
    // Every other normaliser gives the key no weight either, except the one that takes absolute values.
    for normaliser in normalisers() {
        let given = plain().normaliser(normaliser).forward(&arguments);
        if normaliser == Normaliser::SignedSoftmax {
            assert_eq!(given.unwrap_err(), Overflow::Score { head: 0, query: 0, key: 0 }.into());
        } else {
            let (_, trace) = given.unwrap();
            assert_eq!(trace.pattern(0).unwrap()[[0, 0]], 0.0, "{normaliser:?}");
        }
    }
    // Without another score it is an error, unless a sink takes the weight.
    let alone = Arguments::new(&array![[[1e30_f32]]], &array![[[-1e30_f32]]], &array![[[1.0_f32]]]);
    for out in both(&plain(), &alone) {
        assert_eq!(out.unwrap_err(), Overflow::Score { head: 0, query: 0, key: 0 }.into());
    }
    for out in both(&plain().normaliser(Normaliser::SoftmaxPlusOne), &alone) {
        assert_eq!(out.unwrap()[[0, 0, 0]], 0.0);
    }
}

#[test]
fn both_computations_accept_and_refuse_the_same_numbers() {
    let mut stream = RngStream::new(11, 0);
    let sizes = [0.0_f32, 1.0, -1.0, 1e19, -1e19, 2e19, 1e30, -1e30, 2.5e38, -2.5e38, 3e38, -3e38];
    let values = [0.0_f32, 1.0, -1.0, f32::MAX, f32::MIN, 3e38, 1e38, f32::NAN, f32::INFINITY];
    let causal = || Variant::scaled_dot_product(Offset::keys_minus_queries()).mask(MaskRule::Causal);
    let variants = [
        plain(),
        causal(),
        plain().normaliser(Normaliser::SoftmaxPlusOne),
        causal().normaliser(Normaliser::LearnedSink),
        plain().logit(LogitChange::Softcap(20.0)),
        plain().scale(Scale::Fixed(0.25)),
        plain().scale(Scale::Fixed(4.0)),
    ];
    let (mut accepted, mut refused) = (0, 0);
    for round in 0..600 {
        let variant = &variants[round % variants.len()];
        let (t, n) = (1 + stream.below(3), 1 + stream.below(5));
        // Rows of width 1: the order of a sum has no say in whether it overflows.
        let mut draw = |rows: usize, from: &[f32]| {
            Array3::from_shape_simple_fn((1, rows, 1), || from[stream.below(from.len())])
        };
        let (q, k) = (draw(t, &sizes), draw(n, &sizes));
        let finite = if round % 3 == 0 { &values[..] } else { &values[..4] };
        let mut arguments = Arguments::new(&q, &k, &draw(n, finite));
        if variant.parameters().contains(&Parameter::Sink) {
            arguments = arguments.with(Parameter::Sink, arr1(&[0.5_f32]));
        }
        let [tiled, plain] = both(variant, &arguments);
        match (&tiled, &plain) {
            (Ok(a), Ok(b)) => {
                accepted += 1;
                let infinite = arguments.v.iter().any(|x| !x.is_finite());
                for (a, b) in a.iter().zip(b) {
                    // NaN or an infinity of a value reaches both, each by its own order of sums.
                    let close = a == b
                        || infinite && !a.is_finite() && !b.is_finite()
                        || (a - b).abs() <= 1e-5 * b.abs().max(1.0);
                    assert!(close, "{variant:?} {arguments:?}: {a} and {b}");
                }
            }
            (Err(a), Err(b)) => {
                refused += 1;
                assert_eq!(a, b, "{variant:?} {arguments:?}");
            }
            _ => panic!("{variant:?} {arguments:?}: {tiled:?} and {plain:?}"),
        }
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_scaled_score_in_range_is_computed_although_the_unscaled_sum_overflows() {
    // Four products of 10³⁸ add up to more than an f32 holds, half of that does not.
    let q = Array3::from_elem((1, 1, 4), 1e19_f32);
    let k = array![[[1e19_f32, 1e19, 1e19, 1e19], [0.0, 0.0, 0.0, 0.0]]];
    for out in both(&plain(), &Arguments::new(&q, &k, &array![[[1.0_f32], [2.0]]])) {
        assert_eq!(out.unwrap()[[0, 0, 0]], 1.0);
    }
}

#[test]
fn outputs_that_overflow_name_their_query() {
    // A pattern that is scaled after the normaliser, and values that only their sum makes infinite.
    let ones = Array3::<f32>::ones((1, 3, 2));
    let large = Array3::from_elem((1, 3, 1), 1e38_f32);
    let scaled = plain().pattern(PatternChange::Scale(1e3));
    let error = scaled.forward(&Arguments::new(&ones, &ones, &large)).unwrap_err();
    assert_eq!(error, Overflow::Output { head: 0, query: 0 }.into());
    let sigmoid = plain().normaliser(Normaliser::Sigmoid(SigmoidBias::Fixed(9.0)));
    let more = Array3::from_elem((1, 3, 1), 2e38_f32);
    let error = sigmoid.forward(&Arguments::new(&ones, &ones, &more)).unwrap_err();
    assert_eq!(error, Overflow::Output { head: 0, query: 0 }.into());
    // An infinite value is no overflow: it reaches the queries that attend to it.
    let mut infinite = large.clone();
    infinite[[0, 1, 0]] = f32::INFINITY;
    let (out, _) = sigmoid.forward(&Arguments::new(&ones, &ones, &infinite)).unwrap();
    assert_eq!(out[[0, 0, 0]], f32::INFINITY);
}

#[test]
fn arrays_without_numbers_have_gradients_without_numbers() {
    let normal = |shape: (usize, usize, usize), stream: &mut RngStream| {
        Array3::<f32>::from_shape_simple_fn(shape, || stream.normal() as f32)
    };
    let stream = &mut RngStream::new(3, 0);
    let causal = || Variant::scaled_dot_product(Offset::zero()).mask(MaskRule::Causal);
    let fixed = Scale::Fixed(1.0);
    for (heads, t, n, d, e) in [
        (2, 5, 5, 3, 0),
        (2, 70, 130, 16, 0),
        (2, 1, 200, 16, 0),
        (2, 5, 5, 0, 3),
        (2, 5, 5, 0, 0),
        (2, 0, 5, 3, 4),
        (2, 5, 0, 3, 4),
        (2, 0, 0, 3, 0),
        (0, 5, 5, 3, 4),
    ] {
        let what = format!("{heads} heads, {t} queries, {n} keys, widths {d} and {e}");
        let (q, k, v) =
            (normal((heads, t, d), stream), normal((heads, n, d), stream), normal((heads, n, e), stream));
        for attention in [
            Attention::scaled_dot_product().scale(fixed),
            Attention::scaled_dot_product().scale(fixed).mask(Mask::causal(Offset::zero())),
            Attention::scaled_dot_product().scale(fixed).softcap(5.0),
        ] {
            let (out, saved) = attention.forward(&q, &k, &v).unwrap();
            let gradients = attention.backward(&saved, &out).unwrap();
            assert_eq!(gradients.q.dim(), q.dim(), "{what}");
            assert_eq!((gradients.k.dim(), gradients.v.dim()), (k.dim(), v.dim()), "{what}");
            assert!(gradients.q.iter().chain(&gradients.k).chain(&gradients.v).all(|g| g.is_finite()));
            if e == 0 {
                assert!(gradients.q.iter().chain(&gradients.k).all(|&g| g == 0.0), "{what}");
            }
            assert_eq!(attention.jvp(&saved, &q, &k, &v).unwrap().dim(), (heads, t, e), "{what}");
        }
        for variant in [
            plain().scale(fixed),
            causal().scale(fixed).normaliser(Normaliser::LearnedSink),
            plain().scale(fixed).normaliser(Normaliser::Sparsemax),
            plain().scale(fixed).score(Score::NegativeEuclidean),
            causal().scale(fixed).logit(LogitChange::Forgetting),
        ] {
            if variant.logits.contains(&LogitChange::Forgetting) && t > n {
                continue; // There is no gate for these queries.
            }
            let mut arguments = Arguments::new(&q, &k, &v);
            for (name, shape) in variant.parameter_shapes(&q, &k, &v).unwrap() {
                arguments.parameters.insert(name, ArrayD::zeros(shape));
            }
            let (out, trace) = variant.forward(&arguments).unwrap();
            let gradient = variant.backward(&trace, &out).unwrap();
            assert_eq!((gradient.q.dim(), gradient.v.dim()), (q.dim(), v.dim()), "{what}: {variant:?}");
            assert_eq!(variant.jvp(&trace, &arguments).unwrap().dim(), (heads, t, e), "{what}: {variant:?}");
            assert_eq!(variant.forward_plain(&arguments).unwrap().0.dim(), out.dim());
        }
    }
}

#[test]
fn offsets_that_no_position_can_have_are_refused() {
    let ones = Array3::<f64>::ones((1, 2, 2));
    let arguments = Arguments::new(&ones, &ones, &ones);
    for offset in [isize::MAX, isize::MIN, (1 << 52) + 1] {
        let offset = Offset::fixed(offset);
        for mask in [Mask::causal(offset), Mask::window(offset, 1)] {
            let error = Attention::scaled_dot_product().mask(mask).forward(&ones, &ones, &ones).unwrap_err();
            assert!(error.to_string().contains("the offset of the queries must be between"), "{error}");
        }
        let error = Variant::scaled_dot_product(offset).forward(&arguments).unwrap_err();
        assert!(error.to_string().contains("the offset of the queries"), "{error}");
        // The keys of a mask are right for any number.
        let keys = if offset.value(2, 2) > 0 { 0..2 } else { 0..0 };
        assert_eq!(Mask::causal(offset).keys(1, 2, 2), keys);
        assert!(Mask::window(offset, 1).keys(1, 2, 2).is_empty());
    }
    let far = Attention::scaled_dot_product().mask(Mask::causal(Offset::fixed(1 << 52)));
    assert_eq!(far.forward(&ones, &ones, &ones).unwrap().0, ones);
}
