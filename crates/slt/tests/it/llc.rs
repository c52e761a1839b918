use collimate_slt::{
    BatchSampling, Beta, Doubt, Llc, QuadraticLoss, QuadraticOracle, ReducedRank, ReducedRankConfig,
    Sampling, StepSize, effective_sample_size, split_r_hat,
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
            // The only doubt is that MALA would reject too many moves at this ε.
            let only_step = |d: &Doubt| matches!(d, Doubt::StepSizeDominated { .. });
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
        let found = effective_sample_size(&chains);
        assert!((found / exact - 1.0).abs() < 0.15, "ρ = {rho}: {found}, exact {exact}");
        assert!((split_r_hat(&chains) - 1.0).abs() < 0.01);
    }
}

#[test]
fn chains_that_disagree_have_a_small_effective_sample_size() {
    let mut stream = RngStream::new(4, 0);
    let chains: Vec<Vec<f64>> =
        (0..4).map(|c| (0..1000).map(|_| f64::from(c) + 0.1 * stream.normal()).collect()).collect();
    assert!(effective_sample_size(&chains) < 20.0);
    assert!(split_r_hat(&chains) > 5.0);
    assert!(effective_sample_size(&[vec![1.0; 100]]).is_nan() && split_r_hat(&[vec![1.0; 100]]).is_nan());
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
