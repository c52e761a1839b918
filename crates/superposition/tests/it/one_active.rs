//! The closed form against quadrature and differences.

use crate::differences::{distance, error};
use collimate_stream::RngStream;
use collimate_superposition::{OneActive, cross_talk, own_error};
use proptest::prelude::*;

/// Integrates `f` over `[0, 1]` by the midpoint rule.
fn midpoint(f: impl Fn(f64) -> f64) -> f64 {
    const CELLS: usize = 20_000;
    (0..CELLS).map(|i| f((i as f64 + 0.5) / CELLS as f64)).sum::<f64>() / CELLS as f64
}

fn point(model: &OneActive, stream: &mut RngStream) -> Vec<f64> {
    (0..model.parameters()).map(|_| stream.normal()).collect()
}

proptest! {
    #[test]
    fn cells_are_the_integrals(g in -3.0..3.0_f64, b in -2.0..2.0_f64) {
        let other = midpoint(|x| (g * x + b).max(0.0).powi(2));
        prop_assert!((cross_talk(g, b).value - other).abs() < 2e-8);
        let own = midpoint(|x| (x - (g * x + b).max(0.0)).powi(2));
        prop_assert!((own_error(g, b).value - own).abs() < 2e-8);
    }

    #[test]
    fn gradient_is_the_derivative(r in 1..4usize, c in 1..7usize, seed in any::<u64>().no_shrink()) {
        let model = OneActive::new(r, c).unwrap();
        let at = point(&model, &mut RngStream::new(seed, 0));
        let mut exact = vec![0.0; at.len()];
        model.loss_and_gradient(&at, &mut exact).unwrap();
        prop_assert!(error(|x| model.loss(x).unwrap(), &at, &exact, [1e-6, 1e-7]) < 1e-7);
    }

    #[test]
    fn hessian_is_the_derivative_of_the_gradient(r in 1..4usize, c in 1..6usize, seed in any::<u64>().no_shrink()) {
        let model = OneActive::new(r, c).unwrap();
        let at = point(&model, &mut RngStream::new(seed, 0));
        let hessian = model.hessian(&at).unwrap();
        for p in 0..at.len() {
            let partial = |x: &[f64]| {
                let mut g = vec![0.0; x.len()];
                model.loss_and_gradient(x, &mut g).unwrap();
                g[p]
            };
            // The third derivative grows towards a corner faster than the second, whose scale enters the bound.
            let scale = 1.0 + hessian.iter().fold(0.0_f64, |m, h| m.max(h.abs()));
            let row = hessian.row(p).to_vec();
            prop_assert!(error(partial, &at, &row, [1e-6, 1e-8]) < 1e-4 * scale);
        }
    }
}

#[test]
fn a_small_slope_loses_no_digits() {
    // The difference of cubes over 3g would lose half of the digits.
    let cell = cross_talk(1e-12, 0.7);
    assert!((cell.value - 0.49).abs() < 1e-11);
    assert!((cell.dg - 0.7).abs() < 1e-11);
    assert_eq!(cross_talk(0.0, 0.7).value, 0.7 * 0.7 * 3.0 / 3.0);
}

#[test]
fn the_objective_is_the_loss_with_its_hessian_products() {
    use collimate_grad::{Batch, Objective, Scratch};
    let model = OneActive::new(2, 4).unwrap();
    let mut stream = RngStream::new(5, 0);
    let (at, direction) = (point(&model, &mut stream), point(&model, &mut stream));
    let objective: &dyn Objective<f64> = &model;
    let (mut scratch, mut gradient, mut exact) = (Scratch::new(), vec![1.0; at.len()], vec![0.0; at.len()]);
    let value = objective.loss_and_gradient_into(&at, Batch::All, &mut scratch, &mut gradient);
    assert_eq!(value, model.loss_and_gradient(&at, &mut exact).unwrap());
    assert_eq!(gradient, exact);
    let mut product = vec![0.0; at.len()];
    let ability = objective.hessian_vector_products().unwrap();
    ability.hessian_vector_product_into(&at, &direction, Batch::All, &mut scratch, &mut product);
    let along = |t: f64| -> Vec<f64> {
        let moved: Vec<f64> = at.iter().zip(&direction).map(|(x, d)| x + t * d).collect();
        let mut gradient = vec![0.0; at.len()];
        model.loss_and_gradient(&moved, &mut gradient).unwrap();
        gradient
    };
    let differences: Vec<f64> = along(1e-6).iter().zip(along(-1e-6)).map(|(a, b)| (a - b) / 2e-6).collect();
    assert!(distance(&product, &differences) < 1e-5);
    assert_eq!(
        (objective.coordinate_name(4), objective.coordinate_name(8)),
        ("W[1, 0]".into(), "b[0]".into())
    );
}

#[test]
fn bad_arguments_are_named() {
    let model = OneActive::new(2, 3).unwrap();
    assert!(model.loss(&[0.0; 8]).unwrap_err().to_string().contains("[8]"));
    let mut point = [0.0; 9];
    point[4] = f64::NAN;
    assert!(model.loss(&point).unwrap_err().to_string().contains("index 4"));
    assert!(OneActive::new(0, 3).is_err());
}
