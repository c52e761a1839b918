//! Ensembles train on any data, with equal bits on any number of threads.

use collimate_grad::{Decay, ScheduleConfig, WarmUp};
use collimate_measure::OutOfRange;
use collimate_stream::RngStream;
use collimate_superposition::{
    ColumnLengths, Dependence, Ensemble, EnsembleConfig, FeatureSets, IncidentalNeurons, Signed,
    SkipTrigrams, Source, SparseFeatures, SuperpositionError, TwoLayerConfig, feature_dimensionality,
    feature_norms, train_instances,
};
use std::sync::Arc;

fn sparse(n: usize, p: f64) -> Arc<dyn Source> {
    Arc::new(SparseFeatures::uniform(n, p).unwrap())
}

fn mixed_ensemble(features: usize, hidden: usize) -> Ensemble {
    let config = EnsembleConfig { batch: 100, ..EnsembleConfig::new(features, hidden) };
    let mut ensemble = Ensemble::new(config, &RngStream::new(1, 0)).unwrap();
    for i in 0..6 {
        ensemble.add(sparse(features, 20.0_f64.powf(-f64::from(i) / 5.0))).unwrap();
    }
    ensemble.add(Arc::new(FeatureSets::new(features, 1, 0.2, Dependence::Correlated).unwrap())).unwrap();
    ensemble
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for (features, hidden) in [(5, 2), (20, 6)] {
        let run = |threads| {
            let mut ensemble = mixed_ensemble(features, hidden);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            (pool.install(|| ensemble.run(40)).unwrap(), ensemble.models())
        };
        assert_eq!(run(1), run(3));
        // Two runs of twenty steps are one of forty.
        let mut halves = mixed_ensemble(features, hidden);
        halves.run(20).unwrap();
        halves.run(20).unwrap();
        assert_eq!(halves.models(), run(2).1);
    }
}

#[test]
fn an_instance_does_not_depend_on_its_neighbours() {
    let mut pair = Ensemble::new(EnsembleConfig::new(5, 2), &RngStream::new(3, 0)).unwrap();
    pair.add(sparse(5, 0.1)).unwrap();
    pair.add(sparse(5, 0.9)).unwrap();
    let mut alone = Ensemble::new(EnsembleConfig::new(5, 2), &RngStream::new(3, 0)).unwrap();
    alone.add(sparse(5, 0.1)).unwrap();
    pair.run(10).unwrap();
    alone.run(10).unwrap();
    assert_eq!(pair.model(0), alone.model(0));
    assert_ne!(pair.model(0).w, pair.model(1).w);
}

#[test]
fn sparse_features_make_pentagons() {
    let config = EnsembleConfig {
        batch: 256,
        schedule: ScheduleConfig {
            peak: 3e-3,
            total_steps: 3000,
            warm_up: WarmUp::None,
            decay: Decay::Cosine { to: 0.0 },
        },
        ..EnsembleConfig::new(5, 2)
    };
    let mut ensemble = Ensemble::new(config, &RngStream::new(1, 0)).unwrap();
    for _ in 0..8 {
        ensemble.add(sparse(5, 0.02)).unwrap();
    }
    ensemble.run(3000).unwrap();
    let pentagon =
        |w: &ndarray::Array2<f64>| feature_dimensionality(w).unwrap().iter().all(|d| (d - 0.4).abs() < 0.03);
    let pentagons = ensemble.models().iter().filter(|model| pentagon(&model.w)).count();
    assert!(pentagons >= 6, "{pentagons} of 8");
}

#[test]
fn wide_models_learn_too() {
    let mut ensemble =
        Ensemble::new(EnsembleConfig { batch: 256, ..EnsembleConfig::new(40, 10) }, &RngStream::new(1, 0))
            .unwrap();
    ensemble.add(sparse(40, 0.05)).unwrap();
    let first = ensemble.run(50).unwrap()[0];
    ensemble.run(800).unwrap();
    let last = ensemble.run(50).unwrap()[0];
    assert!(last < 0.5 * first, "{first} to {last}");
}

#[test]
fn lengths_are_pulled_to_one() {
    // Without importance there is no loss, so only the pull moves the weights, in narrow and in wide models.
    for hidden in [2, 6] {
        let mut config = EnsembleConfig {
            lengths: ColumnLengths::DrawnToOne { strength: 0.5 },
            ..EnsembleConfig::new(3, hidden)
        };
        config.importance = vec![0.0; 3];
        config.batch = 8;
        config.schedule.peak = 0.1;
        let mut start = vec![0.0; 3 * (hidden + 1)];
        (start[0], start[1]) = (4.0, 0.25);
        let mut ensemble = Ensemble::new(config.clone(), &RngStream::new(1, 0)).unwrap();
        ensemble.add_from(sparse(3, 0.5), &start).unwrap();
        ensemble.run(1).unwrap();
        // 4 − 0.05 · 4 · 3/4,  1/4 + 0.05 · 1/4 · 3,  and 0 for the zero column.
        let lengths = feature_norms(&ensemble.model(0).w);
        assert!((lengths[0] - 3.85).abs() < 1e-6 && (lengths[1] - 0.2875).abs() < 1e-6 && lengths[2] == 0.0);
        ensemble.run(2000).unwrap();
        let lengths = feature_norms(&ensemble.model(0).w);
        assert!((lengths[0] - 1.0).abs() < 1e-3 && (lengths[1] - 1.0).abs() < 1e-3, "{lengths}");
        config.lengths = ColumnLengths::DrawnToOne { strength: -1.0 };
        assert!(Ensemble::new(config, &RngStream::new(0, 0)).is_err());
    }
}

#[test]
fn bad_configurations_are_refused() {
    let stream = RngStream::new(0, 0);
    for bad in [
        EnsembleConfig { hidden: 0, ..EnsembleConfig::new(5, 2) },
        EnsembleConfig { batch: 0, ..EnsembleConfig::new(5, 2) },
        EnsembleConfig::new(0, 2),
        EnsembleConfig { importance: vec![f64::NAN], ..EnsembleConfig::new(1, 2) },
        EnsembleConfig { importance: vec![-1.0], ..EnsembleConfig::new(1, 2) },
    ] {
        assert!(Ensemble::new(bad, &stream).is_err());
    }
    let mut config = EnsembleConfig::new(5, 2);
    config.schedule.peak = -1.0;
    assert!(Ensemble::new(config, &stream).is_err());
    let mut ensemble = Ensemble::new(EnsembleConfig::new(5, 2), &stream).unwrap();
    assert!(ensemble.add(sparse(4, 0.5)).is_err());
    assert!(ensemble.add_from(sparse(5, 0.5), &[0.0; 3]).is_err());
    assert!(ensemble.add_from(sparse(5, 0.5), &[f64::INFINITY; 15]).is_err());
}

#[test]
fn divergence_is_an_error_with_its_step() {
    // Narrow and wide models; after a first step of this size the products of the weights are too large for f32.
    for hidden in [2, 6] {
        let mut config = EnsembleConfig { batch: 8, ..EnsembleConfig::new(5, hidden) };
        config.schedule.peak = 1e30;
        let mut ensemble = Ensemble::new(config.clone(), &RngStream::new(1, 0)).unwrap();
        ensemble.add(sparse(5, 0.5)).unwrap();
        ensemble.run(1).unwrap();
        let error = ensemble.run(5).unwrap_err();
        assert!(
            matches!(error, SuperpositionError::Diverged { step: 2, quantity: "the loss", value } if !value.is_finite()),
            "{error}"
        );
        assert!(error.to_string().contains("step 2") && error.to_string().contains("smaller"), "{error}");
        // One step so large that the parameters overflow, without a further step that would detect it.
        config.schedule.peak = 1e39;
        let mut ensemble = Ensemble::new(config, &RngStream::new(1, 0)).unwrap();
        ensemble.add(sparse(5, 0.5)).unwrap();
        let error = ensemble.run(1).unwrap_err();
        assert!(
            matches!(error, SuperpositionError::Diverged { step: 1, quantity: "a parameter", .. }),
            "{error}"
        );
    }
}

fn on_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

#[test]
fn every_model_trains_to_equal_bits_on_any_number_of_threads() {
    let (stream, source) = (RngStream::new(5, 0), Signed(SparseFeatures::uniform(4, 0.3).unwrap()));
    let layers = [
        TwoLayerConfig::absolute_value(4, 6),
        TwoLayerConfig::neurons(4, 3),
        TwoLayerConfig::compressed(4, 2, Some(ndarray::Array2::eye(4))),
    ];
    let accident = IncidentalNeurons { features: 6, neurons: 8, steps: 50, ..IncidentalNeurons::default() };
    let run = |threads| {
        on_threads(threads, || {
            let computing = train_instances(7, &stream, |i, s| layers[i % 3].train(&source, 16, 30, 1e-2, s));
            let heads = train_instances(5, &stream, |_, s| SkipTrigrams::default().train(8, 20, 1e-2, s));
            let shared = train_instances(5, &stream, |_, s| accident.train(s));
            (computing.unwrap(), heads.unwrap(), shared.unwrap())
        })
    };
    let (computing, heads, shared) = run(1);
    for threads in [2, 3] {
        assert_eq!(run(threads), (computing.clone(), heads.clone(), shared.clone()), "{threads} threads");
    }
    // Each equals the result of training it alone with the stream of its index.
    let alone = |i: usize| layers[i % 3].train(&source, 16, 30, 1e-2, &stream.child(i as u64)).unwrap();
    assert_eq!(computing, (0..7).map(alone).collect::<Vec<_>>());
    assert_eq!(shared[4], accident.train(&mut stream.child(4)).unwrap());
    assert_ne!(heads[0], heads[1]);
}

#[test]
fn the_first_error_by_index_is_returned() {
    let refuse = |number: usize, _: &mut RngStream| match number {
        2 | 5 | 6 => Err(OutOfRange { argument: "x", allowed: "none", given: number as f64 }.into()),
        _ => Ok(number),
    };
    for threads in [1, 2, 3] {
        let error = on_threads(threads, || train_instances(8, &RngStream::new(1, 0), refuse)).unwrap_err();
        assert!(error.to_string().ends_with("but is 2"), "{error}");
    }
    assert_eq!(train_instances(2, &RngStream::new(1, 0), refuse).unwrap(), [0, 1]);
    assert!(train_instances(0, &RngStream::new(1, 0), refuse).unwrap().is_empty());
}
