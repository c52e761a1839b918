//! Corrected samplers against the exact target, and uncorrected samplers against their own stationary law.

use collimate_grad::{Batch, Objective, Scratch};
use collimate_slt::{
    BatchSampling, Beta, Boundary, Chain, ChainMean, CrossingLoss, CrossingOracle, Divergence, Llc,
    MalaPoint, Method, NBeta, NormalCrossing, Preconditioner, QuadraticLoss, QuadraticOracle, ReducedRank,
    ReducedRankConfig, ReducedRankOracle, Region, Sampling, SltError, StepSize, Target, mala_log_acceptance,
    tune_step_size,
};
use collimate_stream::RngStream;
use ndarray::Array2;

fn n_beta(value: f64) -> NBeta {
    NBeta::new(value).unwrap()
}

/// Returns nβ E[L] with its error.
fn tempered(target: &Target<'_>, sampling: &Sampling, seed: u64) -> ChainMean {
    let run = sampling.run(target, &mut RngStream::new(seed, 0)).unwrap();
    let found = ChainMean::of(&run.losses()).unwrap();
    let scale = target.n_beta();
    ChainMean { value: scale * found.value, standard_error: scale * found.standard_error, ess: found.ess }
}

fn agrees(found: ChainMean, exact: f64, what: &str) {
    let z = (found.value - exact) / found.standard_error;
    assert!(found.ess > 100.0 && z.abs() < 4.5, "{what}: {found:?}, exact {exact}, z = {z:.2}");
}

#[test]
fn corrected_samplers_give_the_exact_value_of_normal_crossings() {
    let t = 145.0f64;
    for (powers, seed) in [(vec![1, 1], 1), (vec![2, 2], 2), (vec![1, 2], 3)] {
        let exact = CrossingOracle::new(&NormalCrossing::flat(&powers).unwrap()).tempered_llc(t.ln());
        let objective = CrossingLoss::new(&powers);
        for boundary in [Boundary::Reflect, Boundary::Reject] {
            let region = Region::cube(2, -1.0, 1.0, boundary).unwrap();
            let target = Target::new(&objective, &[0.0; 2], n_beta(t)).unwrap().within(region).unwrap();
            let hmc = Sampling { draws: 3000, ..Sampling::hmc(16) };
            agrees(tempered(&target, &hmc, seed), exact, &format!("HMC {powers:?} {boundary:?}"));
            // At the usual acceptance of 57 % MALA stays long where the crossing is steep, and its ESS does not show it.
            let mala = Sampling {
                draws: 5000,
                thin: 20,
                step_size: StepSize::ByAcceptance(0.9),
                ..Sampling::mala()
            };
            agrees(tempered(&target, &mala, seed), exact, &format!("MALA {powers:?} {boundary:?}"));
        }
    }
}

#[test]
fn clamping_has_another_law_than_reflection() {
    // Clamping at a wall gives an atom at the wall, and another expectation. The minimum of the quadratic lies beyond the
    // wall, so the wall matters.
    let objective = QuadraticLoss::of_samples(&[1.0], vec![vec![1.2]]);
    let region = Region::cube(1, -1.0, 1.0, Boundary::Reflect).unwrap();
    let target = Target::new(&objective, &[0.0], n_beta(4.0)).unwrap().within(region).unwrap();
    // The expectation of 2(w − 1.2)² under exp(−2(w − 1.2)²) on [−1, 1], by the midpoint rule.
    let (mut mass, mut mean) = (0.0, 0.0);
    for i in 0..200_000 {
        let w = -1.0 + 2.0 * (f64::from(i) + 0.5) / 200_000.0;
        let u = 2.0 * (w - 1.2) * (w - 1.2);
        mass += (-u).exp();
        mean += u * (-u).exp();
    }
    let exact = mean / mass;
    agrees(tempered(&target, &Sampling::hmc(8), 1), exact, "HMC with walls");
    agrees(
        tempered(&target, &Sampling { draws: 4000, thin: 4, ..Sampling::mala() }, 2),
        exact,
        "MALA with walls",
    );
    // SGLD with reflection tends to this value for ε → 0. At this step its bias is below one per cent.
    let sgld = Sampling {
        step_size: StepSize::Fixed(2e-3),
        draws: 20_000,
        thin: 10,
        ..Sampling::sgld(BatchSampling::Full)
    };
    let found = tempered(&target, &sgld, 3);
    assert!((found.value - exact).abs() < 4.5 * found.standard_error + 0.01 * exact, "{found:?} {exact}");
}

#[test]
fn reduced_rank_regression_agrees_with_its_oracle() {
    let config = ReducedRankConfig { inputs: 5, hidden: 3, outputs: 5, noise: 1.0 };
    let x = Array2::from_shape_fn((5, 5), |(i, j)| if i == j { 5.0f64.sqrt() } else { 0.0 });
    let objective = ReducedRank::new(config, &x, &Array2::zeros((5, 5))).unwrap();
    for (t, gamma) in [(144.76, 1.0), (20.0, 2.0)] {
        let exact = ReducedRankOracle::new(config, gamma).unwrap().tempered_llc(n_beta(t));
        let target = Target::new(&objective, &[0.0; 30], n_beta(t)).unwrap().localised(gamma).unwrap();
        agrees(tempered(&target, &Sampling::hmc(8), 5), exact, &format!("HMC, t = {t}, γ = {gamma}"));
        let fast = target.by_statistics().unwrap();
        agrees(tempered(&fast, &Sampling::hmc(8), 6), exact, "by statistics");
    }
}

#[test]
fn the_oracle_of_one_hidden_unit_is_a_double_integral() {
    // M = N = H = 1: Z = E exp(−t a²b²/2) over two normals of variance 1/γ.
    let config = ReducedRankConfig { inputs: 1, hidden: 1, outputs: 1, noise: 1.0 };
    let (t, gamma) = (145.0f64, 1.0f64);
    let z = |t: f64| {
        let (steps, end) = (400_000, 12.0);
        let cell = |i: i32| {
            let a = end * (f64::from(i) + 0.5) / f64::from(steps) / gamma.sqrt();
            (-0.5 * gamma * a * a).exp() / (1.0 + t * a * a / gamma).sqrt()
        };
        (0..steps).map(cell).sum::<f64>().ln()
    };
    let h = 1e-3f64;
    let direct = -(z(t * h.exp()) - z(t * (-h).exp())) / (2.0 * h);
    let oracle = ReducedRankOracle::new(config, gamma).unwrap().tempered_llc(n_beta(t));
    assert!((oracle - direct).abs() < 1e-5, "{oracle} {direct}");
    assert!(ReducedRankOracle::new(ReducedRankConfig { hidden: 6, ..config }, 1.0).is_err());
}

#[test]
fn mala_accepts_with_the_probability_of_its_definition() {
    // Published cases for U = Σ w²/2 or Σ w²: start, gradient, potential, end, gradient, potential, ε, probability.
    let cases = [
        ([0.0, 0.0], [0.0, 0.0], 0.0, [1.5, 5.5], [1.5, 5.5], 16.25, 0.1, 0.666_143_6),
        ([1.0, 1.0], [1.0, 1.0], 1.0, [1.5, 0.5], [1.5, 0.5], 1.25, 0.5, 0.969_233_2),
        ([0.0, 0.0], [0.0, 0.0], 0.0, [10.5, 5.5], [10.5, 5.5], 70.25, 0.1, 0.172_684_92),
        ([0.0, 0.0], [0.0, 0.0], 0.0, [10.5, 5.5], [10.5, 5.5], 70.25, 0.5, 0.000_153_59),
    ];
    for (w, gradient, potential, v, slope, height, epsilon, expected) in cases {
        let from = MalaPoint { w: &w, gradient: &gradient, potential };
        let to = MalaPoint { w: &v, gradient: &slope, potential: height };
        // The published numbers were computed in single precision, where |b|²/2ε = 702 costs five digits.
        assert!((mala_log_acceptance(from, to, epsilon).exp() - expected).abs() < 1e-5, "{w:?} {epsilon}");
    }
    // The chain computes the same number from the energy error of a leapfrog.
    let objective = CrossingLoss::new(&[1, 2]);
    let (t, epsilon) = (30.0, 0.02);
    let target = Target::new(&objective, &[0.7, 0.6], n_beta(t)).unwrap().localised(2.0).unwrap();
    let mut chain = Chain::new(&target, Method::Mala, epsilon).unwrap();
    let mut stream = RngStream::new(4, 0);
    let potential = |w: &[f64]| {
        let mut g = [0.0; 2];
        let loss = objective.loss_and_gradient_into(w, Batch::All, &mut Scratch::new(), &mut g);
        let pull = [w[0] - 0.7, w[1] - 0.6];
        let u = t * loss + pull[0] * pull[0] + pull[1] * pull[1];
        (u, [t * g[0] + 2.0 * pull[0], t * g[1] + 2.0 * pull[1]])
    };
    let mut moved = 0;
    for _ in 0..200 {
        let before = chain.w().to_vec();
        let step = chain.step(&mut stream).unwrap();
        if chain.w() != before {
            let ((u, g), (v, h)) = (potential(&before), potential(chain.w()));
            let from = MalaPoint { w: &before, gradient: &g, potential: u };
            let to = MalaPoint { w: chain.w(), gradient: &h, potential: v };
            let expected = mala_log_acceptance(from, to, epsilon).exp();
            assert!((step.acceptance - expected).abs() < 1e-10, "{} {expected}", step.acceptance);
            moved += 1;
        }
    }
    assert!(moved > 50);
}

#[test]
fn a_preconditioner_without_its_divergence_samples_another_density() {
    // L = h w²/2. With G = 1/(floor + h|w|) and no Γ, p ∝ (floor + h|w|) e^{−(th + γ) w²/2}. In u = w √a the value nβ E[L]
    // is a mixture of 1/2 (from the floor) and 1 (from h|w|).
    let (h, t, gamma, floor) = (1.0f64, 100.0f64, 1.0f64, 0.02f64);
    let objective = QuadraticLoss::new(&[h]);
    let a = t * h + gamma;
    let (flat, steep) = (floor * (2.0 * std::f64::consts::PI).sqrt(), 2.0 * h / a.sqrt());
    let omitted = t * h / a * (0.5 * flat + steep) / (flat + steep);
    let posterior = 0.5 * t * h / a;
    let target = Target::new(&objective, &[0.0], n_beta(t)).unwrap().localised(gamma).unwrap();
    for (divergence, expected) in [(Divergence::Omitted, omitted), (Divergence::Included, posterior)] {
        let preconditioner = Preconditioner { decay: 0.0, floor, divergence };
        let sampling = Sampling {
            method: Method::PreconditionedSgld(BatchSampling::Full, preconditioner),
            step_size: StepSize::Fixed(5e-6),
            chains: 4,
            burn_in: 5000,
            draws: 20_000,
            thin: 10,
        };
        let found = tempered(&target, &sampling, 8);
        let slack = 0.015 * expected + 4.0 * found.standard_error;
        assert!((found.value - expected).abs() < slack, "{divergence:?}: {found:?}, expected {expected}");
    }
    assert!(omitted > 1.5 * posterior);
}

#[test]
fn a_mask_restricts_the_coefficient_to_its_weights() {
    let curvatures = [0.5, 1.0, 2.0];
    let objective = QuadraticLoss::new(&curvatures);
    let oracle = QuadraticOracle::new(vec![0.5, 2.0], n_beta(145.0), 1.0, 1e-3).unwrap();
    let region = Region::everywhere(3).moving(&[true, false, true]).unwrap();
    for method in [Method::Mala, Method::Hmc { leapfrogs: 8 }] {
        let target = Target::new(&objective, &[0.0; 3], n_beta(145.0))
            .unwrap()
            .localised(1.0)
            .unwrap()
            .within(region.clone())
            .unwrap();
        let sampling = Sampling { method, thin: 2, ..Sampling::mala() };
        agrees(tempered(&target, &sampling, 3), oracle.posterior_llc(), "masked");
        let run = sampling.observe(&target, &mut RngStream::new(1, 0), |_| Vec::new()).unwrap();
        assert!(run.observers.iter().all(|draws: &Vec<f64>| draws.chunks(3).all(|w| w[1] == 0.0)));
    }
    assert!(Region::everywhere(2).moving(&[false, false]).is_err());
}

#[test]
fn the_tuned_step_size_has_the_requested_acceptance() {
    let objective = QuadraticLoss::new(&[1.0; 20]);
    let target = Target::new(&objective, &[0.0; 20], n_beta(100.0)).unwrap();
    for (method, share) in [(Method::Mala, 0.57), (Method::Mala, 0.9), (Method::Hmc { leapfrogs: 6 }, 0.8)] {
        let tuned = tune_step_size(&target, method, share, 4000, &mut RngStream::new(2, 0)).unwrap();
        assert!((tuned.acceptance - share).abs() < 0.05, "{method:?}: {tuned:?}");
    }
    let sgld = Method::Sgld(BatchSampling::Full);
    let [a, b] = [sgld, Method::Mala]
        .map(|method| tune_step_size(&target, method, 0.9, 500, &mut RngStream::new(2, 0)).unwrap());
    assert_eq!(a, b); // SGLD is tuned by the acceptance of MALA
    assert!(tune_step_size(&target, sgld, 1.0, 500, &mut RngStream::new(2, 0)).is_err());
}

#[test]
fn chains_do_not_depend_on_threads() {
    let objective =
        QuadraticLoss::of_samples(&[1.0, 2.0], vec![vec![-1.0, 0.0], vec![0.0, 0.5], vec![1.0, -0.5]]);
    let preconditioner = Preconditioner { decay: 0.9, floor: 0.1, divergence: Divergence::Included };
    let methods = [
        Method::Sgld(BatchSampling::Distinct(2)),
        Method::PreconditionedSgld(BatchSampling::Independent(2), preconditioner),
        Method::Mala,
        Method::Hmc { leapfrogs: 4 },
    ];
    for method in methods {
        let region = Region::cube(2, -2.0, 2.0, Boundary::Reflect).unwrap();
        let target = Target::new(&objective, &[0.0; 2], n_beta(20.0)).unwrap().within(region).unwrap();
        let sampling = Sampling { method, chains: 5, burn_in: 20, draws: 100, ..Sampling::mala() };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sampling.run(&target, &mut RngStream::new(1, 0)).unwrap())
        };
        assert_eq!(run(1), run(3), "{method:?}");
    }
}

/// The loss ½ h w² in f32.
struct Single(f32);

impl Objective<f32> for Single {
    fn n_parameters(&self) -> usize {
        2
    }
    fn n_samples(&self) -> usize {
        1
    }
    fn loss_and_gradient_into(&self, w: &[f32], _: Batch<'_>, _: &mut Scratch, out: &mut [f32]) -> f32 {
        out[0] = self.0 * w[0];
        out[1] = self.0 * w[1];
        0.5 * self.0 * (w[0] * w[0] + w[1] * w[1])
    }
}

#[test]
fn single_precision_chains_sample_the_same_target() {
    let objective = Single(1.0);
    let target = Target::new(&objective, &[0.0f32; 2], n_beta(50.0)).unwrap().localised(1.0).unwrap();
    let oracle = QuadraticOracle::new(vec![1.0; 2], n_beta(50.0), 1.0, 2e-3).unwrap();
    for (sampling, exact) in [
        (Sampling { thin: 2, ..Sampling::mala() }, oracle.posterior_llc()),
        (Sampling::hmc(6), oracle.posterior_llc()),
        (Sampling { thin: 10, ..Sampling::sgld(BatchSampling::Full) }, oracle.stationary_llc()),
    ] {
        // PerNBeta(0.1) gives ε = 0.1/50, as in the oracle.
        let run = sampling.run(&target, &mut RngStream::new(6, 0)).unwrap();
        let found = ChainMean::of(&run.losses()).unwrap();
        let z = (50.0 * found.value - exact) / (50.0 * found.standard_error);
        assert!(z.abs() < 4.5, "{:?}: {found:?}, exact {exact}", sampling.method);
    }
}

#[test]
fn the_bias_of_a_step_is_found_by_halving_it() {
    let objective = QuadraticLoss::new(&[1.0, 2.0]);
    let sampling = Sampling {
        step_size: StepSize::Fixed(4e-3),
        draws: 20_000,
        thin: 2,
        ..Sampling::sgld(BatchSampling::Full)
    };
    let llc = Llc { sampling, ..Llc::at(1000, Beta::InverseLogN) };
    let found = llc.step_bias(&objective, &[0.0; 2], &mut RngStream::new(3, 0)).unwrap();
    let oracle = QuadraticOracle::new(vec![1.0, 2.0], llc.beta.n_beta(1000).unwrap(), 1.0, 4e-3).unwrap();
    let exact = oracle.stationary_llc() - oracle.posterior_llc();
    let ((bias, error), (limit, spread)) = (found.bias(), found.extrapolated());
    // The extrapolation is of first order in ε. The second order is a fifth of the bias here.
    assert!((bias - exact).abs() < 4.0 * error + 0.2 * exact, "{bias} ± {error}, exact {exact}");
    assert!((limit - oracle.posterior_llc()).abs() < 4.0 * spread + 0.1 * exact, "{limit} ± {spread}");
    assert!(exact > 0.15 && found.to_string().contains("at ε → 0"));
}

#[test]
fn settings_out_of_range_are_errors() {
    let objective = QuadraticLoss::new(&[1.0]);
    let target = Target::new(&objective, &[0.0], n_beta(10.0)).unwrap();
    let mut stream = RngStream::new(1, 0);
    for wrong in [
        Sampling { chains: 0, ..Sampling::mala() },
        Sampling { thin: 0, ..Sampling::mala() },
        Sampling { draws: 7, ..Sampling::mala() },
        Sampling { method: Method::Hmc { leapfrogs: 0 }, ..Sampling::mala() },
        Sampling { step_size: StepSize::Fixed(-1.0), ..Sampling::mala() },
    ] {
        assert!(matches!(wrong.run(&target, &mut stream), Err(SltError::OutOfRange { .. })), "{wrong:?}");
    }
    assert!(target.clone().by_statistics().is_err() && target.clone().localised(f64::NAN).is_err());
    let away = Region::cube(1, 1.0, 2.0, Boundary::Reflect).unwrap();
    assert!(target.within(away).unwrap_err().to_string().contains("within the walls"));
    assert!(Region::cube(1, 2.0, 1.0, Boundary::Reflect).is_err());
    // A corrected chain rejects a move to an infinite loss.
    let steep = CrossingLoss::new(&[100]);
    let target = Target::new(&steep, &[0.9], n_beta(10.0)).unwrap();
    let mut chain = Chain::new(&target, Method::Mala, 1e6).unwrap();
    let divergent = (0..50).filter(|_| chain.step(&mut stream).unwrap().divergent).count();
    assert!(divergent > 40 && chain.w()[0].is_finite());
}
