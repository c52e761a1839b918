use collimate_slt::{
    Batch, BatchSampling, Beta, Boundary, CrossingLoss, Doubt, Llc, LlcEstimate, Objective, Polynomial,
    PolynomialLoss, QuadraticLoss, QuadraticOracle, ReducedRank, ReducedRankConfig, Region, Sampling,
    Scratch, SltError, StepSize, effective_sample_size, split_r_hat,
};
use collimate_stream::RngStream;

/// Returns settings of full-batch SGLD at a given step.
fn sgld(step_size: f64, burn_in: usize, draws: usize) -> Sampling {
    Sampling { step_size: StepSize::Fixed(step_size), burn_in, draws, ..Sampling::sgld(BatchSampling::Full) }
}

#[test]
fn nominal_intervals_cover_the_limit_of_the_chains() {
    let curvatures = [0.5, 1.0, 2.0];
    let objective = QuadraticLoss::new(&curvatures);
    let llc = Llc { sampling: sgld(5e-3, 200, 1000), ..Llc::at(1000, Beta::InverseLogN) };
    let n_beta = llc.beta.n_beta(llc.n).unwrap();
    let truth = QuadraticOracle::new(curvatures.to_vec(), n_beta, 1.0, 5e-3).unwrap().stationary_llc();
    let mut stream = RngStream::new(17, 0);
    let covered = (0..300)
        .filter(|_| {
            let estimate = llc.estimate(&objective, &[0.0; 3], &mut stream).unwrap();
            // The only doubt is the bias of the step, which is a third of the value here.
            let only_step = |d: &Doubt| matches!(d, Doubt::StepBias { .. });
            assert!(estimate.diagnosis().doubts.iter().all(only_step), "{estimate}");
            (estimate.value - truth).abs() < 1.96 * estimate.standard_error
        })
        .count();
    // The nominal rate is 95 % (binomial 285 ± 3.8). A rate above the range would mean that the errors are too large.
    assert!((270..=299).contains(&covered), "{covered} of 300");
}

#[test]
fn an_autoregression_has_its_known_effective_sample_size() {
    // The chain x ← ρx + √(1 − ρ²) z has IACT (1 + ρ)/(1 − ρ).
    let mut stream = RngStream::new(3, 0);
    for rho in [0.0, 0.5, 0.9, -0.5f64] {
        let chains: Vec<Vec<f64>> = (0..4)
            .map(|_| {
                let mut x = stream.normal();
                let mut step = || {
                    x = rho * x + (1.0 - rho * rho).sqrt() * stream.normal();
                    x
                };
                (0..20_000).map(|_| step()).collect()
            })
            .collect();
        let exact = 80_000.0 * (1.0 - rho) / (1.0 + rho);
        let found = effective_sample_size(&chains).unwrap();
        assert!((found / exact - 1.0).abs() < 0.15, "ρ = {rho}: {found}, exact {exact}");
        assert!((split_r_hat(&chains).unwrap() - 1.0).abs() < 0.01);
    }
}

#[test]
fn chains_that_disagree_have_a_small_effective_sample_size() {
    let mut stream = RngStream::new(4, 0);
    let chains: Vec<Vec<f64>> =
        (0..4).map(|c| (0..1000).map(|_| f64::from(c) + 0.1 * stream.normal()).collect()).collect();
    assert!(effective_sample_size(&chains).unwrap() < 20.0);
    assert!(split_r_hat(&chains).unwrap() > 5.0);
    assert!(
        effective_sample_size(&[vec![1.0; 100]]).unwrap().is_nan()
            && split_r_hat(&[vec![1.0; 100]]).unwrap().is_nan()
    );
}

#[test]
fn reduced_rank_regression_is_far_below_half_its_parameters() {
    // λ = 13/2 with multiplicity 2, but d/2 = 15. The localised, tempered value lies below λ.
    let mut stream = RngStream::new(9, 0);
    let model = ReducedRankConfig { inputs: 5, hidden: 3, outputs: 5, noise: 1.0 };
    let objective = ReducedRank::sample(model, &[0.0; 30], 1000, &mut stream).unwrap();
    let sampling =
        Sampling { step_size: StepSize::Fixed(1e-3), ..Sampling::sgld(BatchSampling::Distinct(64)) };
    let llc = Llc { sampling, ..Llc::at(1000, Beta::InverseLogN) };
    let estimate = llc.estimate(&objective, &[0.0; 30], &mut stream).unwrap();
    assert!((3.5..7.5).contains(&estimate.value), "{estimate}");
}

#[test]
fn a_point_that_is_no_minimum_is_detected_on_any_number_of_threads() {
    let objective = QuadraticLoss::new(&[1.0]);
    let llc = Llc { sampling: sgld(7e-4, 1000, 500), ..Llc::at(1000, Beta::InverseLogN) };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| llc.estimate(&objective, &[3.0], &mut RngStream::new(1, 0)).unwrap())
    };
    let (one, three) = (run(1), run(3));
    assert_eq!(one.run, three.run);
    assert!(one.diagnosis().doubts.contains(&Doubt::Negative) && one.value < 0.0);
    assert!(one.to_string().contains("w* is not a minimum"));
    let short = Llc { sampling: sgld(7e-4, 0, 4), ..llc };
    assert!(short.estimate(&objective, &[0.0], &mut RngStream::new(1, 0)).is_err());
    assert!(Llc::at(1, Beta::InverseLogN).estimate(&objective, &[0.0], &mut RngStream::new(1, 0)).is_err());
}

/// Returns true if an estimate has a doubt of a kind.
fn has(estimate: &LlcEstimate, kind: fn(&Doubt) -> bool) -> bool {
    estimate.diagnosis().doubts.iter().any(kind)
}

#[test]
fn trust_rests_on_the_measured_bias_of_the_step() {
    // The stationary value of SGLD on a quadratic is known at every step size.
    let curvatures = vec![1.0, 2.0];
    let objective = QuadraticLoss::new(&curvatures);
    for (c, trusted) in [(0.002, true), (0.3, false), (0.8, false)] {
        let sampling = Sampling {
            step_size: StepSize::PerNBeta(c),
            draws: 3000,
            thin: if c < 0.01 { 300 } else { 5 },
            ..Sampling::sgld(BatchSampling::Full)
        };
        let llc = Llc { sampling, ..Llc::at(1000, Beta::InverseLogN) };
        let found = llc.estimate(&objective, &[0.0; 2], &mut RngStream::new(8, 0)).unwrap();
        let n_beta = llc.beta.n_beta(1000).unwrap();
        let oracle = QuadraticOracle::new(curvatures.clone(), n_beta, 1.0, found.run.step_size).unwrap();
        let halved =
            QuadraticOracle::new(curvatures.clone(), n_beta, 1.0, 0.5 * found.run.step_size).unwrap();
        let exact = 2.0 * (oracle.stationary_llc() - halved.stationary_llc());
        let bias = found.step_bias.unwrap();
        assert!((bias.value - exact).abs() < 4.5 * bias.standard_error, "{bias:?}, exact {exact}");
        // On common paths the bias is known far better than the estimate.
        assert!(bias.standard_error < found.standard_error, "{bias:?} {found}");
        assert_eq!(found.diagnosis().trusted(), trusted, "c = {c}: {}", found.diagnosis());
        assert_eq!(has(&found, |d| matches!(d, Doubt::StepBias { .. })), !trusted);
    }
    // A corrected sampler has no bias, and its estimate is not accompanied by another run.
    let llc = Llc { sampling: Sampling::hmc(8), ..Llc::at(1000, Beta::InverseLogN) };
    let found = llc.estimate(&objective, &[0.0; 2], &mut RngStream::new(8, 0)).unwrap();
    assert!(found.step_bias.is_none() && found.diagnosis().trusted(), "{}", found.diagnosis());
    assert!(llc.step_bias(&objective, &[0.0; 2], &mut RngStream::new(8, 0)).is_err());
}

/// Returns settings on the box [−1, 1]^d without localisation.
fn boxed(d: usize, n: usize, sampling: Sampling) -> Llc {
    let region = Some(Region::cube(d, -1.0, 1.0, Boundary::Reflect).unwrap());
    Llc { localisation: 0.0, region, sampling, ..Llc::at(n, Beta::InverseLogN) }
}

#[test]
fn an_accepted_step_is_not_an_accurate_one() {
    // At the step at which MALA accepts 95 %, SGLD on w² is a fifth too high.
    let sampling =
        Sampling { step_size: StepSize::ByAcceptance(0.95), thin: 10, ..Sampling::sgld(BatchSampling::Full) };
    for (powers, exact) in [(vec![1], 0.5), (vec![1, 1], 0.3559)] {
        let llc = boxed(powers.len(), 1000, sampling);
        let centre = vec![0.0; powers.len()];
        let found = llc.estimate(&CrossingLoss::new(&powers), &centre, &mut RngStream::new(2, 0)).unwrap();
        assert!(found.value > exact + 0.02, "{found}");
        assert!(has(&found, |d| matches!(d, Doubt::StepBias { .. })), "{}", found.diagnosis());
    }
}

#[test]
fn an_exact_value_that_contradicts_is_an_alarm() {
    let llc = boxed(1, 1000, Sampling { draws: 1000, ..Sampling::hmc(8) });
    let estimate = || llc.estimate(&CrossingLoss::new(&[1]), &[0.0], &mut RngStream::new(2, 0)).unwrap();
    for (exact, alarm) in [(0.5, false), (0.6, true), (0.4, true), (f64::NAN, true)] {
        let found = estimate().with_exact_values(Some(exact), None);
        assert_eq!(has(&found, |d| matches!(d, Doubt::Contradicted { .. })), alarm, "{}", found.diagnosis());
        assert_eq!(found.diagnosis().trusted(), !alarm);
    }
    let alarmed = estimate().with_exact_values(Some(0.6), None);
    assert!(alarmed.diagnosis().to_string().contains("ALARM: the exact value 0.6000 lies"));
}

#[test]
fn a_few_divergent_steps_at_a_wall_are_no_reason_for_doubt() {
    for seed in 0..6 {
        let llc = boxed(2, 1000, Sampling { draws: 2500, ..Sampling::hmc(16) });
        let found =
            llc.estimate(&CrossingLoss::new(&[1, 1]), &[0.0; 2], &mut RngStream::new(seed, 0)).unwrap();
        let found = found.with_exact_values(Some(0.355_88), None);
        assert!(found.diagnosis().trusted(), "seed {seed}: {}", found.diagnosis());
    }
}

#[test]
fn chains_in_different_basins_disagree() {
    // The quartic basin at 1/2 has λ = 1/4 and most of the posterior, but w* = 0 has λ = 1/2.
    for (text, centre) in [("(x - 1/2)^4*x^2", vec![0.0]), ("(x - 1/2)^4*x^2 + y^2", vec![0.0; 2])] {
        let loss = PolynomialLoss::new(&text.parse::<Polynomial>().unwrap());
        for seed in 0..3 {
            let llc = boxed(centre.len(), 100_000_000, Sampling { draws: 2000, ..Sampling::hmc(16) });
            let found = llc.estimate(&loss, &centre, &mut RngStream::new(seed, 0)).unwrap();
            assert!(
                has(&found, |d| matches!(d, Doubt::NotMixed { .. } | Doubt::DistanceNotMixed { .. })),
                "{text}, seed {seed}: {}",
                found.diagnosis()
            );
            assert!(found.measurement().estimand.contains("over the box"));
        }
    }
    // With a localisation the chains start at w*, and the measurement says so.
    let loss = PolynomialLoss::new(&"(x - 1/2)^4*x^2".parse::<Polynomial>().unwrap());
    let llc = Llc { localisation: 1.0, ..boxed(1, 100_000_000, Sampling { draws: 500, ..Sampling::hmc(8) }) };
    let found = llc.estimate(&loss, &[0.0], &mut RngStream::new(1, 0)).unwrap();
    assert!(found.measurement().estimand.contains("as far as chains from w* reach"));
}

/// The loss w², which is NaN where w exceeds a wall.
struct Hole(f64);

impl Objective<f64> for Hole {
    fn n_parameters(&self) -> usize {
        1
    }

    fn n_samples(&self) -> usize {
        1
    }

    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        out[0] = 2.0 * w[0];
        if w[0] > self.0 { f64::NAN } else { w[0] * w[0] }
    }
}

#[test]
fn a_loss_of_nan_is_named_with_its_chain_and_draw() {
    let llc = |sampling| Llc { sampling, ..Llc::at(1000, Beta::InverseLogN) };
    let settings = llc(sgld(1e-3, 100, 2000));
    for wall in [0.1, 0.15] {
        let error = settings.estimate(&Hole(wall), &[0.0], &mut RngStream::new(1, 0)).unwrap_err();
        let SltError::Undefined { chain: Some(_), distance, .. } = error else { panic!("{error}") };
        assert!(distance >= wall);
        let text = error.to_string();
        assert!(text.contains("NaN") && text.contains("chain") && !text.contains("smaller step"), "{text}");
    }
    let late = llc(sgld(1e-3, 0, 2000)).estimate(&Hole(0.15), &[0.0], &mut RngStream::new(1, 0)).unwrap_err();
    let SltError::Undefined { step, chain: Some(chain), draw: Some(draw), .. } = late else {
        panic!("{late}")
    };
    assert_eq!(step, draw as u64);
    assert!(late.to_string().contains(&format!("NaN at chain {chain}, draw {draw} (step {step})")), "{late}");
    // A corrected chain rejects such moves, and the diagnosis names the first.
    for sampling in [Sampling::hmc(6), Sampling::mala()] {
        let found = llc(sampling).estimate(&Hole(0.1), &[0.0], &mut RngStream::new(1, 0)).unwrap();
        let doubts = found.diagnosis().doubts;
        assert!(doubts.iter().any(|d| matches!(d, Doubt::Undefined { draw: Some(_), .. })), "{doubts:?}");
        assert!(!doubts.iter().any(|d| matches!(d, Doubt::Divergences { .. })), "{doubts:?}");
    }
    // An explosion is a matter of the step size.
    let large =
        llc(sgld(1.0, 1000, 100)).estimate(&QuadraticLoss::new(&[1.0]), &[0.5], &mut RngStream::new(1, 0));
    let error = large.unwrap_err();
    assert!(matches!(error, SltError::Diverged { chain: Some(_), .. }), "{error}");
    assert!(error.to_string().contains("a smaller step size is needed"));
}

#[test]
fn batches_do_not_hide_that_the_chains_have_not_mixed() {
    let model = ReducedRankConfig { inputs: 5, hidden: 2, outputs: 6, noise: 1.0 };
    for seed in 0..4 {
        let mut stream = RngStream::new(100 + seed, 0);
        let objective = ReducedRank::sample(model, &[0.0; 22], 500, &mut stream).unwrap();
        let llc =
            Llc { sampling: Sampling::sgld(BatchSampling::Distinct(50)), ..Llc::at(500, Beta::InverseLogN) };
        let found = llc.estimate(&objective, &[0.0; 22], &mut stream).unwrap();
        assert!(!found.diagnosis().trusted(), "{}", found.diagnosis());
        let mixed = has(&found, |d| matches!(d, Doubt::DistanceNotMixed { .. } | Doubt::BatchNoise { .. }));
        assert!(mixed, "{}", found.diagnosis());
    }
}
