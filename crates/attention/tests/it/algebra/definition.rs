use super::cases::{Shape, composition, plain, single_choices};
use super::naive::attend;
use crate::naive::distance;
use collimate_attention::algebra::{Arguments, MaskRule, Parameter, RowChange, Variant};
use collimate_attention::{Attention, HeadMap, Mask, Offset, Rotary};
use collimate_stream::RngStream;
use ndarray::{Array3, ArrayD};

fn to_f32(x: &Arguments<f64>) -> Arguments<f32> {
    let single = |x: &Array3<f64>| x.mapv(|x| x as f32);
    let mut y = Arguments::new(&single(&x.q), &single(&x.k), &single(&x.v));
    for (name, array) in x.parameters.iter() {
        y.parameters.insert(name, array.mapv(|x| x as f32));
    }
    y
}

fn to_f64(x: &Arguments<f32>) -> Arguments<f64> {
    let double = |x: &Array3<f32>| x.mapv(f64::from);
    let mut y = Arguments::new(&double(&x.q), &double(&x.k), &double(&x.v));
    for (name, array) in x.parameters.iter() {
        y.parameters.insert(name, array.mapv(f64::from));
    }
    y
}

fn agrees(variant: &Variant, arguments: &Arguments<f64>, tolerance: f64) {
    let expected = attend(variant, arguments);
    for (out, trace) in [variant.forward(arguments).unwrap(), variant.forward_plain(arguments).unwrap()] {
        let off = distance(&out, &expected);
        assert!(
            off < tolerance,
            "{off:e}, tiled: {}\n{variant:?}\n{:?}",
            trace.is_tiled(),
            arguments.q.dim()
        );
    }
}

#[test]
fn every_choice_is_its_definition() {
    let mut stream = RngStream::new(1, 0);
    for round in 0..12 {
        let shape = Shape::random(&mut stream);
        for variant in single_choices(&shape, &mut stream) {
            let magnitude = [1.0, 10.0][round % 2];
            let (variant, arguments) = shape.fit(variant, magnitude, &mut stream);
            agrees(&variant, &arguments, 1e-9);
        }
    }
}

#[test]
fn one_dimension_one_query_or_one_key_is_enough() {
    let mut stream = RngStream::new(13, 0);
    for (queries, keys) in [(1, 1), (1, 5), (5, 1)] {
        let shape = Shape { key_heads: 1, group: 1, queries, keys, width: 1, value_width: 1 };
        for variant in single_choices(&shape, &mut stream) {
            if variant.rows.iter().any(|change| matches!(change, RowChange::Rotary(_))) {
                continue; // a rotation takes two dimensions
            }
            let (variant, arguments) = shape.fit(variant, 1.0, &mut stream);
            agrees(&variant, &arguments, 1e-12);
        }
    }
}

#[test]
fn compositions_are_their_definition() {
    let mut stream = RngStream::new(2, 0);
    let mut tried = 0;
    while tried < 600 {
        let shape = Shape::random(&mut stream);
        let Some(variant) = composition(&shape, &mut stream) else { continue };
        let (variant, arguments) = shape.fit(variant, 1.0, &mut stream);
        agrees(&variant, &arguments, 1e-9);
        tried += 1;
    }
}

#[test]
fn logits_of_ten_thousand_stay_finite() {
    let mut stream = RngStream::new(3, 0);
    for _ in 0..4 {
        let shape = Shape { width: 6, ..Shape::random(&mut stream) };
        for variant in single_choices(&shape, &mut stream) {
            let (variant, arguments) = shape.fit(variant, 100.0, &mut stream);
            agrees(&variant, &arguments, 1e-6);
            let (out, trace) = variant.forward(&arguments).unwrap();
            let gradient = variant.backward(&trace, &out).unwrap();
            let by_parameters = gradient.parameters.iter().flat_map(|(_, x)| x);
            let all = gradient.q.iter().chain(&gradient.k).chain(&gradient.v).chain(by_parameters);
            assert!(all.into_iter().all(|x| x.is_finite()), "{variant:?}");
        }
    }
}

#[test]
fn single_precision_is_near() {
    let mut stream = RngStream::new(4, 0);
    for _ in 0..4 {
        let shape = Shape::random(&mut stream);
        for variant in single_choices(&shape, &mut stream) {
            let (variant, arguments) = shape.fit(variant, 1.0, &mut stream);
            let single = to_f32(&arguments);
            let arguments = to_f64(&single);
            let (out, _) = variant.forward(&single).unwrap();
            let (expected, trace) = variant.forward(&arguments).unwrap();
            assert!(distance(&out.mapv(f64::from), &expected) < 1e-4, "{variant:?}");
            let d_out = expected.mapv(|x| x as f32);
            let (_, single_trace) = variant.forward(&single).unwrap();
            let given = variant.backward(&single_trace, &d_out).unwrap();
            let expected = variant.backward(&trace, &d_out.mapv(f64::from)).unwrap();
            let size = expected.q.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
            assert!(distance(&given.q.mapv(f64::from), &expected.q) < 2e-3 * size, "{variant:?}");
        }
    }
}

#[test]
fn a_query_without_keys_gets_zeros_and_sends_nothing_back() {
    let mut stream = RngStream::new(5, 0);
    let shape = Shape { key_heads: 1, group: 2, queries: 4, keys: 3, width: 2, value_width: 2 };
    for variant in single_choices(&shape, &mut stream) {
        // All queries have positions far before the first key.
        let mut variant = variant.mask(MaskRule::Causal);
        variant.positions = Offset::fixed(-9);
        let (variant, arguments) = shape.fit(variant, 1.0, &mut stream);
        let (out, trace) = variant.forward(&arguments).unwrap();
        assert!(out.iter().all(|&x| x == 0.0), "{variant:?}");
        let gradient = variant.backward(&trace, &Array3::ones(out.dim())).unwrap();
        let by_parameters = gradient.parameters.iter().flat_map(|(_, x)| x);
        let all = gradient.q.iter().chain(&gradient.k).chain(&gradient.v).chain(by_parameters);
        assert!(all.into_iter().all(|&x| x == 0.0), "{variant:?}");
        assert!(variant.jvp(&trace, &arguments).unwrap().iter().all(|&x| x == 0.0));
    }
}

#[test]
fn arrays_without_rows_are_fine() {
    for (queries, keys) in [(0, 3), (3, 0), (0, 0)] {
        let shape = Shape { key_heads: 1, group: 2, queries, keys, width: 2, value_width: 2 };
        let mut stream = RngStream::new(6, 0);
        for variant in single_choices(&shape, &mut stream) {
            let (variant, arguments) = shape.fit(variant, 1.0, &mut stream);
            let (out, trace) = variant.forward(&arguments).unwrap();
            assert!(out.iter().all(|&x| x == 0.0));
            variant.backward(&trace, &out).unwrap();
        }
    }
}

#[test]
fn masked_nan_changes_nothing() {
    let mut stream = RngStream::new(7, 0);
    let shape = Shape { key_heads: 2, group: 2, queries: 5, keys: 6, width: 4, value_width: 3 };
    for variant in single_choices(&shape, &mut stream) {
        // Key 4 is padding.
        let padding: Vec<bool> = (0..6).map(|j| j == 4).collect();
        let variant =
            variant.mask(MaskRule::keys(&padding, collimate_attention::algebra::Polarity::TrueIsMasked));
        let (variant, arguments) = shape.fit(variant, 1.0, &mut stream);
        let mut poisoned = arguments.clone();
        poisoned.k.slice_mut(ndarray::s![.., 4, ..]).fill(f64::NAN);
        poisoned.v.slice_mut(ndarray::s![.., 4, ..]).fill(f64::NAN);
        let ((clean, trace), (out, poisoned_trace)) =
            (variant.forward(&arguments).unwrap(), variant.forward(&poisoned).unwrap());
        assert_eq!(out, clean, "{variant:?}");
        let (expected, given) =
            (variant.backward(&trace, &clean).unwrap(), variant.backward(&poisoned_trace, &clean).unwrap());
        assert_eq!(given.q, expected.q, "{variant:?}");
        assert_eq!(given.v, expected.v, "{variant:?}");
    }
}

#[test]
fn an_infinite_bias_masks_before_and_after_a_softcap() {
    use collimate_attention::algebra::LogitChange::{Bias, Softcap};
    let mut stream = RngStream::new(8, 0);
    let shape = Shape { key_heads: 1, group: 2, queries: 3, keys: 3, width: 2, value_width: 2 };
    for order in [[Bias, Softcap(0.5)], [Softcap(0.5), Bias]] {
        let variant = order.into_iter().fold(plain(), Variant::logit);
        let (variant, mut arguments) = shape.fit(variant, 1.0, &mut stream);
        let mut bias = ArrayD::zeros(vec![1, 1, 3]);
        bias[[0, 0, 1]] = f64::NEG_INFINITY;
        arguments.parameters.insert(Parameter::Bias, bias);
        arguments.v.slice_mut(ndarray::s![.., 1, ..]).fill(f64::NAN);
        let (out, trace) = variant.forward(&arguments).unwrap();
        assert!(out.iter().all(|x| x.is_finite()));
        assert!(trace.pattern(0).unwrap().column(1).iter().all(|&p| p == 0.0));
        let gradient = variant.backward(&trace, &out).unwrap();
        assert_eq!(gradient.parameters.get(Parameter::Bias).unwrap()[[0, 0, 1]], 0.0);
    }
}

#[test]
fn the_tiled_way_is_taken_when_it_can_be() {
    let attention = Attention::scaled_dot_product()
        .heads(HeadMap::grouped_by_floor(4, 2))
        .rotary(Rotary::half_split(4, 100.0))
        .mask(Mask::causal(Offset::keys_minus_queries()));
    let mut stream = RngStream::new(9, 0);
    let mut normal = |shape| Array3::from_shape_simple_fn(shape, || stream.normal());
    let (q, k, v) = (normal((4, 70, 4)), normal((2, 80, 4)), normal((2, 80, 3)));
    let variant = Variant::from(attention);
    assert!(variant.tiled().is_some());
    let (out, trace) = variant.forward(&Arguments::new(&q, &k, &v)).unwrap();
    let (expected, saved) = attention.forward(&q, &k, &v).unwrap();
    assert!(trace.is_tiled());
    assert_eq!(out, expected);
    assert_eq!(trace.log_sum_exp().unwrap(), saved.log_sum_exp());
    assert_eq!(trace.pattern(1).unwrap(), saved.pattern(1).unwrap());
    let gradient = variant.backward(&trace, &out).unwrap();
    assert_eq!(gradient.q, attention.backward(&saved, &out).unwrap().q);
    assert!(variant.clone().mask(MaskRule::first_keys(3, 80)).tiled().is_none());
}

#[test]
fn views_of_logits_and_patterns() {
    use collimate_attention::algebra::{LogitChange, Pairing};
    let mut stream = RngStream::new(10, 0);
    let shape = Shape { key_heads: 1, group: 1, queries: 3, keys: 4, width: 2, value_width: 4 };
    let variant = Variant::differential_v2(Offset::keys_minus_queries(), Pairing::Neighbours)
        .mask(MaskRule::Causal)
        .logit(LogitChange::Softcap(2.0));
    let (variant, mut arguments) = shape.fit(variant, 1.0, &mut stream);
    // With unit vectors as values the output equals the pattern.
    arguments.v.assign(&ndarray::Array2::eye(4));
    let (out, trace) = variant.forward(&arguments).unwrap();
    let combined = trace.combined_pattern(0).unwrap();
    assert!(distance(&combined, &out.index_axis(ndarray::Axis(0), 0).to_owned()) < 1e-14);
    let (raw, capped) = (trace.logits(1, 0).unwrap(), trace.logits(1, 1).unwrap());
    assert!((capped[[2, 3]] - 2.0 * (raw[[2, 3]] / 2.0).tanh()).abs() < 1e-15);
    assert_eq!(raw[[0, 2]], f64::NEG_INFINITY);
    assert!(trace.logits(1, 2).unwrap_err().to_string().contains("2 does not exist"));
    assert!(trace.pattern(2).is_err() && trace.combined_pattern(1).is_err());
}
