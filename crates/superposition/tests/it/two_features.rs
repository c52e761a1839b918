//! The exact two-feature loss against quadrature, and both boundaries against a recomputed table.

use crate::differences::error;
use collimate_grad::{Batch, Objective, Scratch};
use collimate_stream::RngStream;
use collimate_superposition::{TwoFeatures, canonical_boundary, optimised_boundary};
use proptest::prelude::*;

/// Computes the expected loss by a plain midpoint sum over the square and its edges.
fn plain(density: f64, importance: f64, p: &[f64; 4], n: usize) -> f64 {
    let error = |x: f64, y: f64| {
        let h = p[0] * x + p[1] * y;
        let (u, v) = ((p[0] * h + p[2]).max(0.0), (p[1] * h + p[3]).max(0.0));
        (x - u).powi(2) + importance * (y - v).powi(2)
    };
    let node = |i: usize| (i as f64 + 0.5) / n as f64;
    let cells = n as f64;
    let edges: f64 = (0..n).map(|i| error(node(i), 0.0) + error(0.0, node(i))).sum::<f64>() / cells;
    let square: f64 = (0..n * n).map(|i| error(node(i / n), node(i % n))).sum::<f64>() / (cells * cells);
    let (s, t) = (density, 1.0 - density);
    t * t * error(0.0, 0.0) + s * t * edges + s * s * square
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn loss_is_the_integral(s in 0.01..1.0_f64, r in 0.1..3.0_f64, p in prop::array::uniform4(-1.5..1.5_f64)) {
        let mut g = [0.0; 4];
        let exact = TwoFeatures::new(s, r).unwrap().loss_and_gradient(&p, &mut g).unwrap();
        prop_assert!((exact - plain(s, r, &p, 400)).abs() < 5e-5 * (1.0 + exact));
    }

    #[test]
    fn gradient_is_the_derivative(s in 0.01..1.0_f64, r in 0.1..3.0_f64, p in prop::array::uniform4(-1.5..1.5_f64)) {
        let model = TwoFeatures::new(s, r).unwrap();
        let mut g = [0.0; 4];
        model.loss_and_gradient(&p, &mut g).unwrap();
        let at = |x: &[f64]| model.loss_and_gradient(&[x[0], x[1], x[2], x[3]], &mut [0.0; 4]).unwrap();
        prop_assert!(error(at, &p, &g, [1e-6, 1e-7]) < 1e-7);
    }

    #[test]
    fn candidates_are_values_of_the_exact_loss(s in 0.01..1.0_f64, r in 0.1..3.0_f64) {
        let model = TwoFeatures::new(s, r).unwrap();
        let at = |p: [f64; 4]| model.loss_and_gradient(&p, &mut [0.0; 4]).unwrap();
        prop_assert!((at([0.0, 1.0, s / 2.0, 0.0]) - model.ignore_first()).abs() < 1e-14);
        prop_assert!((at([1.0, 0.0, 0.0, s / 2.0]) - model.ignore_last()).abs() < 1e-14);
        prop_assert!((at([1.0, -1.0, 0.0, 0.0]) - model.superpose_last()).abs() < 1e-14);
        let equal = TwoFeatures::new(s, 1.0).unwrap();
        prop_assert!((equal.superpose_last() - model.superpose_first()).abs() < 1e-15);
    }

    #[test]
    fn the_candidates_tie_at_the_canonical_boundary(r in 0.05..5.0_f64) {
        let model = TwoFeatures::new(canonical_boundary(r).unwrap(), r).unwrap();
        prop_assert!((model.superpose_last() - model.dedicated()).abs() < 1e-15);
    }
}

#[test]
fn better_points_exist_above_the_canonical_boundary() {
    // (r, s, loss of a point found by a simplex search and confirmed on a grid of nine million cells, loss of the
    // dedicated solution). The exact gradient may end a few millionths lower than the simplex search did.
    for (r, s, loss, dedicated) in [
        (0.5, 0.475, 0.049923, 0.050964),
        (0.5, 0.464, 0.048143, 0.050421),
        (1.0, 0.721, 0.108167, 0.110373),
        (1.0, 0.999, 0.083419, 0.083500),
    ] {
        let model = TwoFeatures::new(s, r).unwrap();
        let best = model.optimum(20, &mut RngStream::new(1, 0)).unwrap();
        assert!(best.gradient <= 1e-8);
        let parameters = [best.w[0], best.w[1], best.b[0], best.b[1]];
        assert!((plain(s, r, &parameters, 3000) - best.loss).abs() < 1e-7);
        assert!((model.dedicated() - dedicated).abs() < 1e-6, "r {r} s {s}: dedicated {}", model.dedicated());
        assert!(best.loss <= loss + 1e-6 && best.loss > loss - 2e-5, "r {r} s {s}: {best:?}");
    }
}

#[test]
fn the_optimised_boundary_equals_the_recomputed_boundary() {
    // (r, boundary, second weight just below).
    for (r, density, w2) in
        [(0.8, 0.7266, -0.045), (0.5, 0.4845, -0.766), (0.25, 0.3387, -0.723), (0.1, 0.1811, -0.668)]
    {
        let found = optimised_boundary(r, 2e-5, 12, &mut RngStream::new(2, 0)).unwrap().unwrap();
        // A search can only miss optima, so the exact gradient may find the boundary a little higher.
        assert!(found.density > density - 1e-4 && found.density < density + 1e-3, "r {r}: {}", found.density);
        assert!((found.below.w[1] - w2).abs() < 0.05, "r {r}: {:?}", found.below);
        assert!(found.below.gradient <= 1e-8);
    }
    assert_eq!(optimised_boundary(1.0, 1e-3, 12, &mut RngStream::new(2, 0)).unwrap(), None);
}

#[test]
fn the_objective_is_the_exact_loss() {
    let model = TwoFeatures::new(0.3, 0.7).unwrap();
    let (point, mut g, mut out) = ([0.9, -0.6, -0.1, 0.05], [0.0; 4], [1.0; 4]);
    let value = model.loss_and_gradient(&point, &mut g).unwrap();
    let objective: &dyn Objective<f64> = &model;
    assert_eq!(objective.loss_and_gradient_into(&point, Batch::All, &mut Scratch::new(), &mut out), value);
    assert_eq!((out, objective.n_parameters(), objective.n_samples()), (g, 4, 1));
}
