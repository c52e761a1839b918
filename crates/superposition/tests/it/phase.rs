//! Phase diagrams: candidates, optimum, training.

use collimate_stream::RngStream;
use collimate_superposition::{
    PhaseRegion, TrainedDiagramConfig, canonical_boundary, canonical_diagram, logarithmic_range,
    optimised_diagram, trained_diagram,
};

#[test]
fn the_optimum_is_never_above_the_candidates() {
    let (r, s) = (logarithmic_range(0.2, 5.0, 6).unwrap(), logarithmic_range(0.02, 1.0, 6).unwrap());
    let (simple, best) =
        (canonical_diagram(&r, &s).unwrap(), optimised_diagram(&r, &s, 2, &RngStream::new(1, 0)).unwrap());
    for (a, b) in best.loss.iter().zip(&simple.loss) {
        assert!(*a <= b + 1e-9, "{a} above {b}");
    }
    for (importance, density) in simple.boundary() {
        assert!(density < canonical_boundary(importance).unwrap());
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(best, pool.install(|| optimised_diagram(&r, &s, 2, &RngStream::new(1, 0))).unwrap());
}

#[test]
fn trained_models_come_close_to_the_optimum() {
    let (r, s) = ([0.5, 1.0], [0.05, 0.3]);
    let best = optimised_diagram(&r, &s, 4, &RngStream::new(1, 0)).unwrap();
    let found = trained_diagram(&r, &s, TrainedDiagramConfig::default(), &RngStream::new(1, 0)).unwrap();
    for (a, b) in found.loss.iter().zip(&best.loss) {
        assert!(*a >= b - 1e-7 && *a <= 1.05 * b + 1e-4, "trained {a}, optimum {b}");
    }
    assert!(found.sharing[[0, 0]] > 0.8);
}

#[test]
fn bad_ranges_are_errors() {
    assert!(logarithmic_range(0.0, 1.0, 3).is_err() && logarithmic_range(0.1, 1.0, 0).is_err());
    assert!(canonical_diagram(&[0.0], &[0.5]).is_err() && canonical_diagram(&[1.0], &[1.5]).is_err());
    let none = TrainedDiagramConfig { models: 0, ..Default::default() };
    assert!(trained_diagram(&[1.0], &[0.5], none, &RngStream::new(0, 0)).is_err());
}

#[test]
fn regions_follow_from_the_weights() {
    use PhaseRegion::*;
    for (w, region) in [
        ([1.0, 0.0], NotRepresented),
        ([-0.03, -1.0], Dedicated),
        ([-1.0, 0.7], Antipodal),
        ([0.5, 0.5], SideBySide),
        ([0.05, -0.05], Neither),
    ] {
        assert_eq!(PhaseRegion::of(w), region, "{w:?}");
    }
    // Each of the three candidates is the best somewhere.
    let diagram = canonical_diagram(&[0.3, 3.0], &[0.1, 0.9]).unwrap();
    assert_eq!(diagram.region, ndarray::array![[Antipodal, Antipodal], [NotRepresented, Dedicated]]);
    assert_eq!(diagram.sharing, ndarray::array![[1.0, 1.0], [0.0, 0.0]]);
}
