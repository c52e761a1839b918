//! Estimators against exact values.

use collimate_measure::Fingerprint;
use collimate_slt::{
    Beta, Boundary, CrossingLoss, CrossingOracle, FreeEnergy, LossScale, NBeta, NormalCrossing,
    QuadraticLoss, Region, SampleLosses, Sampling, Target, TwoTemperatures, VolumeSlope, Wbic,
    susceptibility,
};
use collimate_stream::RngStream;

fn within(value: f64, error: f64, exact: f64, what: &str) {
    let z = (value - exact) / error;
    assert!(z.abs() < 4.5 && error > 0.0, "{what}: {value} ± {error}, exact {exact}, z = {z:.2}");
}

fn box_of(powers: &[u32]) -> Region {
    Region::cube(powers.len(), -1.0, 1.0, Boundary::Reflect).unwrap()
}

#[test]
fn the_free_energy_by_integration_agrees_with_quadrature() {
    let powers = [1, 1];
    let (n, lowest) = (1000, 1e-3);
    let objective = CrossingLoss::new(&powers);
    let target = Target::new(&objective, &[0.0; 2], NBeta::new(1.0).unwrap())
        .unwrap()
        .within(box_of(&powers))
        .unwrap();
    let integration = FreeEnergy {
        n,
        lowest,
        nodes: 8,
        prior_draws: 20_000,
        sampling: Sampling { draws: 1000, ..Sampling::hmc(16) },
    };
    let found = integration.estimate(&target, &mut RngStream::new(1, 0)).unwrap();
    let oracle = CrossingOracle::new(&NormalCrossing::flat(&powers).unwrap());
    let exact = -oracle.log_partition((n as f64).ln());
    within(found.free_energy.value, found.free_energy.standard_error.unwrap(), exact, "F");
    for (beta, value) in &found.curve {
        let exact = oracle.tempered_llc((n as f64 * beta).ln());
        within(value.value, value.standard_error, exact, &format!("β = {beta}"));
    }
    // Without a proper prior there is no free energy.
    let open = Target::new(&objective, &[0.0; 2], NBeta::new(1.0).unwrap()).unwrap();
    assert!(integration.estimate(&open, &mut RngStream::new(1, 0)).is_err());
}

#[test]
fn the_free_energy_and_wbic_of_a_gaussian_are_exact() {
    // With prior N(0, 1/γ) and loss ½ Σ h w², F = ½ Σ log(1 + n h/γ), and nβ E[L] = ½ Σ nβh/(nβh + γ).
    let (curvatures, gamma, n) = ([0.5, 2.0], 0.5, 500usize);
    let objective = QuadraticLoss::new(&curvatures);
    let target =
        Target::new(&objective, &[0.0; 2], NBeta::new(1.0).unwrap()).unwrap().localised(gamma).unwrap();
    let sampling = Sampling { draws: 1000, ..Sampling::hmc(8) };
    let integration = FreeEnergy { n, lowest: 1e-3, nodes: 8, prior_draws: 20_000, sampling };
    let found = integration.estimate(&target, &mut RngStream::new(2, 0)).unwrap().free_energy;
    let exact: f64 = curvatures.iter().map(|h| 0.5 * (n as f64 * h / gamma).ln_1p()).sum();
    within(found.value, found.standard_error.unwrap(), exact, "F");
    let t = Beta::InverseLogN.n_beta(n).unwrap().get();
    let loss: f64 = curvatures.iter().map(|h| 0.5 * h / (t * h + gamma)).sum();
    let wbic = Wbic { n, sampling }.estimate(&target, &mut RngStream::new(3, 0)).unwrap();
    within(wbic.value, wbic.standard_error.unwrap(), n as f64 * loss, "WBIC");
    assert!(wbic.to_string().contains("estimates the criterion"));
}

#[test]
fn two_temperatures_need_no_baseline() {
    let powers = [1, 1];
    let n = 1000usize;
    let objective = CrossingLoss::new(&powers);
    let target = Target::new(&objective, &[0.0; 2], NBeta::new(1.0).unwrap())
        .unwrap()
        .within(box_of(&powers))
        .unwrap();
    let estimator = TwoTemperatures::around(n, Sampling { draws: 3000, ..Sampling::hmc(16) });
    let found = estimator.estimate(&target, &mut RngStream::new(4, 0)).unwrap();
    let oracle = CrossingOracle::new(&NormalCrossing::flat(&powers).unwrap());
    let at = |beta: Beta| {
        let n_beta = beta.n_beta(n).unwrap().get();
        (n as f64 / n_beta, oracle.tempered_llc(n_beta.ln()))
    };
    let [(t1, a), (t2, b)] = estimator.betas.map(at);
    // nE[K] is the tempered value divided by β.
    let exact = (a * t1 - b * t2) / (t1 - t2);
    within(found.value, found.standard_error.unwrap(), exact, "slope");
    // The value f − df/d log t needs no baseline, but it is farther from λ = 1/2 than the value f of one temperature.
    let one = oracle.tempered_llc_at(n, Beta::InverseLogN).unwrap();
    assert!(exact < one - 0.02 && exact > one - 0.05, "{exact} {one}");
    let same = TwoTemperatures { betas: [Beta::InverseLogN; 2], ..estimator };
    assert!(same.estimate(&target, &mut RngStream::new(4, 0)).is_err());
}

/// Draws samples of a Gaussian location model in two dimensions with unit noise.
fn location(n: usize, stream: &mut RngStream) -> (QuadraticLoss, Vec<Vec<f64>>) {
    let samples: Vec<Vec<f64>> = (0..n).map(|_| vec![stream.normal(), stream.normal()]).collect();
    (QuadraticLoss::of_samples(&[1.0, 1.0], samples.clone()), samples)
}

#[test]
fn errors_of_a_conjugate_posterior_agree_with_closed_forms() {
    // The posterior at β = 1 is N(m, v I) with v = 1/(n + γ) and m = n x̄ v.
    let (n, gamma) = (40usize, 2.0);
    let (objective, samples) = location(n, &mut RngStream::new(7, 0));
    let v = 1.0 / (n as f64 + gamma);
    let mean: Vec<f64> = (0..2).map(|i| v * samples.iter().map(|x| x[i]).sum::<f64>()).collect();
    let centre = [0.0; 2];
    let target =
        Target::new(&objective, &centre, NBeta::new(n as f64).unwrap()).unwrap().localised(gamma).unwrap();
    let sampling = Sampling { draws: 4000, ..Sampling::hmc(8) };
    let recorded =
        SampleLosses::record(&sampling, &target, &[&objective, &objective], &mut RngStream::new(8, 0))
            .unwrap();
    let losses = &recorded.losses[0];
    let found = losses.posterior_errors(1.0, Fingerprint::of(b"location")).unwrap();
    let squares = |x: &Vec<f64>| (x[0] - mean[0]).powi(2) + (x[1] - mean[1]).powi(2);
    // For ℓ = |w − x|²/2, E = (d² + 2v)/2, Var = v d² + v²; −log E e^{−ℓ} = log(1 + v) + d²/2(1 + v).
    let per = |f: &dyn Fn(f64) -> f64| samples.iter().map(|x| f(squares(x))).sum::<f64>();
    let count = n as f64;
    let gibbs = per(&|d| 0.5 * (d + 2.0 * v)) / count;
    let bayes = per(&|d| (1.0 + v).ln() + 0.5 * d / (1.0 + v)) / count;
    let variance = per(&|d| v * d + v * v);
    for (m, exact) in [
        (&found.gibbs_training, gibbs),
        (&found.bayes_training, bayes),
        (&found.functional_variance, variance),
        (&found.singular_fluctuation, 0.5 * variance),
        (&found.waic, bayes + variance / count),
        (&found.cross_validation, left_out(&samples, gamma, 1.0)),
    ] {
        within(m.value, m.standard_error.unwrap(), exact, m.quantity.name);
    }
    assert_eq!(recorded.losses[1].bayes(Fingerprint::of(b"")).value, found.bayes_training.value);
    // The influence is −Cov(ℓ_i, ℓ_j) = −(v (m − x_i)·(m − x_j) + v²).
    let influence = losses.influence();
    for (i, j) in [(0, 0), (0, 1), (3, 17)] {
        let dot: f64 = (0..2).map(|k| (mean[k] - samples[i][k]) * (mean[k] - samples[j][k])).sum();
        let one = losses.influence_of(i, j);
        within(one.value, one.standard_error, -(v * dot + v * v), &format!("influence {i} {j}"));
        assert!((influence[[i, j]] - one.value).abs() < 0.02 * v * v + 1e-3 * one.value.abs());
    }
    let measured = losses.influence_of(0, 1).measurement(Fingerprint::of(b"location"));
    assert!(measured.to_string().contains("estimates the first-order response"), "{measured}");
    assert!(losses.posterior_errors(0.0, Fingerprint::of(b"")).is_err());
}

/// Returns the mean over samples of `−log E e^{−ℓ}` under the conjugate posterior of all other samples at β.
fn left_out(samples: &[Vec<f64>], gamma: f64, beta: f64) -> f64 {
    let n = samples.len() as f64;
    let v = 1.0 / (beta * (n - 1.0) + gamma);
    let sums: Vec<f64> = (0..2).map(|k| samples.iter().map(|x| x[k]).sum()).collect();
    let of = |x: &Vec<f64>| {
        let squares: f64 = (0..2).map(|k| (beta * v * (sums[k] - x[k]) - x[k]).powi(2)).sum();
        (1.0 + v).ln() + 0.5 * squares / (1.0 + v)
    };
    samples.iter().map(of).sum::<f64>() / n
}

#[test]
fn leaving_one_out_is_exact_at_any_temperature() {
    let (n, gamma) = (40usize, 2.0);
    let (objective, samples) = location(n, &mut RngStream::new(17, 0));
    for beta in [0.4, 2.0] {
        let t = NBeta::new(beta * n as f64).unwrap();
        let target = Target::new(&objective, &[0.0; 2], t).unwrap().localised(gamma).unwrap();
        let sampling = Sampling { draws: 4000, ..Sampling::hmc(8) };
        let recorded =
            SampleLosses::record(&sampling, &target, &[&objective], &mut RngStream::new(18, 0)).unwrap();
        let found = recorded.losses[0].posterior_errors(beta, Fingerprint::of(b"")).unwrap().cross_validation;
        let exact = left_out(&samples, gamma, beta);
        within(found.value, found.standard_error.unwrap(), exact, &format!("β = {beta}"));
        // The error on the training data differs by much more.
        assert!(exact - recorded.losses[0].bayes(Fingerprint::of(b"")).value > 0.02, "β = {beta}");
    }
}

#[test]
fn susceptibilities_are_derivatives_of_expectations() {
    // With L = w²/2 and ΔL = w, p_h ∝ exp(−t (w²/2 + h w)) has mean −h and ⟨w²⟩ = 1/t + h², so χ_w = −1 and χ_{w²} = 0.
    let objective = QuadraticLoss::new(&[1.0]);
    let t = NBeta::new(30.0).unwrap();
    let target = Target::new(&objective, &[0.0], t).unwrap();
    let run = Sampling { draws: 5000, ..Sampling::hmc(6) }
        .observe(&target, &mut RngStream::new(3, 0), |_| Vec::new())
        .unwrap();
    let squares: Vec<Vec<f64>> =
        run.observers.iter().map(|w| w.iter().map(|x: &f64| x * x).collect()).collect();
    let chi = susceptibility(&run.observers, &run.observers, t).unwrap();
    within(chi.value, chi.standard_error, -1.0, "χ of w");
    let chi = susceptibility(&squares, &run.observers, t).unwrap();
    within(chi.value, chi.standard_error, 0.0, "χ of w²");
}

#[test]
fn the_volume_of_a_crossing_scales_as_by_quadrature() {
    let powers = [1, 2];
    let slope = VolumeSlope { levels: [1e-2, 1e-5], points: 100_000 };
    let found = slope
        .estimate(&CrossingLoss::new(&powers), &[0.0; 2], &box_of(&powers), &mut RngStream::new(6, 0))
        .unwrap();
    let oracle = CrossingOracle::new(&NormalCrossing::flat(&powers).unwrap());
    let log = |level: f64| oracle.log_volume(level.ln());
    let exact = (log(1e-2) - log(1e-5)) / (1e-2f64 / 1e-5).ln();
    within(found.value, found.standard_error.unwrap(), exact, "slope");
    let empty = VolumeSlope { levels: [1e-2, 1e-30], points: 1000 };
    assert!(
        empty.estimate(&CrossingLoss::new(&[1]), &[0.0], &box_of(&[1]), &mut RngStream::new(6, 0)).is_err()
    );
}

#[test]
fn conventions_of_loss_and_temperature_agree() {
    // One posterior in three conventions: nβ of the likelihood, of the squared error with σ = ½, and nβ of a library.
    let nll = NBeta::new(100.0).unwrap();
    assert_eq!(LossScale::SquaredError { noise: 0.5 }.factor().unwrap(), 2.0);
    assert_eq!(LossScale::MeanSquaredError { noise: 0.5, outputs: 3 }.factor().unwrap(), 6.0);
    assert_eq!(LossScale::NegativeLogLikelihood.factor().unwrap(), 1.0);
    assert!(LossScale::SquaredError { noise: 0.0 }.factor().is_err());
    assert!(LossScale::MeanSquaredError { noise: 1.0, outputs: 0 }.factor().is_err());
    let beta = Beta::of_n_beta(nll, 1000);
    assert_eq!(beta.n_beta(1000).unwrap(), nll);
}
