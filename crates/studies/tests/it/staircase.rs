//! The toy model of superposition in training, with the exact learning coefficient of each level at which its loss rests.

use collimate_slt::{Beta, Llc, NBeta, Phase, Sampling, levels_along, toy_model_polygon};
use collimate_stream::RngStream;
use collimate_superposition::{CriticalPolygon, OneActive, UnusedFeatures, gradient_descent};

const FEATURES: usize = 6;

/// Returns the level of a polygon with its exact loss and coefficient, for a number of corners and of spare features that are on.
fn level(corners: usize, on: usize) -> Phase {
    let loss = CriticalPolygon::new(corners).unwrap().loss(FEATURES, UnusedFeatures { on }).unwrap();
    let coefficient = toy_model_polygon(corners, FEATURES, FEATURES - corners - on).unwrap();
    Phase { loss, coefficient, constant: 0.0 }
}

/// Runs gradient descent on the loss of infinitely many data from random weights, and returns the loss every 20 steps.
fn train(stream: &mut RngStream) -> Vec<f64> {
    let model = OneActive::new(2, FEATURES).unwrap();
    let start = model.draw(1.0, 0.5, stream);
    let mut losses = Vec::new();
    let watch = |step, loss| {
        if step % 20 == 0 {
            losses.push(loss);
        }
    };
    gradient_descent(&model, &start, 0.2, 4000, watch).unwrap();
    losses
}

#[test]
fn training_comes_to_rest_at_levels_whose_coefficient_is_exact() {
    // The lower the loss, the higher λ: 7, 17/2, 17/2.
    let levels = [level(5, 0), level(5, 1), level(6, 0)];
    assert!(levels.windows(2).all(|pair| pair[0].loss > pair[1].loss));
    assert!(levels.windows(2).all(|pair| pair[0].coefficient.lambda <= pair[1].coefficient.lambda));
    let parent = RngStream::named(0, "staircase");
    let mut rests = [0; 3];
    for run in 0..24 {
        let losses = train(&mut parent.child(run));
        assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] + 1e-12), "run {run} does not descend");
        let along = levels_along(&losses, &levels, 2e-4);
        // At the start the loss is at no level. Once it rests at a level it stays there, because each level is a minimum.
        assert_eq!(along[0], None);
        let Some(last) = along[along.len() - 1] else { continue };
        rests[last] += 1;
        let since = along.iter().position(|at| *at == Some(last)).unwrap();
        assert!(along[since..].iter().all(|at| *at == Some(last)), "run {run} left a minimum");
        assert!(losses.len() - since > 50, "run {run} was at rest for {} checkpoints", losses.len() - since);
    }
    assert!(rests.iter().all(|&runs| runs > 0), "runs at each level: {rests:?}");
    assert!(rests.iter().sum::<i32>() >= 12, "{rests:?}");
}

#[test]
fn chains_at_a_level_find_its_coefficient() {
    // At this low temperature the curvature dominates the localisation, so the estimate is λ itself up to a twentieth.
    let n_beta = NBeta::new(1e5).unwrap();
    let mut found = Vec::new();
    for (corners, lambda) in [(5, 7.0), (6, 8.5)] {
        let (model, mut centre) =
            CriticalPolygon::new(corners).unwrap().parameters(FEATURES, UnusedFeatures { on: 0 }).unwrap();
        // A spare feature that is off has a negative bias.
        centre[2 * FEATURES + corners..].fill(-0.5);
        let exact = toy_model_polygon(corners, FEATURES, FEATURES - corners).unwrap();
        assert_eq!(exact.lambda_f64(), lambda);
        let sampling = Sampling { draws: 1000, ..Sampling::hmc(24) };
        let llc = Llc { localisation: 20.0, sampling, ..Llc::at(10_000, Beta::of_n_beta(n_beta, 10_000)) };
        let estimate = llc.estimate(&model, &centre, &mut RngStream::new(corners as u64, 0)).unwrap();
        assert!(
            (estimate.value - lambda).abs() < 4.5 * estimate.standard_error + 0.05 * lambda,
            "{estimate}"
        );
        found.push(estimate.value);
    }
    assert!(found[1] - found[0] > 1.0, "{found:?}");
}
