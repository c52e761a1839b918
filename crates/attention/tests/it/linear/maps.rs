//! Feature maps, denominators and random features.

use super::{distance, size};
use collimate_attention::linear::{
    Denominator, Directions, FeatureMap, Form, Pass, RandomFeatures, Setting, Stabiliser,
    bidirectional_linear_attention, bidirectional_performer, linear_attention, performer,
};
use collimate_attention::{AttentionError, HeadMap, Scale};
use collimate_stream::RngStream;
use ndarray::{Array3, Zip, s};
use proptest::prelude::*;

const FORMS: [Form; 4] =
    [Form::Recurrent, Form::Chunked { size: 3 }, Form::Chunked { size: 16 }, Form::Parallel];

fn setting(form: Form) -> Setting {
    Setting { scale: Scale::InverseSqrtDim, heads: HeadMap::grouped_by_floor(4, 2), form }
}

fn arrays(t: usize, seed: u64) -> [Array3<f64>; 3] {
    let mut stream = RngStream::new(seed, 0);
    [(4, t, 3), (2, t, 3), (2, t, 2)].map(|shape| Array3::from_shape_simple_fn(shape, || stream.normal()))
}

fn elu(x: &Array3<f64>) -> Array3<f64> {
    x.mapv(|x| if x > 0.0 { x + 1.0 } else { x.exp() })
}

/// Computes weighted means by the definition, from features.
fn definition(q: &Array3<f64>, k: &Array3<f64>, v: &Array3<f64>, scale: f64, epsilon: f64) -> Array3<f64> {
    Array3::from_shape_fn((q.dim().0, q.dim().1, v.dim().2), |(h, t, e)| {
        let (g, mut top, mut sum) = (h / 2, 0.0, 0.0);
        for j in 0..=t {
            let weight = scale * q.slice(s![h, t, ..]).dot(&k.slice(s![g, j, ..]));
            top += weight * v[[g, j, e]];
            sum += weight;
        }
        top / (sum + epsilon)
    })
}

/// Compares the gradients by q, k and v with central differences in every coordinate.
fn check(run: impl Fn(&[Array3<f64>; 3]) -> Pass<f64>, x: &[Array3<f64>; 3]) {
    let pass = run(x);
    let mut stream = RngStream::new(9, 9);
    let d_out = Array3::from_shape_simple_fn(pass.out.dim(), || stream.normal());
    let d_state = Array3::from_shape_simple_fn(pass.state.dim(), || stream.normal());
    let g = pass.backward(&d_out, Some(&d_state)).unwrap();
    let loss = |x: &[Array3<f64>; 3]| {
        let pass = run(x);
        Zip::from(&pass.out).and(&d_out).fold(0.0, |sum, a, b| sum + a * b)
            + Zip::from(&pass.state).and(&d_state).fold(0.0, |sum, a, b| sum + a * b)
    };
    for (which, gradient) in [&g.q, &g.k, &g.v].into_iter().enumerate() {
        for (at, &analytic) in gradient.indexed_iter() {
            let moved = |h: f64| {
                let mut x = x.clone();
                x[which][at] += h;
                loss(&x)
            };
            let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!(
                (slope - analytic).abs() < 1e-6 * (1.0 + slope.abs()),
                "{which} {at:?}: {slope} {analytic}"
            );
        }
    }
    let mut d = pass.direction();
    for x in [&mut d.q, &mut d.k, &mut d.v] {
        x.mapv_inplace(|_| stream.normal());
    }
    let at = |h: f64| run(&[&x[0] + &(&d.q * h), &x[1] + &(&d.k * h), &x[2] + &(&d.v * h)]);
    let (ahead, behind, (out, state)) = (at(1e-6), at(-1e-6), pass.jvp(&d).unwrap());
    let slopes = [(ahead.out - behind.out) / 2e-6, (ahead.state - behind.state) / 2e-6];
    for (slope, along) in slopes.iter().zip([&out, &state]) {
        assert!(distance(slope, along) < 1e-6 * size(slope), "{}", distance(slope, along));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn weighted_means_in_every_form(t in 1usize..30, seed in 0u64..1000, epsilon in prop::sample::select(vec![0.0, 1e-3])) {
        let [q, k, v] = arrays(t, seed);
        let denominator = Denominator::SumOfWeights { epsilon };
        let expected = definition(&elu(&q), &elu(&k), &v, 1.0 / 3f64.sqrt(), epsilon);
        let mut stream = RngStream::new(seed, 2);
        let features =
            RandomFeatures::draw(Directions::Independent, 5, 3, Stabiliser::Maxima, 1e-2, &mut stream).unwrap();
        let (of_q, of_k) = (features.of_queries(&q, 0.5).unwrap(), features.of_keys(&k, 0.5).unwrap());
        let random = definition(&of_q, &of_k, &v, 1.0, epsilon);
        for form in FORMS {
            let pass =
                linear_attention(&setting(form), FeatureMap::EluPlusOne, denominator, &q, &k, &v, None).unwrap();
            prop_assert!(distance(&pass.out, &expected) < 1e-12 * size(&expected), "{form:?}");
            let sum = elu(&k).slice(s![1, .., 2]).sum();
            prop_assert!((pass.state[[1, 2, 2]] - sum).abs() < 1e-12 * sum);
            let half = Setting { scale: Scale::Fixed(0.5), ..setting(form) };
            let pass = performer(&half, &features, denominator, &q, &k, &v, None).unwrap();
            prop_assert!(distance(&pass.out, &random) < 1e-11 * size(&random), "{form:?}");
        }
    }
}

#[test]
fn gradients_through_maps_and_denominators() {
    let x = arrays(7, 4);
    for denominator in [Denominator::One, Denominator::SumOfWeights { epsilon: 0.01 }] {
        for form in FORMS {
            let linear = |x: &[Array3<f64>; 3]| {
                linear_attention(
                    &setting(form),
                    FeatureMap::EluPlusOne,
                    denominator,
                    &x[0],
                    &x[1],
                    &x[2],
                    None,
                )
            };
            check(|x| linear(x).unwrap(), &x);
        }
    }
}

/// Computes the definition over all pairs of query and key, from features.
fn without_mask(
    q: &Array3<f64>,
    k: &Array3<f64>,
    v: &Array3<f64>,
    scale: f64,
    epsilon: Option<f64>,
) -> Array3<f64> {
    Array3::from_shape_fn((q.dim().0, q.dim().1, v.dim().2), |(h, t, e)| {
        let weight = |j: usize| scale * q.slice(s![h, t, ..]).dot(&k.slice(s![h / 2, j, ..]));
        let top: f64 = (0..k.dim().1).map(|j| weight(j) * v[[h / 2, j, e]]).sum();
        epsilon.map_or(top, |epsilon| top / ((0..k.dim().1).map(weight).sum::<f64>() + epsilon))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn without_a_mask_every_form_is_the_definition(t in 0usize..9, keys in 1usize..30, cut in 0usize..30, seed in 0u64..1000) {
        let [q, _, _] = arrays(t, seed);
        let [_, k, v] = arrays(keys, seed ^ 1);
        let scale = 1.0 / 3f64.sqrt();
        let weighted = Denominator::SumOfWeights { epsilon: 1e-3 };
        let mut stream = RngStream::new(seed, 2);
        let features =
            RandomFeatures::draw(Directions::Independent, 5, 3, Stabiliser::None, 1e-2, &mut stream).unwrap();
        let (of_q, of_k) = (features.of_queries(&q, scale).unwrap(), features.of_keys(&k, scale).unwrap());
        let cut = cut.min(keys);
        for form in FORMS {
            let plain = |k: &Array3<f64>, v: &Array3<f64>, initial: Option<&Array3<f64>>| {
                let initial = initial.map(|x| &**x);
                bidirectional_linear_attention(
                    &setting(form), FeatureMap::Identity, Denominator::One, &q, k, v, initial,
                ).unwrap()
            };
            let expected = without_mask(&q, &k, &v, scale, None);
            let whole = plain(&k, &v, None);
            prop_assert!(distance(&whole.out, &expected) < 1e-12 * size(&expected), "{form:?}");
            // The keys may come in parts, in either order.
            let part = |x: &Array3<f64>, first: bool| match first {
                true => x.slice(s![.., ..cut, ..]).to_owned(),
                false => x.slice(s![.., cut.., ..]).to_owned(),
            };
            let later = plain(&part(&k, false), &part(&v, false), None);
            let joined = plain(&part(&k, true), &part(&v, true), Some(&later.state));
            prop_assert!(distance(&joined.out, &whole.out) < 1e-12 * size(&expected), "{form:?}");
            prop_assert!(distance(&joined.state, &whole.state) < 1e-12 * size(&whole.state), "{form:?}");
            let pass = bidirectional_linear_attention(
                &setting(form), FeatureMap::EluPlusOne, weighted, &q, &k, &v, None,
            ).unwrap();
            let expected = without_mask(&elu(&q), &elu(&k), &v, scale, Some(1e-3));
            prop_assert!(distance(&pass.out, &expected) < 1e-12 * size(&expected), "{form:?}");
            let pass = bidirectional_performer(&setting(form), &features, weighted, &q, &k, &v, None).unwrap();
            let expected = without_mask(&of_q, &of_k, &v, 1.0, Some(1e-3));
            prop_assert!(distance(&pass.out, &expected) < 1e-11 * size(&expected), "{form:?}");
        }
    }
}

#[test]
fn gradients_without_a_mask() {
    let [q, _, _] = arrays(3, 4);
    let [_, k, v] = arrays(7, 5);
    let x = [q, k, v];
    let mut stream = RngStream::new(3, 0);
    let features =
        RandomFeatures::draw(Directions::Orthogonal, 4, 3, Stabiliser::Maxima, 0.1, &mut stream).unwrap();
    let state = Array3::from_shape_simple_fn((2, 3, 3), || 0.1 + stream.uniform());
    let weighted = Denominator::SumOfWeights { epsilon: 0.01 };
    for form in FORMS {
        let map = FeatureMap::EluPlusOne;
        check(
            |[q, k, v]| {
                let from = Some(&*state);
                bidirectional_linear_attention(&setting(form), map, weighted, q, k, v, from).unwrap()
            },
            &x,
        );
        check(
            |[q, k, v]| bidirectional_performer(&setting(form), &features, weighted, q, k, v, None).unwrap(),
            &x,
        );
    }
}

#[test]
fn without_a_mask_and_without_keys() {
    let [q, _, _] = arrays(3, 1);
    let none = Array3::zeros((2, 0, 3));
    let state = Array3::ones((2, 3, 2));
    for form in FORMS {
        let run = |initial| {
            let v = Array3::zeros((2, 0, 2));
            bidirectional_linear_attention(
                &setting(form),
                FeatureMap::Identity,
                Denominator::One,
                &q,
                &none,
                &v,
                initial,
            )
            .unwrap()
        };
        assert_eq!(run(None).out, Array3::<f64>::zeros((4, 3, 2)));
        let pass = run(Some(&*state));
        assert_eq!(pass.state, state);
        assert_eq!(pass.backward(&pass.out, None).unwrap().k.dim(), (2, 0, 3));
    }
    let [_, k, v] = arrays(4, 1);
    let wrong = v.slice(s![.., ..3, ..]);
    let error = bidirectional_linear_attention(
        &setting(Form::Parallel),
        FeatureMap::Identity,
        Denominator::One,
        &q,
        &k,
        &wrong,
        None,
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "v must have the shape [2, 4, 2] [g, s, e], but has [2, 3, 2]"
    );
}

#[test]
fn gradients_through_random_features() {
    let x = arrays(6, 5);
    for stabiliser in [Stabiliser::None, Stabiliser::Maxima] {
        for epsilon in [0.0, 0.1] {
            let mut stream = RngStream::new(3, 0);
            let features =
                RandomFeatures::draw(Directions::Orthogonal, 4, 3, stabiliser, epsilon, &mut stream).unwrap();
            for denominator in [Denominator::One, Denominator::SumOfWeights { epsilon: 0.0 }] {
                let run = |x: &[Array3<f64>; 3]| {
                    performer(&setting(Form::Parallel), &features, denominator, &x[0], &x[1], &x[2], None)
                };
                check(|x| run(x).unwrap(), &x);
            }
        }
    }
}

#[test]
fn the_stabiliser_cancels_without_epsilon() {
    let [q, k, v] = arrays(20, 6);
    let pass = |stabiliser| {
        let mut stream = RngStream::new(3, 0);
        let features =
            RandomFeatures::draw(Directions::Orthogonal, 8, 3, stabiliser, 0.0, &mut stream).unwrap();
        performer(
            &setting(Form::Parallel),
            &features,
            Denominator::SumOfWeights { epsilon: 0.0 },
            &q,
            &k,
            &v,
            None,
        )
    };
    let (with, without) = (pass(Stabiliser::Maxima).unwrap(), pass(Stabiliser::None).unwrap());
    assert!(distance(&with.out, &without.out) < 1e-12);
}

#[test]
fn large_rows_do_not_overflow_with_the_stabiliser() {
    let [q, k, v] = arrays(20, 7).map(|x| x * 100.0);
    let mut stream = RngStream::new(3, 0);
    let features =
        RandomFeatures::draw(Directions::Orthogonal, 8, 3, Stabiliser::Maxima, 1e-4, &mut stream).unwrap();
    let denominator = Denominator::SumOfWeights { epsilon: 1e-6 };
    let pass = performer(&setting(Form::Parallel), &features, denominator, &q, &k, &v, None).unwrap();
    let g = pass.backward(&pass.out, None).unwrap();
    assert!(pass.out.iter().chain(&g.q).chain(&g.k).chain(&g.v).all(|x| x.is_finite()));
    // Without ε every weight underflows: a row of zeros, not 0/0.
    let features =
        RandomFeatures::draw(Directions::Orthogonal, 8, 3, Stabiliser::Maxima, 0.0, &mut stream).unwrap();
    let none = Denominator::SumOfWeights { epsilon: 0.0 };
    let pass = performer(&setting(Form::Parallel), &features, none, &q, &k, &v, None).unwrap();
    assert!(pass.out.iter().all(|x| x.is_finite()));
}

#[test]
fn orthogonal_directions_are() {
    let mut stream = RngStream::new(8, 0);
    let features =
        RandomFeatures::<f64>::draw(Directions::Orthogonal, 7, 5, Stabiliser::None, 0.0, &mut stream)
            .unwrap();
    let omega = features.directions();
    for i in 0..7 {
        for j in 0..i {
            // Rows 0 to 4 are one block, 5 and 6 the next.
            let cosine = omega.row(i).dot(&omega.row(j))
                / (omega.row(i).dot(&omega.row(i)) * omega.row(j).dot(&omega.row(j))).sqrt();
            assert!((i < 5) != (j < 5) || cosine.abs() < 1e-14, "{i} {j} {cosine}");
        }
    }
}

#[test]
fn what_has_no_meaning_is_refused() {
    let [q, k, v] = arrays(3, 1);
    let weighted = Denominator::SumOfWeights { epsilon: 0.0 };
    let run = |map, denominator| {
        linear_attention(&setting(Form::Parallel), map, denominator, &q, &k, &v, None).map(|_| ())
    };
    assert!(matches!(run(FeatureMap::Identity, weighted), Err(AttentionError::Undefined { .. })));
    let negative = Denominator::SumOfWeights { epsilon: -1.0 };
    assert!(matches!(run(FeatureMap::EluPlusOne, negative), Err(AttentionError::OutOfRange(_))));
    let mut stream = RngStream::new(3, 0);
    let mut draw = |m, d, epsilon| {
        RandomFeatures::<f64>::draw(Directions::Orthogonal, m, d, Stabiliser::Maxima, epsilon, &mut stream)
    };
    assert!(draw(0, 3, 0.0).is_err() && draw(3, 0, 0.0).is_err() && draw(3, 3, f64::NAN).is_err());
    let features = draw(4, 3, 0.0).unwrap();
    let state = Array3::zeros((2, 4, 3));
    let continued = performer(&setting(Form::Parallel), &features, weighted, &q, &k, &v, Some(&state));
    assert!(matches!(continued, Err(AttentionError::Undefined { .. })));
    let negative = Setting { scale: Scale::Fixed(-1.0), ..setting(Form::Parallel) };
    assert!(performer(&negative, &features, weighted, &q, &k, &v, None).is_err());
    let narrow = draw(4, 2, 0.0).unwrap();
    assert!(matches!(narrow.of_queries(&q, 1.0), Err(AttentionError::Shape { .. })));
}
