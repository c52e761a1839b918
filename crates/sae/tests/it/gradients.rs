//! Hand-derived gradients against central differences, and the two paths against each other.

use collimate_sae::{
    Gated, GatedDecoder, InputBias, Path, PenaltyWeight, Relu, Sae, Settings, Size, TopK, Variant, Weights,
    Workspace,
};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2};
use proptest::prelude::*;

fn random_sae(variant: Variant, size: Size, stream: &mut RngStream) -> Sae<f64> {
    let mut vector = |n: usize, scale: f64| Array1::from_shape_fn(n, |_| scale * stream.normal());
    let (d, n) = (size.d_model, size.n_latents);
    let matrix = |v: Array1<f64>| v.into_shape_with_order((n, d)).unwrap();
    let weights = Weights {
        w_enc: matrix(vector(n * d, 0.7)),
        w_dec: matrix(vector(n * d, 0.7)),
        b_dec: vector(d, 0.3),
        per_latent: variant.per_latent_names().iter().map(|_| vector(n, 0.3)).collect(),
    };
    Sae::from_weights(variant, weights).unwrap()
}

fn rows(b: usize, d: usize, stream: &mut RngStream) -> Array2<f64> {
    Array2::from_shape_fn((b, d), |_| stream.normal())
}

fn variants() -> [Variant; 6] {
    let input_bias = InputBias::Subtracted;
    [
        Relu::unit_norm().into(),
        Relu::norm_weighted().into(),
        Relu { penalty: PenaltyWeight::DecoderNorm, input_bias }.into(),
        TopK::new(3).into(),
        Gated::with_decoder(GatedDecoder::NormWeightedTrained).into(),
        Gated {
            input_bias: InputBias::NotSubtracted,
            ..Gated::with_decoder(GatedDecoder::NormWeightedTrained)
        }
        .into(),
    ]
}

/// Computes the distance of the nearest latent from switching on or off, or (TopK) from entering or leaving the k.
fn distance_to_kink(sae: &Sae<f64>, x: &Array2<f64>) -> f64 {
    let weights = sae.weights();
    let mut nearest = f64::INFINITY;
    for row in x.rows() {
        let input = match sae.variant().input_bias() {
            InputBias::Subtracted => &row - &weights.b_dec,
            InputBias::NotSubtracted => row.to_owned(),
        };
        let h = weights.w_enc.dot(&input);
        match sae.variant() {
            Variant::TopK(top) => {
                let mut pre = (&h + &weights.per_latent[0]).to_vec();
                nearest = pre.iter().fold(nearest, |m, v| m.min(v.abs()));
                pre.sort_by(|a, b| b.total_cmp(a));
                nearest = nearest.min(pre[top.k - 1] - pre.get(top.k).unwrap_or(&f64::NEG_INFINITY));
            }
            Variant::Gated(_) => {
                let gate = &h + &weights.per_latent[0];
                let magnitude = &h * &weights.per_latent[2].mapv(f64::exp) + &weights.per_latent[1];
                nearest = gate.iter().chain(&magnitude).fold(nearest, |m, v| m.min(v.abs()));
            }
            _ => nearest = (&h + &weights.per_latent[0]).iter().fold(nearest, |m, v| m.min(v.abs())),
        }
    }
    nearest
}

/// Returns every parameter of some weights, by number.
fn parameter(weights: &mut Weights<f64>, index: usize) -> &mut f64 {
    let (n, d) = weights.w_dec.dim();
    match index {
        i if i < n * d => &mut weights.w_enc.as_slice_mut().unwrap()[i],
        i if i < 2 * n * d => &mut weights.w_dec.as_slice_mut().unwrap()[i - n * d],
        i if i < 2 * n * d + d => &mut weights.b_dec[i - 2 * n * d],
        i => {
            let i = i - 2 * n * d - d;
            &mut weights.per_latent[i / n][i % n]
        }
    }
}

fn total(sae: &Sae<f64>, x: &Array2<f64>, settings: &Settings<'_>) -> f64 {
    sae.gradient(x, settings, &mut Workspace::default()).unwrap().0.total
}

fn check_differences(sae: &Sae<f64>, x: &Array2<f64>, settings: &Settings<'_>) -> Result<(), TestCaseError> {
    let (_, mut gradient) = sae.gradient(x, settings, &mut Workspace::default()).unwrap();
    let step = 1e-5;
    for index in 0..gradient.len() {
        let moved = |by: f64| {
            let mut weights = sae.weights().clone();
            *parameter(&mut weights, index) += by;
            total(&Sae::from_weights(*sae.variant(), weights).unwrap(), x, settings)
        };
        let difference = (moved(step) - moved(-step)) / (2.0 * step);
        let ours = *parameter(&mut gradient, index);
        prop_assert!(
            (ours - difference).abs() <= 1e-6 * (1.0 + difference.abs()),
            "{:?} parameter {index}: gradient {ours}, difference {difference}",
            sae.variant()
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // Members whose loss has no stop-gradient: the gradient is the derivative of the loss itself.
    #[test]
    fn gradients_are_derivatives(which in 0usize..6, d in 1usize..5, n in 3usize..9, b in 1usize..6, seed in 0u64..1000) {
        let mut stream = RngStream::new(seed, 0);
        let sae = random_sae(variants()[which], Size { d_model: d, n_latents: n }, &mut stream);
        let x = rows(b, d, &mut stream);
        prop_assume!(distance_to_kink(&sae, &x) > 1e-3);
        let settings = Settings { penalty: 0.3, path: Path::Sparse, ..Settings::default() };
        check_differences(&sae, &x, &settings)?;
    }

    // The paper's gated loss stops the gradient at the decoder of the auxiliary term, so its derivative is compared
    // where the stopped parameters do not enter: the gate, the magnitudes and the encoder.
    #[test]
    fn the_stopped_gradient_agrees_where_nothing_is_stopped(d in 1usize..5, n in 3usize..9, b in 1usize..6, seed in 0u64..1000) {
        let mut stream = RngStream::new(seed, 1);
        let sae = random_sae(Gated::paper().into(), Size { d_model: d, n_latents: n }, &mut stream);
        let x = rows(b, d, &mut stream);
        prop_assume!(distance_to_kink(&sae, &x) > 1e-3);
        let settings = Settings { penalty: 0.3, path: Path::Sparse, ..Settings::default() };
        let (_, mut gradient) = sae.gradient(&x, &settings, &mut Workspace::default()).unwrap();
        let step = 1e-5;
        let stopped = n * d..2 * n * d + d;
        for index in (0..gradient.len()).filter(|i| !stopped.contains(i)) {
            let moved = |by: f64| {
                let mut weights = sae.weights().clone();
                *parameter(&mut weights, index) += by;
                total(&Sae::from_weights(*sae.variant(), weights).unwrap(), &x, &settings)
            };
            let difference = (moved(step) - moved(-step)) / (2.0 * step);
            let ours = *parameter(&mut gradient, index);
            prop_assert!((ours - difference).abs() <= 1e-6 * (1.0 + difference.abs()), "{index}: {ours} {difference}");
        }
    }

    #[test]
    fn both_paths_agree(which in 0usize..6, d in 1usize..20, n in 3usize..600, b in 1usize..150, seed in 0u64..1000) {
        let mut stream = RngStream::new(seed, 2);
        let variant = if which == 3 { Gated::paper().into() } else { variants()[which] };
        let sae = random_sae(variant, Size { d_model: d, n_latents: n }, &mut stream);
        let x = rows(b, d, &mut stream);
        let run = |path| {
            let settings = Settings { penalty: 0.3, path, ..Settings::default() };
            sae.gradient(&x, &settings, &mut Workspace::default()).unwrap()
        };
        let ((sparse, mut a), (dense, mut c)) = (run(Path::Sparse), run(Path::Dense));
        prop_assert!(!sparse.dense && dense.dense);
        prop_assert!((sparse.total / dense.total - 1.0).abs() < 1e-10);
        prop_assert_eq!(sparse.l0, dense.l0);
        for i in 0..a.len() {
            let (u, v) = (*parameter(&mut a, i), *parameter(&mut c, i));
            prop_assert!((u - v).abs() <= 1e-8 * (1.0 + v.abs()), "{}: {} {}", i, u, v);
        }
    }
}
