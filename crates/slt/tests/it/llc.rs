use crate::sgld::Quadratic;
use collimate_slt::{
    BatchSampling, Beta, Llc, LlcWarning, QuadraticOracle, ReducedRank, ReducedRankConfig,
    effective_sample_size, split_r_hat,
};
use collimate_stream::Stream;

/// The oracle of an estimate's own settings.
fn oracle(llc: &Llc, curvatures: &[f64]) -> QuadraticOracle {
    let n_beta = llc.beta.n_beta(llc.n).unwrap();
    QuadraticOracle::new(curvatures.to_vec(), n_beta, llc.localisation, llc.step_size).unwrap()
}

#[test]
fn nominal_intervals_cover_what_the_chains_converge_to() {
    let curvatures = [0.5, 1.0, 2.0];
    let objective = Quadratic { curvatures: curvatures.to_vec(), offsets: vec![0.0] };
    let llc = Llc { step_size: 5e-3, burn_in: 200, draws: 1000, ..Llc::at(1000, Beta::inverse_log_n()) };
    let truth = oracle(&llc, &curvatures).stationary_llc();
    let mut stream = Stream::new(17, 0);
    let covered = (0..300)
        .filter(|_| {
            let estimate = llc.estimate(&objective, &[0.0; 3], &mut stream).unwrap();
            assert!(estimate.warnings.is_empty(), "{estimate}");
            (estimate.value - truth).abs() < 1.96 * estimate.standard_error
        })
        .count();
    // 95 % nominal: at least 90 % and not so many that the error must be inflated (binomial 285 ± 3.8).
    assert!((270..=299).contains(&covered), "{covered} of 300");
}

#[test]
fn effective_draws_of_an_autoregression() {
    // x ← ρx + √(1 − ρ²) z has IACT (1 + ρ)/(1 − ρ).
    let mut stream = Stream::new(3, 0);
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
fn chains_that_disagree_are_worth_little() {
    let mut stream = Stream::new(4, 0);
    let chains: Vec<Vec<f64>> =
        (0..4).map(|c| (0..1000).map(|_| f64::from(c) + 0.1 * stream.normal()).collect()).collect();
    assert!(effective_sample_size(&chains) < 20.0);
    assert!(split_r_hat(&chains) > 5.0);
    assert!(effective_sample_size(&[vec![1.0; 100]]).is_nan() && split_r_hat(&[vec![1.0; 100]]).is_nan());
}

#[test]
fn reduced_rank_regression_is_far_below_half_its_parameters() {
    // λ = 13/2 with multiplicity 2 against d/2 = 15; the localised, tempered value lies below.
    let mut stream = Stream::new(9, 0);
    let model = ReducedRankConfig { inputs: 5, hidden: 3, outputs: 5, noise: 1.0 };
    let objective = ReducedRank::sample(model, &[0.0; 30], 1000, &mut stream).unwrap();
    let llc =
        Llc { batch: BatchSampling::Distinct(64), step_size: 1e-3, ..Llc::at(1000, Beta::inverse_log_n()) };
    let estimate = llc.estimate(&objective, &[0.0; 30], &mut stream).unwrap();
    assert!((3.5..7.5).contains(&estimate.value), "{estimate}");
}

#[test]
fn a_point_that_is_no_minimum_is_noticed_and_threads_do_not_matter() {
    let objective = Quadratic { curvatures: vec![1.0], offsets: vec![0.0] };
    let llc = Llc { draws: 500, ..Llc::at(1000, Beta::inverse_log_n()) };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| llc.estimate(&objective, &[3.0], &mut Stream::new(1, 0)).unwrap())
    };
    let (one, three) = (run(1), run(3));
    assert_eq!(one.traces, three.traces);
    assert!(one.warnings.contains(&LlcWarning::Negative) && one.value < 0.0);
    assert!(one.to_string().contains("w* is not a minimum"));
    assert!(Llc { draws: 4, ..llc }.estimate(&objective, &[0.0], &mut Stream::new(1, 0)).is_err());
    assert!(Llc::at(1, Beta::inverse_log_n()).estimate(&objective, &[0.0], &mut Stream::new(1, 0)).is_err());
}
