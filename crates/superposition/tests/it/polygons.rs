//! The published table of k-gons, and their independently recomputed losses.

use approx::assert_abs_diff_eq;
use collimate_superposition::{CriticalPolygon, UnusedFeatures};

/// The published table: `(k, l*, b*, h_k)` with `L(k, k) = h_k / (3 k)`: Chen et al. 2023, table of k-gons.
const PUBLISHED: [(usize, f64, f64, f64); 5] = [
    (4, 1.0, 0.0, 0.0),
    (5, 1.17046, -0.28230, 0.23738),
    (6, 1.32053, -0.61814, 0.86746),
    (7, 1.44839, -0.96691, 1.74870),
    (8, 1.55045, -1.29119, 2.77311),
];

/// The losses for six features: `(k, unused biases on, loss)`.
const SIX_FEATURES: [(usize, usize, f64); 10] = [
    (3, 0, 0.16667),
    (3, 1, 0.15972),
    (3, 2, 0.15278),
    (3, 3, 0.14583),
    (4, 0, 0.11111),
    (4, 1, 0.10417),
    (4, 2, 0.09722),
    (5, 0, 0.06874),
    (5, 1, 0.06180),
    (6, 0, 0.04819),
];

#[test]
fn norms_and_biases_equal_the_published_values() {
    for (k, l, b, h) in PUBLISHED {
        let polygon = CriticalPolygon::new(k).unwrap();
        assert_abs_diff_eq!(polygon.norm, l, epsilon = 1e-5);
        assert_abs_diff_eq!(polygon.bias, b, epsilon = 1e-5);
        assert_abs_diff_eq!(3.0 * k as f64 * polygon.error, h, epsilon = 2e-5);
    }
}

#[test]
fn losses_among_six_features_equal_the_published_values() {
    for (k, on, loss) in SIX_FEATURES {
        let polygon = CriticalPolygon::new(k).unwrap();
        let short = polygon.loss(6, UnusedFeatures { on }).unwrap();
        assert_abs_diff_eq!(short, loss, epsilon = 1e-5);
        let (model, point) = polygon.parameters(6, UnusedFeatures { on }).unwrap();
        assert_abs_diff_eq!(model.loss(&point).unwrap(), short, epsilon = 1e-14);
    }
    // Five features, and as many features as corners.
    for (k, c, on, loss) in [(4, 5, 0, 0.06667), (4, 5, 1, 0.05667), (5, 5, 0, 0.01583)] {
        let found = CriticalPolygon::new(k).unwrap().loss(c, UnusedFeatures { on }).unwrap();
        assert_abs_diff_eq!(found, loss, epsilon = 1e-5);
    }
    for (k, loss) in [(7, 0.083271), (8, 0.115546)] {
        let found = CriticalPolygon::new(k).unwrap().loss(k, UnusedFeatures { on: 0 }).unwrap();
        assert_abs_diff_eq!(found, loss, epsilon = 1e-6);
    }
}

#[test]
fn polygons_are_critical_in_the_full_space() {
    for k in 3..=8 {
        for spare in 0..3 {
            let (model, point) =
                CriticalPolygon::new(k).unwrap().parameters(k + spare, UnusedFeatures { on: spare }).unwrap();
            let mut gradient = vec![0.0; point.len()];
            model.loss_and_gradient(&point, &mut gradient).unwrap();
            let largest = gradient.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
            assert!(largest < 1e-13, "{k}-gon with {spare} spare features: {largest:e}");
        }
    }
}

#[test]
fn impossible_polygons_are_errors() {
    assert!(CriticalPolygon::new(2).is_err());
    assert!(CriticalPolygon::new(9).is_err());
    let pentagon = CriticalPolygon::new(5).unwrap();
    assert!(pentagon.loss(4, UnusedFeatures { on: 0 }).is_err());
    assert!(pentagon.loss(6, UnusedFeatures { on: 2 }).is_err());
}
