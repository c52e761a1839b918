//! Whole runs on planted data.

use collimate_grad::WarmUp;
use collimate_sae::{
    AbsTopK, AdamParameters, BatchTopK, BiasStart, Crosscoder, Gated, GatedDecoder, InputBias, JumpRelu, L1,
    Levels, Magnitude, MatchingPursuit, Matryoshka, MultiTopK, Normalisation, PNorm, Path, PenaltyWeight,
    Planted, Relu, Resampling, Sae, SaeError, Settings, Size, Skip, TargetL0, TopK, Trained, Training,
    TrainingConfig, Transcoder, Variant, Workspace, epochs, evaluate, mmcs, mmcs_null, train_together,
};
use collimate_stream::RngStream;
use ndarray::Array2;

const SIZE: Size = Size { d_model: 16, n_latents: 48 };

fn config(l1: f64) -> TrainingConfig {
    TrainingConfig {
        steps: 1500,
        batch: 256,
        l1: L1::sum_over_dims(l1),
        learning_rate: 3e-3,
        warm_up: WarmUp::Linear { steps: 50, from: 0.0 },
        sparsity_warm_up: 200,
        normalisation: Normalisation::None,
        dead_after_rows: 50_000,
        log_every: 500,
        ..TrainingConfig::default()
    }
}

fn planted() -> (Planted, Array2<f32>, Array2<f32>) {
    let mut stream = RngStream::named(7, "planted");
    let planted = Planted::random(24, 16, 0.06, 0.0, &mut stream);
    let rows = planted.rows(20_000, &mut stream);
    let held_out = planted.rows(4000, &mut stream);
    (planted, rows, held_out)
}

fn train(variant: impl Into<Variant>, config: TrainingConfig, rows: &Array2<f32>) -> Trained<Sae<f32>> {
    let sae = Sae::new(variant, SIZE, &mut RngStream::named(7, "init")).unwrap();
    let rows = epochs(rows, 512, &mut RngStream::named(7, "order"));
    Training::new(sae, config).unwrap().run(rows, |_| ()).unwrap()
}

#[test]
fn every_member_recovers_the_planted_directions() {
    let (planted, rows, held_out) = planted();
    let floor = mmcs_null(&planted.directions, 48, &mut RngStream::new(1, 0));
    assert!(floor < 0.6, "{floor}");
    for (variant, l1) in
        [(Variant::from(Relu::unit_norm()), 0.3), (Gated::paper().into(), 0.8), (TopK::new(2).into(), 0.0)]
    {
        let trained = train(variant, config(l1), &rows);
        let found = mmcs(&planted.directions, &trained.model.weights().w_dec.mapv(f64::from)).unwrap();
        assert!(found > 0.93, "{variant:?}: {found} (floor {floor})");
        let evaluation = evaluate(trained.model.dictionary(), [held_out.clone()]).unwrap();
        let variance = evaluation.sums.explained_variance();
        assert!(variance > 0.85, "{variant:?}: explained variance {variance}");
        assert!(evaluation.sums.l0() < 8.0, "{variant:?}: L0 {}", evaluation.sums.l0());
        for row in trained.model.weights().w_dec.rows() {
            assert!((row.dot(&row) - 1.0).abs() < 1e-5, "decoder rows keep length one");
        }
    }
}

#[test]
fn every_choice_of_every_member_trains() {
    let (_, rows, held_out) = planted();
    let mut members: Vec<(Variant, f64)> = vec![
        (Relu::norm_weighted().into(), 0.1),
        (PNorm::power_sum(0.8).into(), 0.1),
        (JumpRelu::paper().into(), 0.05),
        (JumpRelu::tanh().into(), 0.05),
        (TopK::new(3).with_aux(8).into(), 0.0),
        (TopK { multi: Some(MultiTopK::paper()), ..TopK::new(3) }.into(), 0.0),
        (BatchTopK::new(2.5).with_aux(8).into(), 0.0),
        (Matryoshka { batch: BatchTopK::new(2.5), levels: Levels::new(&[16, 48]).unwrap() }.into(), 0.0),
        (AbsTopK::new(3).into(), 0.0),
        (MatchingPursuit::new(3).into(), 0.0),
        (Crosscoder::l1(2).into(), 0.1),
        (Crosscoder::batch_topk(2, 3.0).into(), 0.0),
    ];
    for decoder in [
        GatedDecoder::UnitNormFrozen,
        GatedDecoder::UnitNormTrained,
        GatedDecoder::NormWeightedFrozen,
        GatedDecoder::NormWeightedTrained,
    ] {
        for magnitude in [Magnitude::Tied, Magnitude::TiedWithoutRescaling, Magnitude::Untied] {
            members.push((Gated { magnitude, ..Gated::with_decoder(decoder) }.into(), 0.3));
        }
    }
    for (variant, l1) in members {
        let start = Sae::<f32>::new(variant, SIZE, &mut RngStream::named(7, "init")).unwrap();
        let before = evaluate(start.dictionary(), [held_out.clone()]).unwrap().sums.mse();
        let short = TrainingConfig {
            steps: 150,
            sparsity_warm_up: 50,
            dead_after_rows: 5000,
            log_every: 50,
            resampling: Some(Resampling { every: 60, until: 100, encoder_scale: 0.2, rewarm_steps: 10 }),
            ..config(l1)
        };
        let trained = train(variant, short, &rows);
        let sums = evaluate(trained.model.dictionary(), [held_out.clone()]).unwrap().sums;
        assert!(sums.mse() < 0.6 * before, "{variant:?}: {} after {before}", sums.mse());
        assert!(
            sums.l0() > 0.1 && trained.log.iter().all(|entry| entry.losses.total.is_finite()),
            "{variant:?}"
        );
        let held = |row: ndarray::ArrayView1<'_, f32>| (row.dot(&row) - 1.0).abs() < 1e-4;
        let unit = trained.model.weights().w_dec.rows().into_iter().all(held);
        assert!(unit || !variant.unit_norm_decoder(), "{variant:?}");
    }
}

#[test]
fn a_transcoder_to_itself_trains_as_the_dictionary_and_others_learn_their_map() {
    let (_, rows, _) = planted();
    for variant in [
        Variant::from(Relu { penalty: PenaltyWeight::UnitNorm, input_bias: InputBias::NotSubtracted }),
        TopK { input_bias: InputBias::NotSubtracted, ..TopK::new(3).with_aux(8) }.into(),
        BatchTopK { input_bias: InputBias::NotSubtracted, ..BatchTopK::new(2.5) }.into(),
    ] {
        let short = TrainingConfig {
            steps: 100,
            dead_after_rows: 5000,
            normalisation: Normalisation::ExpectedNormSqrtDim,
            ..config(0.1)
        };
        let sae = Sae::<f32>::new(variant, SIZE, &mut RngStream::named(7, "init")).unwrap();
        let transcoder = Transcoder::from_weights(variant, sae.weights().clone(), None).unwrap();
        let alone = train(variant, short.clone(), &rows);
        let both = ndarray::concatenate![ndarray::Axis(1), rows, rows];
        let pairs = epochs(&both, 512, &mut RngStream::named(7, "order"));
        let trained = Training::new(transcoder, short.clone()).unwrap().run(pairs, |_| ()).unwrap();
        assert_eq!(trained.input_scale, alone.input_scale);
        assert_eq!(trained.model.weights(), alone.model.weights(), "{variant:?}");
        assert_eq!((&trained.log, &trained.dead), (&alone.log, &alone.dead));
        // Another space: the first eight columns of the rows doubled, with a skip and without.
        let y = rows.slice(ndarray::s![.., ..8]).mapv(|v| 2.0 * v);
        let pairs = ndarray::concatenate![ndarray::Axis(1), rows, y];
        for skip in [Skip::None, Skip::Zero] {
            let start = Transcoder::<f32>::new(variant, 16, 8, 48, skip, &mut RngStream::new(3, 0)).unwrap();
            let order = epochs(&pairs, 512, &mut RngStream::named(7, "order"));
            let longer = TrainingConfig { steps: 400, ..short.clone() };
            let trained = Training::new(start, longer).unwrap().run(order, |_| ()).unwrap();
            let off = &trained.model.dictionary().reconstruct(&rows).unwrap() - &y;
            let unexplained = off.mapv(|v| v * v).sum() / y.mapv(|v| v * v).sum();
            assert!(unexplained < 0.3, "{variant:?} {skip:?}: {unexplained}");
            assert_eq!(trained.model.skip().is_some(), skip == Skip::Zero);
        }
        let resampling = Resampling { every: 10, until: 50, encoder_scale: 0.2, rewarm_steps: 5 };
        let asked = TrainingConfig { resampling: Some(resampling), ..short };
        let start =
            Transcoder::<f32>::new(variant, 16, 8, 48, Skip::None, &mut RngStream::new(3, 0)).unwrap();
        assert!(matches!(Training::new(start, asked), Err(SaeError::Unsupported { .. })));
    }
}

#[test]
fn one_thread_and_many_give_the_same_bits() {
    let (_, rows, _) = planted();
    // Large enough that the blocks and the products do run on the pool, with a dense start and a sparse end.
    let size = Size { d_model: 16, n_latents: 700 };
    for variant in [Variant::from(Relu::unit_norm()), Gated::paper().into(), TopK::new(4).with_aux(8).into()]
    {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let sae = Sae::<f32>::new(variant, size, &mut RngStream::named(7, "init")).unwrap();
                let config = TrainingConfig { steps: 12, dead_after_rows: 300, log_every: 4, ..config(0.1) };
                let rows = epochs(&rows, 300, &mut RngStream::named(7, "order"));
                Training::new(sae, config).unwrap().run(rows, |_| ()).unwrap()
            })
        };
        let (one, three) = (run(1), run(3));
        assert_eq!(one.model, three.model);
        assert_eq!(one.log, three.log);
    }
}

#[test]
fn the_scale_of_the_inputs_is_folded() {
    let (_, rows, held_out) = planted();
    let large = &rows * 37.0;
    let config =
        TrainingConfig { normalisation: Normalisation::ExpectedNormSqrtDim, steps: 200, ..config(0.1) };
    let a = train(Gated::paper(), config.clone(), &rows);
    let b = train(Gated::paper(), config, &large);
    assert!((a.input_scale / b.input_scale - 37.0).abs() < 1e-4);
    let (x, y) = (
        a.model.dictionary().reconstruct(&held_out).unwrap(),
        b.model.dictionary().reconstruct(&(&held_out * 37.0)).unwrap(),
    );
    let difference = (&y / 37.0 - &x).iter().fold(0f32, |m, v| m.max(v.abs()));
    assert!(difference < 1e-2, "{difference}");
}

#[test]
fn a_run_may_stop_and_go_on() {
    let (_, rows, _) = planted();
    let rows = || epochs(&rows, 300, &mut RngStream::named(7, "order")).take(200);
    let config = TrainingConfig {
        steps: 60,
        dead_after_rows: 2000,
        resampling: Some(Resampling { every: 20, until: 50, encoder_scale: 0.2, rewarm_steps: 15 }),
        ..config(0.5)
    };
    let start = || {
        let sae = Sae::<f32>::new(Relu::unit_norm(), SIZE, &mut RngStream::named(7, "init")).unwrap();
        Training::new(sae, config.clone()).unwrap()
    };
    let whole = start().run(rows(), |_| ()).unwrap();
    for stop in [1, 19, 20, 33] {
        let mut part = start();
        part.advance(rows(), stop, &mut |_| ()).unwrap();
        assert_eq!(part.step(), stop);
        let rest = part.run(rows(), |_| ()).unwrap();
        assert_eq!(rest.model, whole.model, "stopped at {stop}");
        assert_eq!(rest.log, whole.log);
    }
}

#[test]
fn trained_together_is_trained_alone() {
    let (_, rows, _) = planted();
    let rows = || epochs(&rows, 300, &mut RngStream::named(7, "order"));
    let start = |variant: Variant, steps| {
        let sae = Sae::<f32>::new(variant, SIZE, &mut RngStream::named(7, "init")).unwrap();
        Training::new(sae, TrainingConfig { steps, log_every: 5, ..config(0.3) }).unwrap()
    };
    let members = [(Variant::from(Relu::unit_norm()), 20), (TopK::new(2).into(), 30)];
    let runs = members.map(|(variant, steps)| start(variant, steps)).to_vec();
    let together = train_together(runs, rows(), |_, _| ()).unwrap();
    for ((variant, steps), together) in members.into_iter().zip(together) {
        let alone = start(variant, steps).run(rows(), |_| ()).unwrap();
        assert_eq!((together.model, together.log), (alone.model, alone.log));
    }
    let mut other = config(0.3);
    other.batch = 100;
    let sae = Sae::<f32>::new(TopK::new(2), SIZE, &mut RngStream::new(1, 0)).unwrap();
    let runs = vec![start(Relu::unit_norm().into(), 5), Training::new(sae, other).unwrap()];
    assert!(train_together(runs, rows(), |_, _| ()).is_err(), "batches of different sizes");
}

#[test]
fn lambda_is_steered_to_the_wanted_number_of_active_latents() {
    let (_, rows, _) = planted();
    let target = TargetL0 { l0: 3.0, gain: 0.03 };
    let trained = train(Relu::unit_norm(), TrainingConfig { target_l0: Some(target), ..config(0.02) }, &rows);
    let free = train(Relu::unit_norm(), config(0.02), &rows);
    let (steered, free) = (trained.log.last().unwrap().losses.l0, free.log.last().unwrap().losses.l0);
    assert!((steered - 3.0).abs() < 0.6 && (free - 3.0).abs() > 0.6, "{steered} {free}");
}

#[test]
fn a_diverging_run_says_where() {
    let (_, rows, _) = planted();
    let config = TrainingConfig { learning_rate: 1e30, steps: 50, warm_up: WarmUp::None, ..config(0.1) };
    let sae = Sae::<f32>::new(Relu::norm_weighted(), SIZE, &mut RngStream::named(7, "init")).unwrap();
    let rows = epochs(&rows, 300, &mut RngStream::named(7, "order"));
    let error = Training::new(sae, config).unwrap().run(rows, |_| ()).unwrap_err();
    let SaeError::Diverged { step, tensor } = error else { panic!("{error}") };
    assert!(step < 5 && !tensor.is_empty());
}

#[test]
fn a_gradient_too_large_to_be_squared_names_its_tensor() {
    // Latents that are never active: the rows act on the decoder bias alone, whose gradient is twice the rows.
    let sae = |encoder: f32, bias: f32| {
        let weights = collimate_sae::Weights {
            w_enc: Array2::from_elem((2, 1), encoder),
            w_dec: Array2::from_elem((2, 1), 0.5),
            b_dec: ndarray::Array1::zeros(1),
            per_latent: vec![ndarray::Array1::from_elem(2, bias)],
        };
        Sae::<f32>::from_weights(Relu::norm_weighted(), weights).unwrap()
    };
    let run = |sae: Sae<f32>, size: f32| {
        let config = TrainingConfig {
            steps: 3,
            batch: 1,
            warm_up: WarmUp::None,
            bias_start: BiasStart::Given,
            ..config(0.0)
        };
        let training = Training::new(sae, config).unwrap();
        training.run((0..3).map(|_| Array2::from_elem((1, 1), size)), |_| ())
    };
    // The loss x² of a row is finite, but the square of the gradient 2x is not.
    for size in [1.2e19, -1.5e19] {
        match run(sae(0.0, -1.0), size).map(drop).unwrap_err() {
            SaeError::Diverged { step: 0, tensor: "b_dec" } => {}
            error => panic!("{size:e}: {error}"),
        }
    }
    // Beyond, the loss itself is named.
    let error = run(sae(0.0, -1.0), 1e21).map(drop).unwrap_err();
    assert!(matches!(error, SaeError::Diverged { step: 0, tensor: "the reconstruction loss" }), "{error}");
    // Below the limit the bias moves by about the learning rate, 0.003, in each step but the last, whose rate has decayed.
    let moved = run(sae(0.0, -1.0), 1e18).unwrap().model.weights().b_dec[0];
    assert!((0.005..0.0095).contains(&moved), "{moved}");
}

#[test]
fn bad_rows_and_short_sources_are_named() {
    let start = || {
        let sae = Sae::<f32>::new(TopK::new(2), SIZE, &mut RngStream::named(7, "init")).unwrap();
        Training::new(sae, TrainingConfig { bias_start: BiasStart::Given, ..config(0.0) }).unwrap()
    };
    let mut bad = Array2::<f32>::ones((300, 16));
    bad[[5, 3]] = f32::NAN;
    let error = start().run([bad], |_| ()).unwrap_err();
    assert!(matches!(error, SaeError::NonFiniteInput { row: 5, column: 3, .. }), "{error}");
    let error = start().run([Array2::<f32>::ones((300, 16))], |_| ()).unwrap_err();
    assert!(matches!(error, SaeError::Exhausted { given: 256 | 300, .. }), "{error}");
    let error = start().run([Array2::<f32>::ones((300, 15))], |_| ()).unwrap_err();
    assert!(matches!(error, SaeError::Mismatch { .. }), "{error}");
}

#[test]
fn the_origin_names_everything_that_makes_the_result() {
    let start = |config: TrainingConfig, seed| {
        let sae = Sae::<f32>::new(TopK::new(2), SIZE, &mut RngStream::named(seed, "init")).unwrap();
        Training::new(sae, config).unwrap().origin()
    };
    let base = start(config(0.0), 1);
    assert_eq!(base, start(config(0.0), 1));
    assert_ne!(base, start(config(0.0), 2));
    assert_ne!(base, start(TrainingConfig { learning_rate: 1e-3, ..config(0.0) }, 1));
}

#[test]
fn dead_latents_get_a_new_start_and_the_living_are_left_alone() {
    let mut stream = RngStream::new(5, 0);
    let mut sae = Sae::<f64>::new(Gated::paper(), SIZE, &mut stream).unwrap();
    let x = Array2::from_shape_fn((40, 16), |_| stream.normal());
    let mut moments = collimate_sae::AdamMoments::zeros(sae.weights());
    let settings = Settings { penalty: 0.1, path: Path::Sparse, ..Settings::default() };
    sae.step(&mut moments, &x, &settings, &AdamParameters::standard(), 1e-2, &mut Workspace::default())
        .unwrap();
    let (before, moments_before) = (sae.clone(), moments.clone());
    let losses: Vec<f64> = (0..40).map(|i| if i == 9 { 1e6 } else { 1e-3 }).collect();
    sae.resample(&mut moments, &[], &x, &losses, 0.2, &mut stream).unwrap();
    assert_eq!((&sae, &moments), (&before, &moments_before));
    sae.resample(&mut moments, &[3, 11], &x, &losses, 0.2, &mut stream).unwrap();
    let norm = |row: ndarray::ArrayView1<f64>| row.dot(&row).sqrt();
    let living = (0..48).filter(|i| ![3, 11].contains(i));
    let mean = living.clone().map(|i| norm(before.weights().w_enc.row(i))).sum::<f64>() / 46.0;
    for i in living {
        assert_eq!(sae.weights().w_dec.row(i), before.weights().w_dec.row(i));
        assert_eq!(sae.weights().w_enc.row(i), before.weights().w_enc.row(i));
        assert_eq!(moments.first.w_dec.row(i), moments_before.first.w_dec.row(i));
    }
    for i in [3, 11] {
        assert!((norm(sae.weights().w_dec.row(i)) - 1.0).abs() < 1e-12);
        assert!((norm(sae.weights().w_enc.row(i)) - 0.2 * mean).abs() < 1e-12);
        assert!(sae.weights().per_latent.iter().all(|v| v[i] == 0.0));
        assert!(moments.second.w_enc.row(i).iter().chain(moments.first.w_dec.row(i)).all(|&m| m == 0.0));
        // The row that is reconstructed badly was drawn.
        let centred = &x.row(9) - &sae.weights().b_dec;
        let cosine = centred.dot(&sae.weights().w_dec.row(i)) / norm(centred.view());
        assert!((cosine - 1.0).abs() < 1e-9);
    }
}
