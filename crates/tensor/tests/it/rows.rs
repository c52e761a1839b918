use collimate_stream::RngStream;
use collimate_tensor::{
    axpy, dot, gelu_erf, gelu_tanh, layer_norm_into, log_softmax_in_place, log_sum_exp, rms_norm_into, silu,
    silu_times, softmax_in_place, softmax_rows,
};
use ndarray::Array2;
use proptest::prelude::*;

fn row(n: usize, scale: f64, seed: u64) -> Vec<f64> {
    let mut stream = RngStream::new(seed, 0);
    (0..n).map(|_| scale * stream.normal()).collect()
}

fn assert_close(given: &[f64], expected: &[f64], tolerance: f64) {
    for (i, (g, e)) in given.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * e.abs().max(1.0), "entry {i}: {g} against {e}");
    }
}

proptest! {
    #[test]
    fn softmax_and_log_sum_exp_agree_with_the_definition(n in 1usize..200, power in -2i32..5, seed in 0u64..1000) {
        let x = row(n, 10f64.powi(power), seed);
        let top = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = x.iter().map(|v| (v - top).exp()).sum();
        let expected: Vec<f64> = x.iter().map(|v| (v - top).exp() / sum).collect();
        let mut y = x.clone();
        softmax_in_place(&mut y);
        assert_close(&y, &expected, 1e-14);
        prop_assert!((log_sum_exp(&x) - (top + sum.ln())).abs() <= 1e-13 * top.abs().max(1.0));
        let mut z = x.clone();
        log_softmax_in_place(&mut z);
        assert_close(&z, &x.iter().map(|v| v - top - sum.ln()).collect::<Vec<_>>(), 1e-12);
        let mut narrow: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        softmax_in_place(&mut narrow);
        let total: f64 = narrow.iter().map(|&v| f64::from(v)).sum();
        prop_assert!((total - 1.0).abs() < 1e-5);
    }

    #[test]
    fn norms_and_products_agree_with_the_definition(n in 1usize..200, seed in 0u64..1000) {
        let (x, g, b) = (row(n, 3.0, seed), row(n, 1.0, seed + 1), row(n, 1.0, seed + 2));
        let mean = x.iter().sum::<f64>() / n as f64;
        let square = x.iter().map(|v| v * v).sum::<f64>() / n as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        let mut out = vec![0.0; n];
        rms_norm_into(&x, &g, 1e-5, &mut out);
        assert_close(&out, &(0..n).map(|i| x[i] / (square + 1e-5).sqrt() * g[i]).collect::<Vec<_>>(), 1e-13);
        layer_norm_into(&x, &g, &b, 1e-5, &mut out);
        let expected: Vec<f64> = (0..n).map(|i| (x[i] - mean) / (variance + 1e-5).sqrt() * g[i] + b[i]).collect();
        assert_close(&out, &expected, 1e-11);
        let size: f64 = x.iter().zip(&g).map(|(a, b)| (a * b).abs()).sum();
        prop_assert!((dot(&x, &g) - x.iter().zip(&g).map(|(a, b)| a * b).sum::<f64>()).abs() <= 1e-14 * size);
        let mut y = b.clone();
        axpy(0.7, &x, &mut y);
        assert_close(&y, &(0..n).map(|i| b[i] + 0.7 * x[i]).collect::<Vec<_>>(), 1e-15);
    }

    #[test]
    fn activations_agree_with_the_definition(seed in 0u64..1000) {
        let x = row(50, 4.0, seed);
        let each = |f: fn(f64) -> f64| x.iter().map(|&v| f(v)).collect::<Vec<_>>();
        let mut y = x.clone();
        silu(&mut y);
        assert_close(&y, &each(|v| v / (1.0 + (-v).exp())), 1e-14);
        let up = row(50, 1.0, seed + 7);
        let mut gated = vec![0.0; 50];
        silu_times(&x, &up, &mut gated);
        assert_close(&gated, &y.iter().zip(&up).map(|(a, b)| a * b).collect::<Vec<_>>(), 1e-15);
        let mut y = x.clone();
        gelu_tanh(&mut y);
        let u = |v: f64| (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044715 * v.powi(3));
        assert_close(&y, &x.iter().map(|&v| 0.5 * v * (1.0 + u(v).tanh())).collect::<Vec<_>>(), 1e-13);
        let mut exact = x.clone();
        gelu_erf(&mut exact);
        for (a, b) in exact.iter().zip(&y) {
            prop_assert!((a - b).abs() < 5e-4); // the published distance of the approximation
        }
    }
}

#[test]
fn masked_and_broken_rows() {
    let mut masked = [f64::NEG_INFINITY; 20];
    softmax_in_place(&mut masked);
    assert_eq!(masked, [0.0; 20]);
    assert_eq!(log_sum_exp(&[f64::NEG_INFINITY; 3]), f64::NEG_INFINITY);
    assert_eq!(log_sum_exp::<f64>(&[]), f64::NEG_INFINITY);
    for bad in [f64::NAN, f64::INFINITY] {
        let mut x = Array2::<f64>::zeros((2, 40));
        x[[0, 33]] = bad;
        softmax_rows(&mut x);
        assert!(x.row(0).iter().all(|v| v.is_nan()), "{bad} reaches its row");
        assert!(x.row(1).iter().all(|v| *v == 1.0 / 40.0), "and no other");
    }
    let mut only_nan = [f32::NAN, f32::NEG_INFINITY];
    softmax_in_place(&mut only_nan);
    assert!(only_nan[0].is_nan());
}

#[test]
fn softmax_of_a_transposed_view() {
    let mut x = Array2::from_shape_fn((3, 2), |(i, j)| (i * (j + 1)) as f64);
    let mut expected = x.t().as_standard_layout().into_owned();
    softmax_rows(&mut expected);
    softmax_rows(&mut x.view_mut().reversed_axes());
    assert_eq!(x.t(), expected);
}

#[test]
fn log_sum_exp_of_infinities_is_its_limit() {
    let infinity = f32::INFINITY;
    assert_eq!(log_sum_exp(&[infinity, 0.0]), infinity);
    assert_eq!(log_sum_exp(&[infinity, infinity, -infinity]), infinity);
    assert_eq!(log_sum_exp(&[-infinity, 3.0]), 3.0);
    // NaN is named by NaN, also beside infinities.
    assert!(log_sum_exp(&[infinity, f32::NAN]).is_nan() && log_sum_exp(&[f32::NAN, -infinity]).is_nan());
    let mut long = vec![0.0_f64; 100];
    long[77] = f64::INFINITY;
    assert_eq!(log_sum_exp(&long), f64::INFINITY);
}

/// Checks that a norm of `scale · x` with `scale² ε` equals the norm of `x` with ε, for a row of any length.
fn assert_scale_free(scale: f64, tolerance: f64) {
    let x = row(37, 1.0, 5);
    let (gain, bias) = (row(37, 1.0, 6), row(37, 1.0, 7));
    let f = |x: &[f64], by: f64| x.iter().map(|v| (v * by) as f32).collect::<Vec<f32>>();
    let close = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).all(|(a, b)| f64::from((a - b).abs()) < tolerance * f64::from(b.abs()).max(1.0))
    };
    for epsilon in [0.0, 0.3] {
        let (mut plain, mut scaled) = (vec![0.0_f32; 37], vec![0.0_f32; 37]);
        let small = (epsilon * scale * scale) as f32;
        rms_norm_into(&f(&x, 1.0), &f(&gain, 1.0), epsilon as f32, &mut plain);
        rms_norm_into(&f(&x, scale), &f(&gain, 1.0), small, &mut scaled);
        if small.is_finite() && (epsilon == 0.0 || f64::from(small) > 1e-36) {
            assert!(close(&scaled, &plain), "{scale:e} {epsilon}: {scaled:?} for {plain:?}");
        }
        layer_norm_into(&f(&x, 1.0), &f(&gain, 1.0), &f(&bias, 1.0), epsilon as f32, &mut plain);
        layer_norm_into(&f(&x, scale), &f(&gain, 1.0), &f(&bias, 1.0), small, &mut scaled);
        if small.is_finite() && (epsilon == 0.0 || f64::from(small) > 1e-36) {
            assert!(close(&scaled, &plain), "{scale:e} {epsilon}: {scaled:?} for {plain:?}");
        }
    }
}

#[test]
fn norms_do_not_depend_on_the_scale_of_a_row() {
    // 30 units of the last place of f32: 37 squares, a root and a division.
    for exponent in [-37, -25, -20, -17, -10, 0, 10, 15, 18, 19, 25, 37] {
        assert_scale_free(10_f64.powi(exponent), 30.0 * f64::from(f32::EPSILON));
    }
    let mut out = [0.0_f32; 4];
    rms_norm_into(&[1e19; 4], &[1.0; 4], 1e-5, &mut out);
    assert_eq!(out, [1.0; 4]);
    rms_norm_into(&[3e38, -3e38, 3e38, -3e38], &[2.0; 4], 1e-5, &mut out);
    assert_eq!(out, [2.0, -2.0, 2.0, -2.0]);
    // A small row beside a large ε is the row over √ε.
    rms_norm_into(&[1e-30; 4], &[1.0; 4], 1e-4, &mut out);
    assert!(out.iter().all(|x| (x / 1e-28 - 1.0).abs() < 1e-6), "{out:?}");
    rms_norm_into(&[1e-30; 4], &[1.0; 4], 1e-40, &mut out);
    assert!(out.iter().all(|x| (x / 1e-10 - 1.0).abs() < 1e-4), "{out:?}");
    // The mean of a row may overflow before its variance does. A constant row has the variance 0.
    layer_norm_into(&[3e38, 3e38, 3e38, -3e38], &[1.0; 4], &[0.0; 4], 1e-5, &mut out);
    let third = 1.0 / 3.0_f32.sqrt();
    assert_close(&out.map(f64::from), &[third, third, third, -3.0 * third].map(f64::from), 1e-6);
    layer_norm_into(&[3e38; 4], &[1.0; 4], &[7.0; 4], 1e-5, &mut out);
    assert_eq!(out, [7.0; 4]);
    let mut wide = [0.0_f64; 2];
    rms_norm_into(&[1e200, 1e200], &[1.0; 2], 1e-5, &mut wide);
    assert_eq!(wide, [1.0; 2]);
}

#[test]
fn norms_of_rows_with_nan_or_infinity_name_them() {
    let mut out = [0.0_f32; 3];
    rms_norm_into(&[1.0, f32::NAN, 2.0], &[1.0; 3], 1e-5, &mut out);
    assert!(out.iter().all(|x| x.is_nan()));
    rms_norm_into(&[1.0, f32::INFINITY, 2.0], &[1.0; 3], 1e-5, &mut out);
    assert!(out[0] == 0.0 && out[1].is_nan() && out[2] == 0.0);
    layer_norm_into(&[1.0, f32::INFINITY, 2.0], &[1.0; 3], &[0.0; 3], 1e-5, &mut out);
    assert!(out.iter().all(|x| x.is_nan()));
    rms_norm_into(&[0.0; 3], &[1.0; 3], 0.0, &mut out);
    assert!(out.iter().all(|x| x.is_nan()));
    rms_norm_into(&[0.0; 3], &[1.0; 3], 1e-5, &mut out);
    assert_eq!(out, [0.0; 3]);
}
