//! The distributions have the stated frequencies and dependences.

use collimate_stream::RngStream;
use collimate_superposition::{
    DecayingConfig, DecayingFeatures, Dependence, FeatureSets, FiniteData, Hierarchy, LowRank,
    OneActiveFeature, RowNorm, Siblings, Source, SparseFeatures, World, WorldConfig,
};
use ndarray::{Array2, array};
use proptest::prelude::*;

/// Returns how often each feature is on, and how often the first two are on together.
fn rates(source: &dyn Source, samples: usize) -> (Vec<f64>, f64) {
    let x = source.rows(samples, &mut RngStream::new(5, 0));
    let on = x.mapv(|v| f64::from(u8::from(v > 0.0)));
    let both = on.column(0).dot(&on.column(1)) / samples as f64;
    (on.mean_axis(ndarray::Axis(0)).unwrap().to_vec(), both)
}

fn close(found: &[f64], expected: &[f64], samples: usize) {
    for (found, p) in found.iter().zip(expected) {
        // Five standard errors.
        assert!((found - p).abs() <= 5.0 * (p * (1.0 - p) / samples as f64).sqrt(), "{found}, expected {p}");
    }
}

#[test]
fn correlated_and_exclusive_sets() {
    let together = FeatureSets::new(2, 3, 0.3, Dependence::Correlated).unwrap();
    let (rate, both) = rates(&together, 20_000);
    close(&rate, &[0.3; 6], 20_000);
    assert_eq!(both, rate[0]);
    let either = FeatureSets::new(2, 3, 0.3, Dependence::Exclusive).unwrap();
    let (rate, both) = rates(&either, 20_000);
    close(&rate, &[0.1; 6], 20_000);
    assert_eq!(both, 0.0);
}

#[test]
fn one_active_feature_is_uniform() {
    let source = OneActiveFeature::new(4).unwrap();
    let x = source.rows(8000, &mut RngStream::new(1, 0));
    assert!(x.rows().into_iter().all(|row| row.iter().filter(|&&v| v != 0.0).count() <= 1));
    assert!((x.sum() / 8000.0 - 0.5).abs() < 0.02);
    close(&rates(&source, 20_000).0, &[0.25; 4], 20_000);
}

#[test]
fn hierarchies_keep_their_marginals() {
    for siblings in [Siblings::Independent, Siblings::Exclusive] {
        let forest = Hierarchy::forest(2, 3, 3, 0.6, 0.3, siblings).unwrap();
        assert_eq!(forest.features(), 2 * (1 + 3 + 9));
        let (rate, _) = rates(&forest, 20_000);
        close(&rate, &forest.marginals(), 20_000);
        let x = forest.rows(2000, &mut RngStream::new(2, 0));
        for row in x.rows() {
            for (i, parent) in forest.parents().iter().enumerate() {
                assert!(row[i] == 0.0 || parent.is_none_or(|p| row[p] > 0.0));
            }
            let children = (0..row.len()).filter(|&i| row[i] > 0.0 && forest.parents()[i] == Some(0)).count();
            assert!(siblings == Siblings::Independent || children <= 1);
        }
    }
}

#[test]
fn common_causes_move_features_together() {
    let (samples, p) = (20_000, vec![0.1, 0.2, 0.05]);
    // Equal causes of full strength: whenever the rarer feature is on, the other is on too.
    let full = LowRank::new(p.clone(), array![[1.0], [1.0], [0.0]]).unwrap();
    let (rate, both) = rates(&full, samples);
    close(&rate, &p, samples);
    assert_eq!(both, rate[0]);
    let none = LowRank::new(p.clone(), Array2::zeros((3, 1))).unwrap();
    close(&[rates(&none, samples).1], &[0.02], samples);
    let random = LowRank::random(p.clone(), 4, 0.7, &mut RngStream::new(3, 0)).unwrap();
    close(&rates(&random, samples).0, &p, samples);
}

#[test]
fn zipf_frequencies_fall_to_a_floor() {
    let p = SparseFeatures::zipf(1000, 0.5, 0.4, 0.02).unwrap();
    assert_eq!(p.on_probability()[0], 0.4);
    assert!((p.on_probability()[99] - 0.04).abs() < 1e-15);
    assert_eq!(p.on_probability()[999], 0.02);
}

#[test]
fn finite_data_repeats_its_points() {
    let source = SparseFeatures::uniform(30, 0.05).unwrap();
    let data = FiniteData::draw(&source, 4, RowNorm::Unit, &mut RngStream::new(1, 0)).unwrap();
    let x = data.rows(50, &mut RngStream::new(2, 0));
    for row in x.rows() {
        assert!(data.points().rows().into_iter().any(|point| point == row));
        assert!((row.dot(&row) - 1.0).abs() < 1e-12);
    }
}

fn small_world() -> WorldConfig {
    WorldConfig {
        features: 200,
        width: 32,
        roots: 10,
        branching: 3,
        levels: 3,
        causes: 4,
        ..Default::default()
    }
}

#[test]
fn activations_are_sums_of_active_features() {
    let stream = RngStream::new(4, 0);
    let world = World::new(small_world(), &stream.child(0)).unwrap();
    let batch = world.batch(10..210, &stream.child(1));
    for (row, (features, values)) in batch.activations.rows().into_iter().zip(batch.active.rows()) {
        let mut sum = vec![0.0f32; 32];
        for (&i, &v) in features.iter().zip(values) {
            assert!(v > 0.0);
            assert!(world.parents()[i as usize].is_none_or(|p| features.contains(&(p as u32))));
            sum.iter_mut().zip(world.directions().row(i as usize)).for_each(|(s, d)| *s += v * d);
        }
        assert!(row.iter().zip(&sum).all(|(a, b)| (a - b).abs() < 1e-4));
        for parent in 0..10 {
            let children = features.iter().filter(|&&i| world.parents()[i as usize] == Some(parent)).count();
            assert!(children <= 1);
        }
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(batch, pool.install(|| world.batch(10..210, &stream.child(1))));
}

#[test]
fn spreading_moves_directions_apart() {
    let potential = |steps| {
        let config = WorldConfig { spreading_steps: steps, spreading_rate: 1e-2, ..small_world() };
        let world = World::new(config, &RngStream::new(1, 0)).unwrap();
        let gram = world.directions().dot(&world.directions().t());
        gram.mapv(|x| f64::from(x).powi(2)).sum()
    };
    let (random, spread) = (potential(0), potential(50));
    // Neither can be below n²/d = 1250.
    assert!(spread < 1251.0 && random > 1300.0, "{random} to {spread}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn rows_are_in_range_and_repeatable(sets in 1usize..5, size in 1usize..5, p in 0.0..=1.0f64, seed in any::<u64>().no_shrink()) {
        for together in [Dependence::Correlated, Dependence::Exclusive] {
            let source = FeatureSets::new(sets, size, p, together).unwrap();
            let x = source.rows(20, &mut RngStream::new(seed, 0));
            prop_assert!(x.iter().all(|v| (0.0..=1.0).contains(v)));
            prop_assert_eq!(&x, &source.rows(20, &mut RngStream::new(seed, 0)));
        }
    }
}

#[test]
fn bad_distributions_are_errors() {
    assert!(FeatureSets::new(0, 2, 0.5, Dependence::Correlated).is_err());
    assert!(FeatureSets::new(1, 2, 1.5, Dependence::Correlated).is_err());
    assert!(OneActiveFeature::new(0).is_err());
    assert!(Hierarchy::new(vec![Some(0)], vec![0.5], Siblings::Independent).is_err());
    assert!(Hierarchy::new(vec![None, Some(0), Some(0)], vec![0.5, 0.6, 0.6], Siblings::Exclusive).is_err());
    assert!(LowRank::new(vec![0.5], array![[1.1]]).is_err());
    assert!(LowRank::new(vec![0.0], array![[0.1]]).is_err());
    assert!(FiniteData::new(Array2::from_elem((1, 1), f64::NAN)).is_err());
    assert!(SparseFeatures::zipf(5, f64::NAN, 0.5, 0.1).is_err());
    assert!(World::new(WorldConfig { roots: 100, ..small_world() }, &RngStream::new(0, 0)).is_err());
}

#[test]
fn decaying_features_have_their_frequencies_and_correlations() {
    let config = DecayingConfig { features: 12, on_average: 3.0, decay: 0.9, causes: 1 };
    let source = DecayingFeatures::new(config, &mut RngStream::new(3, 0)).unwrap();
    let (rate, both) = rates(&source, 20_000);
    close(&rate, source.on_probability(), 20_000);
    assert!((source.on_probability().iter().sum::<f64>() - 3.0).abs() < 1e-12);
    // With one cause any two features have correlation of one sign. E[2Φ(g)·2Φ(±g)] is 4/3 or 2/3.
    let independent = rate[0] * rate[1];
    let ratio = both / independent;
    assert!((ratio - 4.0 / 3.0).abs() < 0.08 || (ratio - 2.0 / 3.0).abs() < 0.08, "{ratio}");
    for bad in [
        DecayingConfig { on_average: 20.0, ..config },
        DecayingConfig { decay: 0.0, ..config },
        DecayingConfig { decay: f64::NAN, ..config },
        DecayingConfig { causes: 0, ..config },
        DecayingConfig { features: 0, ..config },
    ] {
        assert!(DecayingFeatures::new(bad, &mut RngStream::new(3, 0)).is_err(), "{bad:?}");
    }
}
