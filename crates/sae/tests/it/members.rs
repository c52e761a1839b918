//! Gradients of the newer members against central differences, and what each of them promises.

use collimate_sae::{
    AbsTopK, AuxK, BatchTopK, Crosscoder, CrosscoderSparsity, Gated, GatedDecoder, InputBias, JumpOn,
    JumpRelu, JumpReluSparsity, Levels, Magnitude, MatchingPursuit, Matryoshka, MultiTopK, PNorm, PNormForm,
    Path, PenaltyWeight, PreActivationLoss, PullOver, Ranking, Relu, Sae, Settings, Size, Skip, TopK,
    Transcoder, Variant, Weights, Workspace,
};
use collimate_stream::RngStream;
use ndarray::{Array1, Array2, array};

const SIZE: Size = Size { d_model: 4, n_latents: 9 };

fn random_weights(variant: &Variant, stream: &mut RngStream) -> Weights<f64> {
    let Size { d_model: d, n_latents: n } = SIZE;
    let untied = matches!(variant, Variant::Gated(gated) if gated.magnitude == Magnitude::Untied);
    let mut normal = |rows: usize, columns: usize, scale: f64| {
        Array2::from_shape_fn((rows, columns), |_| scale * stream.normal())
    };
    let w_enc = normal(n, if untied { 2 * d } else { d }, 0.7);
    let w_dec = normal(n, d, 0.7);
    let mut vector = |len: usize| normal(1, len, 0.3).row(0).to_owned();
    let b_dec = vector(d);
    let per_latent = variant.per_latent_names().iter().map(|name| match *name {
        "threshold" => vector(n).mapv(f64::abs),
        _ => vector(n),
    });
    Weights { w_enc, w_dec, b_dec, per_latent: per_latent.collect() }
}

fn parameter(weights: &mut Weights<f64>, mut index: usize) -> &mut f64 {
    let Weights { w_enc, w_dec, b_dec, per_latent } = weights;
    let slices = [w_enc.as_slice_mut(), w_dec.as_slice_mut(), b_dec.as_slice_mut()];
    for slice in slices.into_iter().chain(per_latent.iter_mut().map(|v| v.as_slice_mut())) {
        let slice = slice.unwrap();
        if index < slice.len() {
            return &mut slice[index];
        }
        index -= slice.len();
    }
    panic!("no such parameter");
}

/// Compares every parameter that is trained, where neither side of the difference changes what is active.
fn check_differences(variant: Variant, trained: impl Fn(usize) -> bool) {
    let mut compared = 0;
    for seed in 0..4 {
        let mut stream = RngStream::new(seed, 0);
        let weights = random_weights(&variant, &mut stream);
        let sae = Sae::from_weights(variant, weights.clone()).unwrap();
        let x = Array2::from_shape_fn((5, SIZE.d_model), |_| stream.normal());
        let settings = Settings { penalty: 0.3, path: Path::Sparse, ..Settings::default() };
        let (_, mut gradient) = sae.gradient(&x, &settings, &mut Workspace::default()).unwrap();
        let support =
            |sae: &Sae<f64>| sae.dictionary().encode(&x).unwrap().to_dense().mapv(|code| code != 0.0);
        let active = support(&sae);
        let step = 1e-5;
        for index in (0..gradient.len()).filter(|&i| trained(i)) {
            let moved = |by: f64| {
                let mut weights = weights.clone();
                *parameter(&mut weights, index) += by;
                let sae = Sae::from_weights(variant, weights).unwrap();
                let total = sae.gradient(&x, &settings, &mut Workspace::default()).unwrap().0.total;
                (support(&sae) == active).then_some(total)
            };
            let (Some(up), Some(down)) = (moved(step), moved(-step)) else { continue };
            let difference = (up - down) / (2.0 * step);
            let ours = *parameter(&mut gradient, index);
            assert!(
                (ours - difference).abs() <= 2e-6 * (1.0 + difference.abs()),
                "{variant:?} parameter {index}: gradient {ours}, difference {difference}"
            );
            compared += 1;
        }
    }
    assert!(compared > 50, "{variant:?}: only {compared} comparisons");
}

#[test]
fn gradients_are_derivatives() {
    let levels = Levels::new(&[2, 5, 9]).unwrap().weighted(&[0.5, 1.0, 2.0]).unwrap();
    let by_norm = Ranking::TimesDecoderNorm;
    let untied =
        Gated { magnitude: Magnitude::Untied, ..Gated::with_decoder(GatedDecoder::NormWeightedTrained) };
    let norm = PNorm { form: PNormForm::Norm, penalty: PenaltyWeight::DecoderNorm, ..PNorm::power_sum(1.5) };
    for variant in [
        AbsTopK::new(3).into(),
        norm.into(),
        PNorm { form: PNormForm::PowerSum, ..norm }.into(),
        BatchTopK::new(2.4).into(),
        BatchTopK { ranking: by_norm, input_bias: InputBias::NotSubtracted, ..BatchTopK::new(2.4) }.into(),
        Matryoshka { batch: BatchTopK::new(3.0), levels }.into(),
        MatchingPursuit::new(3).into(),
        TopK { multi: Some(MultiTopK { factor: 2, weight: 0.3 }), ..TopK::new(2) }.into(),
        TopK { ranking: by_norm, ..TopK::new(2) }.into(),
        Crosscoder::l1(2).into(),
        Crosscoder::batch_topk(2, 2.0).into(),
        Gated::with_decoder(GatedDecoder::UnitNormTrained).into(),
    ] {
        check_differences(variant, |_| true);
    }
    // r of an untied dictionary is not used, so its difference is zero like its gradient.
    check_differences(untied.into(), |_| true);
    // What an ablation or a baseline holds has no gradient: only the rest is compared.
    let (n, d) = (SIZE.n_latents, SIZE.d_model);
    let vectors = 2 * n * d + d;
    let held = Gated { magnitude: Magnitude::TiedWithoutRescaling, ..untied };
    check_differences(held.into(), |i| i < vectors + 2 * n);
    let baseline = collimate_sae::RescaleAndShift { input_bias: InputBias::Subtracted };
    check_differences(baseline.into(), |i| i >= vectors + n);
}

#[test]
fn what_is_held_has_no_gradient() {
    let mut stream = RngStream::new(1, 0);
    let baseline = Variant::from(collimate_sae::RescaleAndShift { input_bias: InputBias::Subtracted });
    let sae = Sae::from_weights(baseline, random_weights(&baseline, &mut stream)).unwrap();
    let x = Array2::from_shape_fn((5, SIZE.d_model), |_| stream.normal());
    let (_, gradient) = sae.gradient(&x, &Settings::default(), &mut Workspace::default()).unwrap();
    let held = gradient.w_enc.iter().chain(&gradient.w_dec).chain(&gradient.b_dec);
    assert!(held.chain(&gradient.per_latent[0]).all(|&g| g == 0.0));
    assert!(gradient.per_latent[2].iter().any(|&g| g != 0.0));
}

#[test]
fn both_paths_agree_on_thresholds() {
    let mut stream = RngStream::new(2, 0);
    let pull = |over| Some(PreActivationLoss { coefficient: 0.05, over });
    let wide = JumpRelu { bandwidth: 0.4, ..JumpRelu::paper() };
    for variant in [
        JumpRelu { pre_activation: pull(PullOver::All), ..wide },
        JumpRelu {
            pre_activation: pull(PullOver::Dead),
            sparsity: JumpReluSparsity::RowTarget { l0: 3.0 },
            ..wide
        },
        JumpRelu { jump: JumpOn::Rectified, sparsity: JumpReluSparsity::BatchTarget { l0: 3.0 }, ..wide },
        JumpRelu { bandwidth: 0.4, ..JumpRelu::tanh() },
    ] {
        let variant = Variant::from(variant);
        let sae = Sae::from_weights(variant, random_weights(&variant, &mut stream)).unwrap();
        let x = Array2::from_shape_fn((70, SIZE.d_model), |_| stream.normal());
        let run = |path| {
            let settings = Settings { penalty: 0.3, dead: &[1, 4], path, ..Settings::default() };
            sae.gradient(&x, &settings, &mut Workspace::default()).unwrap()
        };
        let ((sparse, mut a), (dense, mut b)) = (run(Path::Sparse), run(Path::Dense));
        assert!(!sparse.dense && dense.dense);
        assert!((sparse.total / dense.total - 1.0).abs() < 1e-10, "{variant:?}");
        for i in 0..a.len() {
            let (u, v) = (*parameter(&mut a, i), *parameter(&mut b, i));
            assert!((u - v).abs() <= 1e-9 * (1.0 + v.abs()), "{variant:?} {i}: {u} {v}");
        }
    }
}

#[test]
fn a_jump_on_the_rectified_pre_activation_reaches_latents_that_are_off() {
    // θ = 0.1 < ε/2: the latent is off at z = −5, far from θ, but ReLU(z) = 0 lies inside the window.
    let weights = Weights {
        w_enc: array![[1.0]],
        w_dec: array![[1.0]],
        b_dec: array![0.0],
        per_latent: vec![array![0.0], array![0.1]],
    };
    let threshold_gradient = |jump| -> f64 {
        let variant = JumpRelu { jump, bandwidth: 0.4, ..JumpRelu::paper() };
        let sae = Sae::from_weights(variant, weights.clone()).unwrap();
        let settings = Settings { penalty: 0.5, ..Settings::default() };
        sae.gradient(&array![[-5.0]], &settings, &mut Workspace::default()).unwrap().1.per_latent[1][0]
    };
    assert_eq!(threshold_gradient(JumpOn::PreActivation), 0.0);
    // −(θ·δ + λ)/ε with e = x̂ − x = 5, δ = 2e = 10.
    let expected: f64 = -(0.1 * 10.0 + 0.5) / 0.4;
    assert!((threshold_gradient(JumpOn::Rectified) - expected).abs() < 1e-12);
}

#[test]
fn the_examples_of_selection() {
    let weights = Weights {
        w_enc: Array2::eye(4),
        w_dec: Array2::eye(4),
        b_dec: Array1::zeros(4),
        per_latent: vec![Array1::zeros(4)],
    };
    let x = array![[3.0, 1.0, 2.5, 0.0], [0.2, 0.1, 4.0, 0.3]];
    let encode = |variant: Variant, x: &Array2<f64>| {
        Sae::from_weights(variant, weights.clone()).unwrap().dictionary().encode(x).unwrap().to_dense()
    };
    let top = encode(TopK::new(2).into(), &x);
    assert_eq!(top, array![[3.0, 0.0, 2.5, 0.0], [0.0, 0.0, 4.0, 0.3]]);
    let batch = encode(BatchTopK::new(2.0).into(), &x);
    assert_eq!(batch, array![[3.0, 1.0, 2.5, 0.0], [0.0, 0.0, 4.0, 0.0]]);
    // With a threshold each row stands alone, and equality is off.
    let threshold = encode(BatchTopK { threshold: Some(1.0), ..BatchTopK::new(2.0) }.into(), &x);
    assert_eq!(threshold, array![[3.0, 0.0, 2.5, 0.0], [0.0, 0.0, 4.0, 0.0]]);
    let signed = encode(AbsTopK::new(2).into(), &array![[-3.0, 1.0, 2.5, 0.0]]);
    assert_eq!(signed, array![[-3.0, 0.0, 2.5, 0.0]]);
    // Ties of a batch: the earlier row, then the smaller index.
    let ties = encode(BatchTopK::new(0.5).into(), &array![[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]);
    assert_eq!(ties, array![[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]);
}

#[test]
fn thresholds_of_a_batch_become_those_of_latents() {
    let mut stream = RngStream::new(3, 0);
    for ranking in [Ranking::PreActivation, Ranking::TimesDecoderNorm] {
        let variant = Variant::from(BatchTopK { ranking, threshold: Some(0.4), ..BatchTopK::new(3.0) });
        let sae = Sae::from_weights(variant, random_weights(&variant, &mut stream)).unwrap();
        let x = Array2::from_shape_fn((20, SIZE.d_model), |_| stream.normal());
        let (ours, jump) = (
            sae.dictionary().encode(&x).unwrap(),
            sae.to_jump_relu().unwrap().dictionary().encode(&x).unwrap(),
        );
        assert_eq!(ours.to_dense(), jump.to_dense());
        assert!(ours.n_stored() > 10);
        // Scaling the inputs scales the threshold with the biases.
        let folded = sae.with_input_scale(8.0).unwrap().dictionary().encode(&x).unwrap().to_dense();
        assert_eq!(folded * 8.0, sae.dictionary().encode(&(&x * 8.0)).unwrap().to_dense());
    }
    let without = Sae::<f64>::new(BatchTopK::new(3.0), SIZE, &mut stream).unwrap();
    assert!(without.to_jump_relu().is_err());
    // The threshold of a crosscoder is on f times the lengths of its layers, added up.
    let sparsity = CrosscoderSparsity::BatchTopK { k: 3.0, aux: None, threshold: Some(1.5) };
    let variant = Variant::from(Crosscoder { layers: 2, sparsity });
    let sae = Sae::from_weights(variant, random_weights(&variant, &mut stream)).unwrap();
    let x = Array2::from_shape_fn((20, SIZE.d_model), |_| stream.normal());
    let (ours, jump) =
        (sae.dictionary().encode(&x).unwrap(), sae.to_jump_relu().unwrap().dictionary().encode(&x).unwrap());
    assert_eq!(ours.to_dense(), jump.to_dense());
    let stored = ours.n_stored();
    assert!(stored > 10 && stored < 19 * SIZE.n_latents, "{stored}");
}

#[test]
fn a_skip_and_a_decoder_learn_together() {
    // y = A x + a sparse part of x: the skip finds A, the latents the rest.
    let mut stream = RngStream::new(4, 0);
    let variant = TopK { input_bias: InputBias::NotSubtracted, ..TopK::new(1) };
    let mut transcoder = Transcoder::<f64>::new(variant, 3, 2, 6, Skip::Zero, &mut stream).unwrap();
    let mut moments = transcoder.moments();
    let a = array![[0.5, -1.0, 0.0], [0.0, 0.3, 0.8]];
    let mut workspace = Workspace::default();
    let adam = collimate_sae::AdamParameters::standard();
    let mut losses = Vec::new();
    for _ in 0..400 {
        let x = Array2::from_shape_fn((64, 3), |_| stream.normal());
        let mut y = x.dot(&a.t());
        for (mut y, x) in y.rows_mut().into_iter().zip(x.rows()) {
            y[0] += (x[2] - 1.0).max(0.0);
        }
        let settings = Settings::default();
        losses.push(
            transcoder.step(&mut moments, &x, &y, &settings, &adam, 1e-2, &mut workspace).unwrap().total,
        );
    }
    assert!(losses[399] < 0.05 * losses[0], "{} → {}", losses[0], losses[399]);
    let subtracted = Transcoder::<f64>::new(TopK::new(1), 3, 2, 6, Skip::None, &mut stream);
    assert!(subtracted.is_err(), "b_dec belongs to the output");
}

#[test]
fn sizes_that_do_not_fit_a_member_are_refused() {
    let mut stream = RngStream::new(5, 0);
    let mut refused = |variant: Variant| Sae::<f64>::new(variant, SIZE, &mut stream).is_err();
    assert!(refused(Crosscoder::l1(3).into()));
    assert!(refused(Matryoshka { batch: BatchTopK::new(2.0), levels: Levels::new(&[2, 8]).unwrap() }.into()));
    assert!(refused(BatchTopK::new(0.0).into()) && refused(BatchTopK::new(10.0).into()));
    assert!(refused(AbsTopK::new(10).into()) && refused(MatchingPursuit::new(0).into()));
    assert!(refused(PNorm::power_sum(0.0).into()));
    assert!(refused(JumpRelu { bandwidth: 0.0, ..JumpRelu::paper() }.into()));
    let aux = Some(AuxK::new(0, 1.0));
    let sparsity = CrosscoderSparsity::BatchTopK { k: 1.0, aux, threshold: None };
    assert!(refused(Crosscoder { layers: 2, sparsity }.into()));
    assert!(Levels::new(&[3, 3]).is_err() && Levels::new(&[]).is_err() && Levels::new(&[0, 3]).is_err());
    assert!(!refused(Relu::unit_norm().into()));
    for size in [Size { d_model: 1 << 30, n_latents: 1 << 30 }, Size { d_model: usize::MAX, n_latents: 2 }] {
        let error = Sae::<f32>::new(Relu::unit_norm(), size, &mut stream).unwrap_err().to_string();
        assert!(error.contains("fit into memory"), "{error}");
        let Size { d_model, n_latents } = size;
        let transcoder =
            Transcoder::<f32>::new(Relu::unit_norm(), 2, d_model, n_latents, Skip::None, &mut stream);
        assert!(transcoder.is_err());
    }
}

#[test]
fn a_pursuit_ends_by_its_conditions() {
    // Two unit rows at 60°: the remainder of (1, 0) alternates between them and shrinks by half at each step.
    let half = 0.75_f64.sqrt();
    let weights = Weights {
        w_enc: Array2::zeros((2, 2)),
        w_dec: array![[1.0, 0.0], [0.5, half]],
        b_dec: Array1::zeros(2),
        per_latent: Vec::new(),
    };
    let codes = |pursuit: MatchingPursuit| {
        let sae = Sae::from_weights(pursuit, weights.clone()).unwrap();
        sae.dictionary().encode(&array![[1.0, half]]).unwrap().to_dense()
    };
    // The products are 1 and 0.5 + 0.75: latent 1 first, then latent 0 with 1 − 0.625.
    let two = codes(MatchingPursuit::new(2));
    assert!((&two - &array![[0.375, 1.25]]).iter().all(|v| v.abs() < 1e-12), "{two}");
    // The remainder is (0, half − 1.25·half): it points away from both, and the pursuit ends by itself.
    assert_eq!(codes(MatchingPursuit::new(9)), two);
    // After the first latent the remainder has the length √(0.375² + 0.0469) = 0.433.
    let near = MatchingPursuit { residual_threshold: 0.44, ..MatchingPursuit::new(9) };
    assert_eq!(codes(near)[[0, 0]], 0.0);
    let far = MatchingPursuit { residual_threshold: 0.43, ..MatchingPursuit::new(9) };
    assert_eq!(codes(far), two);
    // Rows longer than one overshoot, so the same latent is chosen again; the amounts add up.
    let long = Weights { w_dec: array![[0.5, 0.0], [0.0, 0.5]], ..weights.clone() };
    let again = |stops_at_repeat| {
        let pursuit = MatchingPursuit { stops_at_repeat, ..MatchingPursuit::new(3) };
        let sae = Sae::from_weights(pursuit, long.clone()).unwrap();
        sae.dictionary().encode(&array![[1.0, 0.0]]).unwrap().to_dense()[[0, 0]]
    };
    assert!((again(true) - (0.5 + 0.375)).abs() < 1e-12);
    assert!((again(false) - (0.5 + 0.375 + 0.28125)).abs() < 1e-12);
    let line = MatchingPursuit { residual_threshold: 0.5, ..MatchingPursuit::new(3) };
    assert_eq!(format!("{:?}", MatchingPursuit::new(3)), "MatchingPursuit { k: 3 }");
    assert_eq!(Variant::from(line).to_string().parse(), Ok(Variant::from(line)));
}

#[test]
fn pre_activations_have_the_bias_and_the_input_bias_of_the_member() {
    let mut stream = RngStream::new(6, 0);
    let x = Array2::from_shape_fn((5, SIZE.d_model), |_| stream.normal());
    let plain = Relu { penalty: PenaltyWeight::DecoderNorm, input_bias: InputBias::NotSubtracted };
    for (variant, subtracted) in [
        (Variant::from(TopK::new(2)), true),
        (plain.into(), false),
        (Gated::paper().into(), true),
        (Gated { magnitude: Magnitude::Untied, ..Gated::paper() }.into(), true),
    ] {
        let weights = random_weights(&variant, &mut stream);
        let sae = Sae::from_weights(variant, weights.clone()).unwrap();
        // The rows of the gate come first if the gated form has rows of its own for the magnitude.
        let encoder = weights.w_enc.slice(ndarray::s![.., ..SIZE.d_model]);
        let input = if subtracted { &x - &weights.b_dec } else { x.clone() };
        let expected = input.dot(&encoder.t()) + &weights.per_latent[0];
        let found = sae.dictionary().pre_activations(&x).unwrap();
        assert!(
            (&found - &expected).iter().all(|off| off.abs() < 1e-12),
            "{variant}: {found} and {expected}"
        );
    }
    let sae = Sae::<f64>::new(TopK::new(2), SIZE, &mut stream).unwrap();
    assert!(sae.dictionary().pre_activations(&array![[1.0, 2.0]]).is_err());
}

#[test]
fn the_loss_of_a_level_is_that_of_its_latents_alone() {
    let mut stream = RngStream::new(7, 0);
    let levels = Levels::new(&[2, 5, 9]).unwrap();
    let variant = Variant::from(Matryoshka { batch: BatchTopK::new(4.0), levels });
    let weights = random_weights(&variant, &mut stream);
    let sae = Sae::from_weights(variant, weights.clone()).unwrap();
    let x = Array2::from_shape_fn((6, SIZE.d_model), |_| stream.normal());
    let codes = sae.dictionary().encode(&x).unwrap().to_dense();
    let losses = sae.dictionary().level_losses(&x).unwrap();
    assert_eq!(losses.len(), 3);
    for (width, loss) in [2, 5, 9].into_iter().zip(losses) {
        let columns = ndarray::s![.., ..width];
        let made = codes.slice(columns).dot(&weights.w_dec.slice(ndarray::s![..width, ..])) + &weights.b_dec;
        let expected = (&x - &made).mapv(|e| e * e).sum() / 6.0;
        assert!((loss - expected).abs() < 1e-12 * expected, "{width}: {loss} and {expected}");
    }
    // Another member has one level, and a transcoder has no input to compare with.
    let sae = Sae::<f64>::new(TopK::new(2), SIZE, &mut stream).unwrap();
    assert_eq!(sae.dictionary().level_losses(&x).unwrap().len(), 1);
    let variant = TopK { input_bias: InputBias::NotSubtracted, ..TopK::new(1) };
    let transcoder = Transcoder::<f64>::new(variant, 4, 4, 9, Skip::None, &mut stream).unwrap();
    assert!(transcoder.dictionary().level_losses(&x).is_err());
}
