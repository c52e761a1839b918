use super::cases::plain;
use collimate_attention::algebra::{
    Arguments, Buckets, Combination, Direction, Distance, Gain, LogitChange, MaskRule, Mixing, NormOver,
    Normaliser, PairKeys, Pairing, Parameter, Polarity, RowChange, Score, Slopes, Ties, Variant, Window,
};
use collimate_attention::{HeadMap, Offset, Rotary, RotaryScaling};
use ndarray::{Array1, Array2, Array3, ArrayD, arr1};

fn ones(h: usize, t: usize, d: usize) -> Array3<f64> {
    Array3::ones((h, t, d))
}

fn arguments() -> Arguments<f64> {
    Arguments::new(&ones(2, 3, 4), &ones(2, 5, 4), &ones(2, 5, 3))
}

fn message(variant: &Variant, arguments: &Arguments<f64>) -> String {
    variant.forward(arguments).unwrap_err().to_string()
}

#[test]
fn shapes_are_named_with_what_was_expected() {
    let mut wrong = arguments();
    wrong.k = ones(2, 5, 3);
    assert_eq!(message(&plain(), &wrong), "k must have the shape [2, 5, 4] [g, s, d], but has [2, 5, 3]");
    let mut wrong = arguments();
    wrong.v = ones(1, 5, 3);
    assert_eq!(message(&plain(), &wrong), "v must have the shape [2, 5, 3] [g, s, e], but has [1, 5, 3]");
    let sink = plain().normaliser(Normaliser::LearnedSink);
    assert_eq!(message(&sink, &arguments()), "the parameter Sink is needed, but missing");
    let given = arguments().with(Parameter::Sink, arr1(&[0.0, 0.0, 0.0]));
    assert_eq!(message(&sink, &given), "Sink must have the shape [2] [h], but has [3]");
    assert_eq!(
        message(&plain(), &given),
        "the parameter Sink was given, but nothing in the variant reads it"
    );
    let bias = arguments().with(Parameter::Bias, Array3::zeros((2, 2, 5)));
    assert_eq!(
        message(&plain().logit(LogitChange::Bias), &bias),
        "Bias must have the shape [2, 3, 5] [h, t, s], each axis full or 1, but has [2, 2, 5]"
    );
    let bias = arguments().with(Parameter::Bias, Array2::zeros((3, 5)));
    assert!(message(&plain().logit(LogitChange::Bias), &bias).contains("but has [3, 5]"));
    let twice = plain().logit(LogitChange::Bias).logit(LogitChange::Bias);
    assert!(message(&twice, &arguments()).contains("Bias is needed twice"));
    let (_, trace) = plain().forward(&arguments()).unwrap();
    assert!(plain().backward(&trace, &ones(2, 3, 4)).unwrap_err().to_string().starts_with("d_out must"));
    let direction = Arguments::new(&ones(2, 3, 4), &ones(2, 5, 4), &ones(2, 5, 4));
    assert!(plain().jvp(&trace, &direction).unwrap_err().to_string().contains("the direction of v"));
}

#[test]
fn lambda_partners_have_one_length() {
    let v1 = Variant::differential_v1(Offset::zero(), Pairing::Neighbours, PairKeys::Paired, 0, Gain::None);
    let mut x = Arguments::new(&ones(2, 3, 4), &ones(2, 5, 4), &ones(1, 5, 3));
    for (name, n) in [
        (Parameter::LambdaQuery1, 7),
        (Parameter::LambdaKey1, 7),
        (Parameter::LambdaQuery2, 2),
        (Parameter::LambdaKey2, 3),
    ] {
        x = x.with(name, Array1::zeros(n));
    }
    assert_eq!(
        message(&v1, &x),
        "LambdaKey2 must have the shape [2] (the length of its partner), but has [3]"
    );
    assert!(v1.forward(&x.with(Parameter::LambdaKey2, Array1::zeros(2))).is_ok());
}

#[test]
fn masks_that_do_not_fit_are_refused() {
    let rank = MaskRule::pairs(&ArrayD::from_elem(vec![1, 1, 3, 5], true), Polarity::TrueAttends);
    assert_eq!(
        rank.unwrap_err().to_string(),
        "a mask of pairs must have the rank 1 [s], 2 [t, s] or 3 [h, t, s], but has the shape [1, 1, 3, 5]"
    );
    let pairs = MaskRule::pairs(&ArrayD::from_elem(vec![5, 3], true), Polarity::TrueAttends).unwrap();
    assert!(
        message(&plain().mask(pairs), &arguments())
            .starts_with("the mask of pairs must have the shape [2, 3, 5]")
    );
    let documents = MaskRule::Documents { queries: vec![0; 3], keys: vec![0; 3] };
    assert!(message(&plain().mask(documents), &arguments()).starts_with("the documents of the keys"));
    let blocks =
        |side, shape| MaskRule::Blocks { queries: side, keys: 2, attends: Array3::from_elem(shape, true) };
    assert!(message(&plain().mask(blocks(2, (1, 2, 2))), &arguments()).starts_with("the mask blocks"));
    assert!(message(&plain().mask(blocks(0, (1, 2, 3))), &arguments()).contains("at least 1"));
    assert!(plain().mask(blocks(2, (1, 2, 3))).forward(&arguments()).is_ok());
    assert!(Window::including_self(0).is_err());
    assert!(
        Window::from_signed(0, -2)
            .unwrap_err()
            .to_string()
            .contains("the right window must be −1 (unbounded)")
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    for cap in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(
            message(&plain().logit(LogitChange::Softcap(cap)), &arguments()).contains("the softcap must be")
        );
    }
    let top = plain().normaliser(Normaliser::TopK { k: 0, ties: Ties::KeepAll });
    assert!(message(&top, &arguments()).contains("k of top-k"));
    assert!(message(&plain().row(RowChange::Unit { epsilon: 0.0 }), &arguments()).contains("epsilon"));
    for (count, farthest) in [(1, 9), (8, 4), (0, 3)] {
        let buckets = Buckets { count, farthest, direction: Direction::Causal };
        assert!(plain().logit(LogitChange::Buckets(buckets)).forward(&arguments()).is_err());
    }
    let selective = plain().logit(LogitChange::Selective { head: 2 });
    assert!(message(&selective, &arguments()).contains("selecting head 2 does not exist: there are 2"));
    let yarn = Rotary::half_split(4, 100.0).scaling(RotaryScaling::Linear { factor: 0.0 });
    assert!(message(&plain().row(RowChange::Rotary(yarn)), &arguments()).contains("the rotary factor"));
    let heads = plain().heads(HeadMap::grouped_by_floor(3, 2));
    assert!(message(&heads, &arguments()).contains("must divide"));
}

#[test]
fn compositions_without_meaning_say_why() {
    let forget = plain().logit(LogitChange::Forgetting);
    let gates = arguments().with(Parameter::LogForget, Array2::zeros((2, 5)));
    assert!(message(&forget, &gates).contains("add MaskRule::Causal"));
    assert!(forget.clone().mask(MaskRule::Causal).forward(&gates).is_ok());
    assert!(forget.clone().mask(MaskRule::Window(Window::previous(2))).forward(&gates).is_ok());
    let mut late = forget.mask(MaskRule::Causal);
    late.positions = Offset::fixed(3);
    assert!(message(&late, &gates).contains("behind the last key"));

    let one_head = MaskRule::Pairs {
        pairs: Array3::from_shape_fn((2, 1, 5), |(h, _, j)| h == 0 || j < 3),
        polarity: Polarity::TrueAttends,
    };
    let mix = arguments().with(Parameter::MixLogits, Array2::eye(2));
    let talking = plain().logit(LogitChange::MixHeads(Mixing::Replace));
    assert!(message(&talking.clone().mask(one_head), &mix).contains("use one mask for all heads"));
    // A bias with −∞ has this effect too, which depends on its numbers.
    let mut bias = Array3::zeros((2, 3, 5));
    let both = talking.logit(LogitChange::Bias);
    assert!(both.forward(&mix.clone().with(Parameter::Bias, bias.clone())).is_ok());
    bias[[1, 0, 2]] = f64::NEG_INFINITY;
    assert!(message(&both, &mix.with(Parameter::Bias, bias)).contains("use one mask for all heads"));

    let turned = plain().row(RowChange::Rotary(Rotary::interleaved(4, 100.0)));
    let message_of = |variant: Variant| message(&variant, &arguments());
    assert!(message_of(turned.clone().score(Score::NegativeManhattan)).contains("absolute positions"));
    assert!(turned.clone().score(Score::NegativeEuclidean).forward(&arguments()).is_ok());
    assert!(
        message_of(turned.row(RowChange::Rotary(Rotary::interleaved(4, 100.0)))).contains("turned twice")
    );

    let x = Arguments::new(&ones(4, 3, 4), &ones(2, 5, 4), &ones(2, 5, 3));
    let halves =
        Variant::differential_v2(Offset::zero(), Pairing::Halves).heads(HeadMap::grouped_by_floor(4, 2));
    let reason = "the two heads of a pair must read the same key head";
    let logits = Array2::zeros((2, 3));
    assert!(message(&halves, &x.clone().with(Parameter::LambdaLogit, logits.clone())).contains(reason));
    let neighbours = Variant::differential_v2(Offset::zero(), Pairing::Neighbours);
    let neighbours = neighbours.heads(HeadMap::grouped_by_floor(4, 2));
    assert!(neighbours.forward(&x.with(Parameter::LambdaLogit, logits)).is_ok());
    let odd = Arguments::new(&ones(3, 3, 4), &ones(3, 5, 4), &ones(3, 5, 3));
    assert!(
        message(&Variant::differential_v2(Offset::zero(), Pairing::Neighbours), &odd)
            .contains("must be even")
    );
    let v1 =
        Combination::DifferentialV1 { pairing: Pairing::Halves, keys: PairKeys::Paired, lambda_init: 0.2 };
    assert!(message(&plain().combination(v1), &odd).contains("must be even"));
    let norm = RowChange::Rms { over: NormOver::Head, epsilon: 1e-5, gain: Gain::Learned };
    assert!(message_of(plain().row(norm).row(norm)).contains("QueryGain is needed twice"));
}

#[test]
fn finite_rows_never_give_nan() {
    let huge = |x: f64| Arguments::new(&(ones(1, 2, 4) * x), &(ones(1, 3, 4) * x), &ones(1, 3, 2));
    let overflow = plain().logit(LogitChange::Alibi(Slopes::Geometric, Distance::Signed));
    assert_eq!(
        message(&overflow, &huge(1e200)),
        "the score of query 0 and key 0 of head 0 overflows: the rows are finite, but too large for their type"
    );
    // Norms and distances of huge rows do not overflow in intermediate results.
    let cosine = plain().row(RowChange::Unit { epsilon: 1e-9 }).normaliser(Normaliser::Sparsemax);
    assert!(cosine.forward(&huge(1e200)).unwrap().0.iter().all(|x| x.is_finite()));
    let distance = plain().score(Score::NegativeEuclidean);
    assert!(distance.forward(&huge(1e200)).unwrap().0.iter().all(|x| x.is_finite()));
    // Rows of zeros have no direction and no distance; the derivative there is 0 or bounded.
    for variant in [cosine, distance] {
        let (out, trace) = variant.forward(&huge(0.0)).unwrap();
        let gradient = variant.backward(&trace, &out).unwrap();
        assert!(gradient.q.iter().chain(&gradient.k).all(|x| x.is_finite()));
    }
}
