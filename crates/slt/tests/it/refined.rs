//! Coefficients refined by data and by weights, at a `w*` from other data.

use collimate_slt::{
    Beta, Doubt, Llc, LlcEstimate, NBeta, QuadraticLoss, QuadraticOracle, ReducedRank, ReducedRankConfig,
    ReducedRankOracle, Region, Sampling,
};
use collimate_stream::RngStream;
use ndarray::{Array2, array};

fn agrees(found: &LlcEstimate, exact: f64, what: &str) {
    let z = (found.value - exact) / found.standard_error;
    assert!(found.ess > 500.0 && z.abs() < 4.5, "{what}: {found}, exact {exact}, z = {z:.2}");
}

fn llc(gamma: f64) -> Llc {
    let sampling = Sampling { draws: 3000, ..Sampling::hmc(8) };
    Llc { localisation: gamma, sampling, ..Llc::at(1000, Beta::InverseLogN) }
}

#[test]
fn data_along_one_input_give_the_coefficient_of_one_input() {
    let config = ReducedRankConfig { inputs: 3, hidden: 1, outputs: 2, noise: 1.0 };
    let root = 3f64.sqrt();
    // w* = 0 is a minimum on the training data along all inputs and on a probe along the first one. E[x xᵀ] = I on each.
    let training = ReducedRank::new(config, &(root * Array2::eye(3)), &Array2::zeros((3, 2))).unwrap();
    let probe = ReducedRank::new(config, &array![[1.0, 0.0, 0.0]], &Array2::zeros((1, 2))).unwrap();
    let (llc, w_star) = (llc(1.0), [0.0; 5]);
    let n_beta = llc.beta.n_beta(llc.n).unwrap();
    let exact = |inputs| {
        let config = ReducedRankConfig { inputs, ..config };
        ReducedRankOracle::new(config, 1.0).unwrap().tempered_llc(n_beta)
    };
    let mut stream = RngStream::new(1, 0);
    let whole = llc.estimate(&training, &w_star, &mut stream).unwrap();
    let refined = llc.estimate(&probe, &w_star, &mut stream).unwrap();
    agrees(&whole, exact(3), "training data");
    agrees(&refined, exact(1), "probe");
    assert!(whole.value - refined.value > 0.1, "{whole}\n{refined}");
}

#[test]
fn refinement_by_weights_and_data_agrees_with_closed_forms() {
    // A = (1, 2, 0) and B = 0 realise the truth 0. With a fixed A the loss is quadratic in B, with the curvature A Σ Aᵀ for
    // each output. On the probe Σ is diag(2, 0, 1).
    let config = ReducedRankConfig { inputs: 3, hidden: 1, outputs: 2, noise: 0.5 };
    let x = array![[2.0, 0.0, 0.0], [0.0, 0.0, 2f64.sqrt()]];
    let probe = ReducedRank::new(config, &x, &Array2::zeros((2, 2))).unwrap();
    let region = Region::everywhere(5).moving(&[false, false, false, true, true]).unwrap();
    let llc = Llc { region: Some(region), ..llc(5.0) };
    let n_beta = llc.beta.n_beta(llc.n).unwrap();
    let exact = QuadraticOracle::new(vec![2.0 / 0.25; 2], n_beta, 5.0, 1e-6).unwrap().posterior_llc();
    let found = llc.estimate(&probe, &[1.0, 2.0, 0.0, 0.0, 0.0], &mut RngStream::new(2, 0)).unwrap();
    agrees(&found, exact, "doubly refined");
    assert!(found.diagnosis().doubts.is_empty(), "{found}");
}

/// Returns `nβ (E[L'] − L'(w*))` of a quadratic loss around the mean of other data, localised at w*.
fn at_another_mean(h: f64, n_beta: NBeta, gamma: f64, w_star: f64, mean: f64) -> f64 {
    let (t, a) = (n_beta.get(), n_beta.get() * h + gamma);
    let centre = (t * h * mean + gamma * w_star) / a;
    0.5 * t * h * ((centre - mean).powi(2) + 1.0 / a - (w_star - mean).powi(2))
}

#[test]
fn other_data_with_another_minimum_change_the_estimate() {
    // w* is the mean of 200 samples. The loss is that of 200 other samples with another mean.
    let (h, gamma) = (2.0, 50.0);
    let mut stream = RngStream::new(3, 0);
    let mut data = || -> Vec<Vec<f64>> { (0..200).map(|_| vec![stream.normal()]).collect() };
    let (own, other) = (data(), data());
    let mean = |data: &[Vec<f64>]| data.iter().map(|x| x[0]).sum::<f64>() / data.len() as f64;
    let (w_star, centre) = (mean(&own), mean(&other));
    let llc = llc(gamma);
    let n_beta = llc.beta.n_beta(llc.n).unwrap();
    let mut stream = RngStream::new(4, 0);
    let [here, there] = [own, other]
        .map(|data| llc.estimate(&QuadraticLoss::of_samples(&[h], data), &[w_star], &mut stream).unwrap());
    agrees(&here, at_another_mean(h, n_beta, gamma, w_star, w_star), "own data");
    agrees(&there, at_another_mean(h, n_beta, gamma, w_star, centre), "other data");
    assert!(here.value - there.value > 0.05, "{here}\n{there}");
    let unconverged =
        |found: &LlcEstimate| found.diagnosis().doubts.iter().any(|d| matches!(d, Doubt::Unconverged { .. }));
    assert!(!unconverged(&here) && unconverged(&there), "{here}\n{there}");
}
