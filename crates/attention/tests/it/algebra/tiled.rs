//! The tiled computation against the plain one, over more than one tile.

use super::cases::Shape;
use crate::naive::distance;
use collimate_attention::algebra::{
    Arguments, Gain, LogitChange, MaskRule, Normaliser, PairKeys, Pairing, Parameter, Variant, Window,
};
use collimate_attention::{Attention, AttentionError, Offset};
use collimate_stream::RngStream;
use ndarray::{Array3, ArrayD};

fn variants() -> Vec<Variant> {
    let plain = Variant::scaled_dot_product(Offset::keys_minus_queries());
    let v1 = |pairing, keys| Variant::differential_v1(Offset::zero(), pairing, keys, 1, Gain::None);
    let window = || MaskRule::Window(Window::previous(70));
    vec![
        plain.clone().normaliser(Normaliser::SoftmaxPlusOne),
        plain.clone().normaliser(Normaliser::LearnedSink).mask(MaskRule::Causal),
        plain.clone().normaliser(Normaliser::LearnedSink).mask(window()).logit(LogitChange::Softcap(2.0)),
        v1(Pairing::Neighbours, PairKeys::Paired).mask(MaskRule::Causal),
        v1(Pairing::Halves, PairKeys::Paired),
        v1(Pairing::Neighbours, PairKeys::Repeated).normaliser(Normaliser::LearnedSink),
        v1(Pairing::Halves, PairKeys::Repeated).mask(window()),
        Variant::differential_v2(Offset::zero(), Pairing::Neighbours).normaliser(Normaliser::LearnedSink),
    ]
}

#[test]
fn sinks_and_pairs_of_heads_are_what_they_are_pair_by_pair() {
    let mut stream = RngStream::new(3, 0);
    let shape = Shape { key_heads: 2, group: 2, queries: 90, keys: 140, width: 6, value_width: 5 };
    let decoding = Shape { queries: 1, keys: 1300, value_width: 16, ..shape };
    for (variant, shape) in variants().into_iter().flat_map(|v| [(v.clone(), shape), (v, decoding)]) {
        let (variant, arguments) = shape.fit(variant, 1.0, &mut stream);
        let (out, trace) = variant.forward(&arguments).unwrap();
        let (expected, plain) = variant.forward_plain(&arguments).unwrap();
        assert!(trace.is_tiled() && !plain.is_tiled());
        assert!(distance(&out, &expected) < 1e-12, "{variant:?}");
        for head in [0, 3] {
            assert!(distance(&trace.pattern(head).unwrap(), &plain.pattern(head).unwrap()) < 1e-13);
        }
        let mut normal = |x: &[usize]| ArrayD::from_shape_simple_fn(x, || stream.normal());
        let d_out = normal(out.shape()).into_dimensionality().unwrap();
        let (given, expected) =
            (variant.backward(&trace, &d_out).unwrap(), variant.backward(&plain, &d_out).unwrap());
        for (a, b) in [(&given.q, &expected.q), (&given.k, &expected.k), (&given.v, &expected.v)] {
            assert!(distance(a, b) < 1e-11, "{variant:?}");
        }
        for (name, x) in given.parameters.iter() {
            let expected = expected.parameters.get(name).unwrap();
            let scale = 1.0 + expected.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            assert!(distance(x, expected) < 1e-11 * scale, "{name:?} of {variant:?}");
        }
        let three =
            |x: &Array3<f64>, y: ArrayD<f64>| -> Array3<f64> { y.into_shape_with_order(x.dim()).unwrap() };
        let mut direction = Arguments::new(
            &three(&arguments.q, normal(arguments.q.shape())),
            &three(&arguments.k, normal(arguments.k.shape())),
            &three(&arguments.v, normal(arguments.v.shape())),
        );
        for (name, x) in arguments.parameters.iter() {
            direction.parameters.insert(name, normal(x.shape()));
        }
        let (given, expected) =
            (variant.jvp(&trace, &direction).unwrap(), variant.jvp(&plain, &direction).unwrap());
        assert!(distance(&given, &expected) < 1e-11, "{variant:?}");
    }
}

#[test]
fn a_sink_takes_all_of_a_query_without_keys() {
    let variant = Variant::scaled_dot_product(Offset::fixed(-2))
        .mask(MaskRule::Causal)
        .normaliser(Normaliser::LearnedSink);
    let ones = Array3::<f64>::ones((1, 3, 2));
    let arguments = Arguments::new(&ones, &ones, &ones).with(Parameter::Sink, ndarray::arr1(&[0.5]));
    let (out, trace) = variant.forward(&arguments).unwrap();
    assert!(trace.is_tiled());
    assert_eq!(out.index_axis(ndarray::Axis(1), 1).sum(), 0.0);
    assert!((trace.log_sum_exp().unwrap()[[0, 0]] - 0.5).abs() < 1e-15);
    let gradient = variant.backward(&trace, &ones).unwrap();
    assert!(gradient.q.iter().chain(&gradient.k).chain(&gradient.v).all(|x| x.is_finite()));
    // A sink of −∞ has no effect. A NaN sink reaches every query of its head.
    let (plain, _) = Attention::scaled_dot_product().forward(&ones, &ones, &ones).unwrap();
    let shared = ones.into_shared();
    let with = |sink: f64| {
        let x = || shared.clone();
        Attention::scaled_dot_product().forward_with_sink(x(), x(), x(), &[sink]).unwrap().0
    };
    assert_eq!(with(f64::NEG_INFINITY), plain);
    assert!(with(f64::NAN).iter().all(|x| x.is_nan()));
    let two = Attention::scaled_dot_product().forward_with_sink(
        shared.clone(),
        shared.clone(),
        shared.clone(),
        &[0.0, 1.0],
    );
    assert!(matches!(two.unwrap_err(), AttentionError::Shape { argument: "sink", .. }));
}
