//! Phase diagrams: candidates, optimum, training.

use collimate_stream::RngStream;
use collimate_superposition::phase::{Region, TrainedConfig, canonical, logarithmic, optimised, trained};
use collimate_superposition::two_features::canonical_boundary;

#[test]
fn the_optimum_never_loses_to_the_candidates() {
    let (r, s) = (logarithmic(0.2, 5.0, 6).unwrap(), logarithmic(0.02, 1.0, 6).unwrap());
    let (simple, best) = (canonical(&r, &s).unwrap(), optimised(&r, &s, 2, &RngStream::new(1, 0)).unwrap());
    for (a, b) in best.loss.iter().zip(&simple.loss) {
        assert!(*a <= b + 1e-9, "{a} above {b}");
    }
    for (importance, density) in simple.boundary() {
        assert!(density < canonical_boundary(importance).unwrap());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(best, pool.install(|| optimised(&r, &s, 2, &RngStream::new(1, 0))).unwrap());
}

#[test]
fn trained_models_come_close_to_the_optimum() {
    let (r, s) = ([0.5, 1.0], [0.05, 0.3]);
    let best = optimised(&r, &s, 4, &RngStream::new(1, 0)).unwrap();
    let found = trained(&r, &s, TrainedConfig::default(), &RngStream::new(1, 0)).unwrap();
    for (a, b) in found.loss.iter().zip(&best.loss) {
        assert!(*a >= b - 1e-7 && *a <= 1.05 * b + 1e-4, "trained {a}, optimum {b}");
    }
    assert!(found.sharing[[0, 0]] > 0.8);
}

#[test]
fn bad_ranges_are_refused() {
    assert!(logarithmic(0.0, 1.0, 3).is_err() && logarithmic(0.1, 1.0, 0).is_err());
    assert!(canonical(&[0.0], &[0.5]).is_err() && canonical(&[1.0], &[1.5]).is_err());
    let none = TrainedConfig { models: 0, ..Default::default() };
    assert!(trained(&[1.0], &[0.5], none, &RngStream::new(0, 0)).is_err());
}

#[test]
fn regions_are_those_of_the_weights() {
    use Region::*;
    for (w, region) in [
        ([1.0, 0.0], NotRepresented),
        ([-0.03, -1.0], Dedicated),
        ([-1.0, 0.7], Antipodal),
        ([0.5, 0.5], SideBySide),
        ([0.05, -0.05], Neither),
    ] {
        assert_eq!(Region::of(w), region, "{w:?}");
    }
    // Of three candidates each wins somewhere, and where it wins its loss is the least.
    let diagram = canonical(&[0.3, 3.0], &[0.1, 0.9]).unwrap();
    assert_eq!(diagram.region, ndarray::array![[Antipodal, Antipodal], [NotRepresented, Dedicated]]);
    assert_eq!(diagram.sharing, ndarray::array![[1.0, 1.0], [0.0, 0.0]]);
}
