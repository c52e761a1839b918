//! Tests of every primitive: its jvp and vjp against central differences, and against each other.

use collimate_grad::primitive::activation::{self, Activation};
use collimate_grad::primitive::{
    bias, cross_entropy, embedding, layer_norm, matmul, reduce, rms_norm, softmax,
};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2};
use proptest::prelude::*;

fn matrix(shape: (usize, usize), stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_simple_fn(shape, || stream.normal())
}

fn vector(n: usize, stream: &mut RngStream) -> Array1<f64> {
    Array1::from_shape_simple_fn(n, || stream.normal())
}

fn dot<'a>(a: impl IntoIterator<Item = &'a f64>, b: impl IntoIterator<Item = &'a f64>) -> f64 {
    a.into_iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A primitive with all its inputs in one flat vector.
struct Case<'a> {
    inputs: Vec<f64>,
    forward: Box<dyn Fn(&[f64]) -> Vec<f64> + 'a>,
    jvp: Box<dyn Fn(&[f64]) -> Vec<f64> + 'a>,
    vjp: Box<dyn Fn(&[f64]) -> Vec<f64> + 'a>,
}

impl Case<'_> {
    /// Checks J ẋ = dy/dh and ⟨ȳ, J ẋ⟩ = ⟨Jᵀȳ, ẋ⟩.
    fn check(&self, stream: &mut RngStream) -> Result<(), TestCaseError> {
        let x_dot: Vec<f64> = self.inputs.iter().map(|_| stream.normal()).collect();
        let h = 1e-5;
        let at = |step: f64| {
            let moved: Vec<f64> = self.inputs.iter().zip(&x_dot).map(|(x, d)| x + step * d).collect();
            (self.forward)(&moved)
        };
        // Richardson: the error is of order h⁴ and the rounding near 1e-11.
        let (a, b, c, d) = (at(h), at(-h), at(2.0 * h), at(-2.0 * h));
        let y_dot = (self.jvp)(&x_dot);
        prop_assert_eq!(y_dot.len(), a.len());
        let size = y_dot.iter().fold(1.0f64, |s, y| s.max(y.abs()));
        for i in 0..a.len() {
            let numeric = (8.0 * (a[i] - b[i]) - (c[i] - d[i])) / (12.0 * h);
            prop_assert!(
                (numeric - y_dot[i]).abs() < 1e-8 * size,
                "jvp[{}]: {} against {}",
                i,
                y_dot[i],
                numeric
            );
        }
        let y_bar: Vec<f64> = y_dot.iter().map(|_| stream.normal()).collect();
        let x_bar = (self.vjp)(&y_bar);
        prop_assert_eq!(x_bar.len(), self.inputs.len());
        let (left, right) = (dot(&y_bar, &y_dot), dot(&x_bar, &x_dot));
        let scale: f64 = y_bar.iter().zip(&y_dot).map(|(a, b)| (a * b).abs()).sum::<f64>() + 1.0;
        prop_assert!((left - right).abs() < 1e-12 * scale, "adjoint: {} against {}", left, right);
        Ok(())
    }
}

fn split(x: &[f64], shapes: &[(usize, usize)]) -> Vec<Array2<f64>> {
    let mut at = 0;
    shapes
        .iter()
        .map(|&(r, c)| {
            at += r * c;
            Array2::from_shape_vec((r, c), x[at - r * c..at].to_vec()).unwrap()
        })
        .collect()
}

fn join(parts: &[&dyn Fn() -> Vec<f64>]) -> Vec<f64> {
    parts.iter().flat_map(|part| part()).collect()
}

fn flat(x: &Array2<f64>) -> Vec<f64> {
    x.iter().copied().collect()
}

fn row(x: &Array2<f64>) -> Array1<f64> {
    x.row(0).to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn products_and_biases((b, i, o, seed) in (1usize..6, 1usize..6, 1usize..6, any::<u64>())) {
        let stream = &mut RngStream::new(seed, 0);
        let shapes = [(b, i), (i, o)];
        let inputs = join(&[&|| flat(&matrix((b, i), &mut RngStream::new(seed, 1))), &|| flat(&matrix((i, o), &mut RngStream::new(seed, 2)))]);
        let x = split(&inputs, &shapes);
        Case {
            inputs: inputs.clone(),
            forward: Box::new(|v| { let p = split(v, &shapes); flat(&matmul::forward(&p[0], &p[1]).unwrap()) }),
            jvp: Box::new(|v| { let p = split(v, &shapes); flat(&matmul::jvp(&x[0], &x[1], &p[0], &p[1]).unwrap()) }),
            vjp: Box::new(|v| {
                let (a, c) = matmul::vjp(&x[0], &x[1], &split(v, &[(b, o)])[0]).unwrap();
                [flat(&a), flat(&c)].concat()
            }),
        }.check(stream)?;
        let shapes = [(b, i), (1, i)];
        Case {
            inputs: (0..b * i + i).map(|_| stream.normal()).collect(),
            forward: Box::new(|v| { let p = split(v, &shapes); flat(&bias::forward(&p[0], &row(&p[1])).unwrap()) }),
            jvp: Box::new(|v| { let p = split(v, &shapes); flat(&bias::jvp(&p[0], &row(&p[1])).unwrap()) }),
            vjp: Box::new(|v| { let (x, b) = bias::vjp(&split(v, &[(b, i)])[0]); [flat(&x), b.to_vec()].concat() }),
        }.check(stream)?;
    }

    #[test]
    fn softmax_log_softmax_and_cross_entropy((b, c, seed) in (1usize..5, 1usize..8, any::<u64>())) {
        let stream = &mut RngStream::new(seed, 0);
        let x = matrix((b, c), stream) * 3.0;
        let one = |v: &[f64]| split(v, &[(b, c)]).remove(0);
        let p = softmax::forward(&x);
        Case {
            inputs: flat(&x),
            forward: Box::new(|v| flat(&softmax::forward(&one(v)))),
            jvp: Box::new(|v| flat(&softmax::jvp(&p, &one(v)).unwrap())),
            vjp: Box::new(|v| flat(&softmax::vjp(&p, &one(v)).unwrap())),
        }.check(stream)?;
        let log_p = softmax::log_forward(&x);
        Case {
            inputs: flat(&x),
            forward: Box::new(|v| flat(&softmax::log_forward(&one(v)))),
            jvp: Box::new(|v| flat(&softmax::log_jvp(&log_p, &one(v)).unwrap())),
            vjp: Box::new(|v| flat(&softmax::log_vjp(&log_p, &one(v)).unwrap())),
        }.check(stream)?;
        let targets: Vec<usize> = (0..b).map(|_| stream.below(c)).collect();
        Case {
            inputs: flat(&x),
            forward: Box::new(|v| vec![cross_entropy::forward(&one(v), &targets).unwrap()]),
            jvp: Box::new(|v| vec![cross_entropy::jvp(&x, &targets, &one(v)).unwrap()]),
            vjp: Box::new(|v| flat(&cross_entropy::vjp(&x, &targets, v[0]).unwrap())),
        }.check(stream)?;
    }

    #[test]
    fn both_norms((b, d, seed) in (1usize..5, 2usize..9, any::<u64>())) {
        let stream = &mut RngStream::new(seed, 0);
        let (x, gain, shift) = (matrix((b, d), stream), vector(d, stream), vector(d, stream));
        let epsilon = 1e-2;
        let shapes = [(b, d), (1, d), (1, d)];
        Case {
            inputs: [flat(&x), gain.to_vec()].concat(),
            forward: Box::new(|v| { let p = split(v, &shapes[..2]); flat(&rms_norm::forward(&p[0], &row(&p[1]), epsilon).unwrap()) }),
            jvp: Box::new(|v| { let p = split(v, &shapes[..2]); flat(&rms_norm::jvp(&x, &gain, epsilon, &p[0], &row(&p[1])).unwrap()) }),
            vjp: Box::new(|v| {
                let (a, g) = rms_norm::vjp(&x, &gain, epsilon, &split(v, &shapes[..1])[0]).unwrap();
                [flat(&a), g.to_vec()].concat()
            }),
        }.check(stream)?;
        Case {
            inputs: [flat(&x), gain.to_vec(), shift.to_vec()].concat(),
            forward: Box::new(|v| {
                let p = split(v, &shapes);
                flat(&layer_norm::forward(&p[0], &row(&p[1]), &row(&p[2]), epsilon).unwrap())
            }),
            jvp: Box::new(|v| {
                let p = split(v, &shapes);
                flat(&layer_norm::jvp(&x, &gain, epsilon, &p[0], &row(&p[1]), &row(&p[2])).unwrap())
            }),
            vjp: Box::new(|v| {
                let (a, g, c) = layer_norm::vjp(&x, &gain, epsilon, &split(v, &shapes[..1])[0]).unwrap();
                [flat(&a), g.to_vec(), c.to_vec()].concat()
            }),
        }.check(stream)?;
    }

    #[test]
    fn every_activation((b, d, scale, seed) in (1usize..5, 1usize..6, 0.01f64..6.0, any::<u64>())) {
        let stream = &mut RngStream::new(seed, 0);
        // The distance from ReLU's corner is larger than the steps of the difference quotient.
        let x = matrix((b, d), stream).mapv(|x| if x.abs() < 1e-3 { 0.5 } else { x }) * scale;
        let x = x.mapv(|x| if x.abs() < 1e-3 { 1e-3 } else { x });
        let one = |v: &[f64]| split(v, &[(b, d)]).remove(0);
        for kind in Activation::ALL {
            let y = activation::forward(kind, &x);
            Case {
                inputs: flat(&x),
                forward: Box::new(|v| flat(&activation::forward(kind, &one(v)))),
                jvp: Box::new(|v| flat(&activation::jvp(kind, &x, &y, &one(v)).unwrap())),
                vjp: Box::new(|v| flat(&activation::vjp(kind, &x, &y, &one(v)).unwrap())),
            }.check(stream)?;
        }
    }

    #[test]
    fn gathering_and_reducing((v, d, b, seed) in (1usize..6, 1usize..5, 1usize..7, any::<u64>())) {
        let stream = &mut RngStream::new(seed, 0);
        let indices: Vec<usize> = (0..b).map(|_| stream.below(v)).collect();
        let table = |x: &[f64]| split(x, &[(v, d)]).remove(0);
        let inputs: Vec<f64> = (0..v * d).map(|_| stream.normal()).collect();
        Case {
            inputs: inputs.clone(),
            forward: Box::new(|x| flat(&embedding::forward(&table(x), &indices).unwrap())),
            jvp: Box::new(|x| flat(&embedding::jvp(&table(x), &indices).unwrap())),
            vjp: Box::new(|x| flat(&embedding::vjp(v, &indices, &split(x, &[(b, d)])[0]).unwrap())),
        }.check(stream)?;
        Case {
            inputs: inputs.clone(),
            forward: Box::new(|x| vec![reduce::sum(&table(x))]),
            jvp: Box::new(|x| vec![reduce::sum(&table(x))]),
            vjp: Box::new(|x| flat(&reduce::sum_vjp((v, d), x[0]))),
        }.check(stream)?;
        Case {
            inputs,
            forward: Box::new(|x| vec![reduce::mean(&table(x))]),
            jvp: Box::new(|x| vec![reduce::mean(&table(x))]),
            vjp: Box::new(|x| flat(&reduce::mean_vjp((v, d), x[0]))),
        }.check(stream)?;
    }
}

#[test]
fn second_derivatives_are_central_differences_of_the_first() {
    // Away from ReLU's corner, where there is no derivative.
    let x: Array2<f64> = ndarray::array![[-3.1, -1.0, -0.2, 0.3, 0.9, 2.7]];
    let step = 1e-5;
    for kind in Activation::ALL {
        let slope = |x: &Array2<f64>| activation::derivative(kind, x, &activation::forward(kind, x)).unwrap();
        let difference = (slope(&(&x + step)) - slope(&(&x - step))) / (2.0 * step);
        let bend = activation::second_derivative(kind, &x, &activation::forward(kind, &x)).unwrap();
        for (bend, difference) in bend.iter().zip(&difference) {
            assert!((bend - difference).abs() < 1e-8, "{kind:?}: {bend} for {difference}");
        }
    }
    let (tanh, bloom) = (Activation::GeluTanh, Activation::GeluBloom);
    let apart = (activation::forward(tanh, &x) - activation::forward(bloom, &x)).mapv(f64::abs);
    let largest = apart.iter().copied().fold(0.0, f64::max);
    assert!(largest > 1e-12 && largest < 1e-8, "the constants differ in the ninth digit: {largest:e}");
}

#[test]
fn activations_have_finite_slopes_at_and_far_from_zero() {
    let x: Array2<f64> = ndarray::array![[0.0, -0.0, 1e-320, -1e-200, 700.0, -700.0, 1e8, -1e8]];
    for kind in Activation::ALL {
        let y = activation::forward(kind, &x);
        let slope = activation::derivative(kind, &x, &y).unwrap();
        assert!(slope.iter().all(|s| s.is_finite()), "{kind:?}: {slope}");
        let (at_zero, far) = match kind {
            Activation::Relu => (0.0, 1.0),
            Activation::Tanh => (1.0, 0.0),
            _ => (0.5, 1.0),
        };
        assert_eq!((slope[[0, 0]], slope[[0, 6]], slope[[0, 7]]), (at_zero, far, 0.0), "{kind:?}");
    }
}

#[test]
fn a_row_that_may_look_at_nothing_has_no_gradient() {
    let p = softmax::forward(&ndarray::array![[f64::NEG_INFINITY, f64::NEG_INFINITY]]);
    assert_eq!(softmax::vjp(&p, &ndarray::array![[1.0, 2.0]]).unwrap(), ndarray::array![[0.0, 0.0]]);
}

#[test]
fn wrong_shapes_and_targets_are_errors() {
    let x = Array2::<f64>::zeros((2, 3));
    assert!(matmul::vjp(&x, &Array2::zeros((3, 4)), &Array2::zeros((2, 5))).is_err());
    let error = cross_entropy::forward(&x, &[0, 3]).unwrap_err();
    assert_eq!(error.to_string(), "targets[1] is 3, but the table has only 3 rows");
    assert!(cross_entropy::forward(&x, &[0]).is_err());
    assert!(cross_entropy::forward(&Array2::<f64>::zeros((0, 3)), &[]).is_err());
    assert!(embedding::forward(&x, &[2]).is_err());
}

#[test]
fn cross_entropy_keeps_its_digits_beside_a_large_common_part() {
    let ln2 = std::f32::consts::LN_2;
    for common in [0.0, 1e8, -1e8, 1e30, -3e38] {
        let loss = cross_entropy::forward(&ndarray::array![[common, common]], &[1]).unwrap();
        assert_eq!(loss, ln2, "{common:e}");
        // Two rows, one of them ordinary: the mean of ln 2 and ln 4.
        let logits =
            ndarray::array![[common, common, -f32::INFINITY, -f32::INFINITY], [1.0_f32, 1.0, 1.0, 1.0]];
        let loss = cross_entropy::forward(&logits, &[0, 3]).unwrap();
        assert!((loss - 1.5 * ln2).abs() < 1e-6, "{common:e}: {loss}");
    }
    // 2^23 and its successor differ by one: the losses are those of the logits 0 and 1.
    let high = ndarray::array![[8_388_608.0_f32, 8_388_609.0]];
    let low = ndarray::array![[0.0_f32, 1.0]];
    for target in [0, 1] {
        assert_eq!(cross_entropy::forward(&high, &[target]), cross_entropy::forward(&low, &[target]));
    }
    let certain: f64 = cross_entropy::forward(&ndarray::array![[1e300, 0.0]], &[0]).unwrap();
    assert!(certain == 0.0 && certain.is_sign_positive());
    assert_eq!(cross_entropy::forward(&ndarray::array![[-f64::INFINITY; 2]], &[0]).unwrap(), f64::INFINITY);
    assert!(cross_entropy::forward(&ndarray::array![[f64::INFINITY, 0.0]], &[1]).unwrap().is_nan());
    assert!(cross_entropy::forward(&ndarray::array![[f64::NAN, 0.0]], &[1]).unwrap().is_nan());
}

#[test]
fn norms_and_their_derivatives_do_not_depend_on_the_scale_of_a_row() {
    let stream = &mut RngStream::new(9, 0);
    let (x, d_out, dot) = (matrix((3, 5), stream), matrix((3, 5), stream), matrix((3, 5), stream));
    let (gain, bias) = (vector(5, stream), vector(5, stream));
    let close = |a: &Array2<f64>, b: &Array2<f64>, what: &str| {
        let size = b.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-12 * size), "{what}: {a} for {b}");
    };
    let line = |x: Array1<f64>| x.insert_axis(ndarray::Axis(0));
    for scale in [1e-250, 1e-160, 1.0, 1e155, 1e200, 1e300] {
        let scaled = &x * scale;
        for epsilon in [0.0, 0.5] {
            // ε over the square of the scale is below the least number, or above the largest.
            let small = epsilon * scale * scale;
            if epsilon > 0.0 && !(1e-290..1e290).contains(&small) {
                continue;
            }
            let what = format!("scale {scale:e}, epsilon {epsilon}");
            let y = rms_norm::forward(&x, &gain, epsilon).unwrap();
            close(&rms_norm::forward(&scaled, &gain, small).unwrap(), &y, &what);
            let (d_x, d_gain) = rms_norm::vjp(&x, &gain, epsilon, &d_out).unwrap();
            let (by_x, by_gain) = rms_norm::vjp(&scaled, &gain, small, &d_out).unwrap();
            close(&(by_x * scale), &d_x, &what);
            close(&line(by_gain), &line(d_gain), &what);
            let along = rms_norm::jvp(&x, &gain, epsilon, &dot, &bias).unwrap();
            close(&rms_norm::jvp(&scaled, &gain, small, &(&dot * scale), &bias).unwrap(), &along, &what);
            let y = layer_norm::forward(&x, &gain, &bias, epsilon).unwrap();
            close(&layer_norm::forward(&scaled, &gain, &bias, small).unwrap(), &y, &what);
            let (d_x, d_gain, d_bias) = layer_norm::vjp(&x, &gain, epsilon, &d_out).unwrap();
            let (by_x, by_gain, by_bias) = layer_norm::vjp(&scaled, &gain, small, &d_out).unwrap();
            close(&(by_x * scale), &d_x, &what);
            close(&line(by_gain), &line(d_gain), &what);
            assert_eq!(by_bias, d_bias);
            let along = layer_norm::jvp(&x, &gain, epsilon, &dot, &bias, &gain).unwrap();
            let scaled_dot = &dot * scale;
            let given = layer_norm::jvp(&scaled, &gain, small, &scaled_dot, &bias, &gain).unwrap();
            close(&given, &along, &what);
        }
    }
}
