//! Fleets train, whatever the data, and give the same bits on any number of threads.

use collimate_grad::{Decay, ScheduleConfig, WarmUp};
use collimate_stream::RngStream;
use collimate_superposition::SuperpositionError;
use collimate_superposition::data::{FeatureSets, Signed, Source, SparseFeatures, Together};
use collimate_superposition::fleet::{Fleet, FleetConfig, Lengths, together};
use collimate_superposition::geometry::{feature_dimensionality, feature_norms};
use collimate_superposition::incidental::Incidental;
use collimate_superposition::skip_trigrams::SkipTrigrams;
use collimate_superposition::two_layer::TwoLayerConfig;
use std::sync::Arc;

fn sparse(n: usize, p: f64) -> Arc<dyn Source> {
    Arc::new(SparseFeatures::uniform(n, p).unwrap())
}

fn mixed_fleet(features: usize, hidden: usize) -> Fleet {
    let config = FleetConfig { batch: 100, ..FleetConfig::new(features, hidden) };
    let mut fleet = Fleet::new(config, &RngStream::new(1, 0)).unwrap();
    for i in 0..6 {
        fleet.launch(sparse(features, 20.0_f64.powf(-f64::from(i) / 5.0))).unwrap();
    }
    fleet.launch(Arc::new(FeatureSets::new(features, 1, 0.2, Together::All).unwrap())).unwrap();
    fleet
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for (features, hidden) in [(5, 2), (20, 6)] {
        let run = |threads| {
            let mut fleet = mixed_fleet(features, hidden);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            (pool.install(|| fleet.run(40)).unwrap(), fleet.models())
        };
        assert_eq!(run(1), run(3));
        // Two runs of twenty steps are one of forty.
        let mut halves = mixed_fleet(features, hidden);
        halves.run(20).unwrap();
        halves.run(20).unwrap();
        assert_eq!(halves.models(), run(2).1);
    }
}

#[test]
fn an_instance_does_not_depend_on_its_neighbours() {
    let mut pair = Fleet::new(FleetConfig::new(5, 2), &RngStream::new(3, 0)).unwrap();
    pair.launch(sparse(5, 0.1)).unwrap();
    pair.launch(sparse(5, 0.9)).unwrap();
    let mut alone = Fleet::new(FleetConfig::new(5, 2), &RngStream::new(3, 0)).unwrap();
    alone.launch(sparse(5, 0.1)).unwrap();
    pair.run(10).unwrap();
    alone.run(10).unwrap();
    assert_eq!(pair.model(0), alone.model(0));
    assert_ne!(pair.model(0).w, pair.model(1).w);
}

#[test]
fn sparse_features_make_pentagons() {
    let config = FleetConfig {
        batch: 256,
        schedule: ScheduleConfig {
            peak: 3e-3,
            total_steps: 3000,
            warm_up: WarmUp::None,
            decay: Decay::Cosine { to: 0.0 },
        },
        ..FleetConfig::new(5, 2)
    };
    let mut fleet = Fleet::new(config, &RngStream::new(1, 0)).unwrap();
    for _ in 0..8 {
        fleet.launch(sparse(5, 0.02)).unwrap();
    }
    fleet.run(3000).unwrap();
    let pentagon =
        |w: &ndarray::Array2<f64>| feature_dimensionality(w).unwrap().iter().all(|d| (d - 0.4).abs() < 0.03);
    let pentagons = fleet.models().iter().filter(|model| pentagon(&model.w)).count();
    assert!(pentagons >= 6, "{pentagons} of 8");
}

#[test]
fn wide_models_learn_too() {
    let mut fleet =
        Fleet::new(FleetConfig { batch: 256, ..FleetConfig::new(40, 10) }, &RngStream::new(1, 0)).unwrap();
    fleet.launch(sparse(40, 0.05)).unwrap();
    let first = fleet.run(50).unwrap()[0];
    fleet.run(800).unwrap();
    let last = fleet.run(50).unwrap()[0];
    assert!(last < 0.5 * first, "{first} to {last}");
}

#[test]
fn lengths_are_drawn_to_one() {
    // Without importance there is no loss, so the draw is all that moves; narrow and wide models share it.
    for hidden in [2, 6] {
        let mut config =
            FleetConfig { lengths: Lengths::DrawnToOne { strength: 0.5 }, ..FleetConfig::new(3, hidden) };
        config.importance = vec![0.0; 3];
        config.batch = 8;
        config.schedule.peak = 0.1;
        let mut start = vec![0.0; 3 * (hidden + 1)];
        (start[0], start[1]) = (4.0, 0.25);
        let mut fleet = Fleet::new(config.clone(), &RngStream::new(1, 0)).unwrap();
        fleet.launch_from(sparse(3, 0.5), &start).unwrap();
        fleet.run(1).unwrap();
        // 4 − 0.05 · 4 · 3/4,  1/4 + 0.05 · 1/4 · 3,  and nothing for the column without direction.
        let lengths = feature_norms(&fleet.model(0).w);
        assert!((lengths[0] - 3.85).abs() < 1e-6 && (lengths[1] - 0.2875).abs() < 1e-6 && lengths[2] == 0.0);
        fleet.run(2000).unwrap();
        let lengths = feature_norms(&fleet.model(0).w);
        assert!((lengths[0] - 1.0).abs() < 1e-3 && (lengths[1] - 1.0).abs() < 1e-3, "{lengths}");
        config.lengths = Lengths::DrawnToOne { strength: -1.0 };
        assert!(Fleet::new(config, &RngStream::new(0, 0)).is_err());
    }
}

#[test]
fn bad_fleets_are_refused() {
    let stream = RngStream::new(0, 0);
    for bad in [
        FleetConfig { hidden: 0, ..FleetConfig::new(5, 2) },
        FleetConfig { batch: 0, ..FleetConfig::new(5, 2) },
        FleetConfig::new(0, 2),
        FleetConfig { importance: vec![f64::NAN], ..FleetConfig::new(1, 2) },
        FleetConfig { importance: vec![-1.0], ..FleetConfig::new(1, 2) },
    ] {
        assert!(Fleet::new(bad, &stream).is_err());
    }
    let mut config = FleetConfig::new(5, 2);
    config.schedule.peak = -1.0;
    assert!(Fleet::new(config, &stream).is_err());
    let mut fleet = Fleet::new(FleetConfig::new(5, 2), &stream).unwrap();
    assert!(fleet.launch(sparse(4, 0.5)).is_err());
    assert!(fleet.launch_from(sparse(5, 0.5), &[0.0; 3]).is_err());
    assert!(fleet.launch_from(sparse(5, 0.5), &[f64::INFINITY; 15]).is_err());
}

#[test]
fn what_left_the_finite_numbers_is_named_with_its_step() {
    // Narrow and wide models; after a first step of this size the products of the weights are too large for f32.
    for hidden in [2, 6] {
        let mut config = FleetConfig { batch: 8, ..FleetConfig::new(5, hidden) };
        config.schedule.peak = 1e30;
        let mut fleet = Fleet::new(config.clone(), &RngStream::new(1, 0)).unwrap();
        fleet.launch(sparse(5, 0.5)).unwrap();
        fleet.run(1).unwrap();
        let error = fleet.run(5).unwrap_err();
        assert!(
            matches!(error, SuperpositionError::Diverged { step: 2, quantity: "the loss", value } if !value.is_finite()),
            "{error}"
        );
        assert!(error.to_string().contains("step 2") && error.to_string().contains("smaller"), "{error}");
        // One step so large that the parameters themselves overflow, and no further step to see it.
        config.schedule.peak = 1e39;
        let mut fleet = Fleet::new(config, &RngStream::new(1, 0)).unwrap();
        fleet.launch(sparse(5, 0.5)).unwrap();
        let error = fleet.run(1).unwrap_err();
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
fn every_model_that_trains_gives_the_same_bits_together_on_any_number_of_threads() {
    let (stream, source) = (RngStream::new(5, 0), Signed(SparseFeatures::uniform(4, 0.3).unwrap()));
    let layers = [
        TwoLayerConfig::absolute_value(4, 6),
        TwoLayerConfig::neurons(4, 3),
        TwoLayerConfig::compressed(4, 2, Some(ndarray::Array2::eye(4))),
    ];
    let accident = Incidental { features: 6, neurons: 8, steps: 50, ..Incidental::default() };
    let run = |threads| {
        on_threads(threads, || {
            let computing = together(7, &stream, |i, s| layers[i % 3].train(&source, 16, 30, 1e-2, s));
            let heads = together(5, &stream, |_, s| SkipTrigrams::default().train(8, 20, 1e-2, s));
            let shared = together(5, &stream, |_, s| accident.train(s));
            (computing.unwrap(), heads.unwrap(), shared.unwrap())
        })
    };
    let (computing, heads, shared) = run(1);
    for threads in [2, 3] {
        assert_eq!(run(threads), (computing.clone(), heads.clone(), shared.clone()), "{threads} threads");
    }
    // Each is what it would be by itself, with the stream of its number.
    let alone = |i: usize| layers[i % 3].train(&source, 16, 30, 1e-2, &stream.child(i as u64)).unwrap();
    assert_eq!(computing, (0..7).map(alone).collect::<Vec<_>>());
    assert_eq!(shared[4], accident.train(&mut stream.child(4)).unwrap());
    assert_ne!(heads[0], heads[1]);
}

#[test]
fn of_several_errors_the_first_by_number_is_named() {
    let refuse = |number: usize, _: &mut RngStream| match number {
        2 | 5 | 6 => {
            Err(SuperpositionError::OutOfRange { argument: "x", given: number as f64, allowed: "none" })
        }
        _ => Ok(number),
    };
    for threads in [1, 2, 3] {
        let error = on_threads(threads, || together(8, &RngStream::new(1, 0), refuse)).unwrap_err();
        assert!(error.to_string().starts_with("x is 2,"), "{error}");
    }
    assert_eq!(together(2, &RngStream::new(1, 0), refuse).unwrap(), [0, 1]);
    assert!(together(0, &RngStream::new(1, 0), refuse).unwrap().is_empty());
}
