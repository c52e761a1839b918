//! Claims about estimators: their estimands and their errors.

use super::corrected::outcome;
use crate::{
    BatchSampling, Beta, Boundary, Calibration, CalibrationTarget, CrossingLoss, CrossingOracle, FreeEnergy,
    Llc, NBeta, NormalCrossing, QuadraticLoss, QuadraticOracle, ReducedRank, ReducedRankConfig, Region,
    SampleLosses, Sampling, SltError, StepSize, Target, TwoTemperatures, susceptibility,
};
use collimate_claims::{Claim, Meta, Outcome, Proportion, Study, Subject, Tier, smaller};
use collimate_measure::Fingerprint;
use collimate_stream::RngStream;

pub(super) fn calibration() -> impl Claim {
    let meta = Meta::empirical(
        "slt/llc-intervals-cover-the-exact-value",
        Subject::Slt,
        "nominal 95 % intervals of the LLC from HMC cover the exact tempered value in 91 to 98.5 % of runs and are at most \
         1.3 times as wide as an oracle's with the same ESS",
        "normal crossings (1,1), (2,2), (1,1,1) on [−1, 1]^d, a quadratic, reduced rank 5-3-5 at the truth 0; n = 1000, \
         β = 1/log n; 200 runs each, 2,000 in the nightly tier; supported when all five lie inside, refuted when one does not. Intervals that cover \
         95 % leave this range in a few of a hundred repetitions of 200 runs each, and practically never in 2,000",
    )
    .code("L12")
    .tier(Tier::Standard);
    Study::new(meta).run(|context| {
        let runs = context.by_tier([200, 200, 2000]);
        let (low, high) = (0.91, 0.985);
        let calibration = Calibration { n: 1000, runs };
        let mut stream = context.named_stream("runs");
        outcome((|| {
            let (mut margin, mut notes) = (f64::INFINITY, Vec::new());
            for target in CalibrationTarget::all() {
                let case = calibration.of(&target, &mut stream)?;
                let share = case.covered as f64 / runs as f64;
                margin =
                    [share - low, high - share, 1.3 - case.relative_width].into_iter().fold(margin, smaller);
                notes.push(case.to_string());
            }
            Ok(notes.into_iter().fold(Outcome::of_margin(margin).trials(5 * runs), Outcome::note))
        })())
    })
}

/// Runs SGLD on the quadratic. Returns true if the interval from the naive error covers.
fn naive_covers(stream: &mut RngStream) -> Result<bool, SltError> {
    let curvatures = [0.3, 1.0, 2.0];
    let sampling = Sampling {
        step_size: StepSize::Fixed(5e-3),
        burn_in: 200,
        draws: 1000,
        ..Sampling::sgld(BatchSampling::Full)
    };
    let llc = Llc { sampling, ..Llc::at(1000, Beta::InverseLogN) };
    let found = llc.estimate(&QuadraticLoss::new(&curvatures), &[0.0; 3], stream)?;
    let truth =
        QuadraticOracle::new(curvatures.to_vec(), llc.beta.n_beta(1000)?, 1.0, 5e-3)?.stationary_llc();
    let naive = found.standard_error * (found.ess / 4000.0).sqrt();
    Ok((found.value - truth).abs() < 1.96 * naive)
}

pub(super) fn naive_error() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/every-draw-counts",
        Subject::Slt,
        "sd/√draws is a standard error of the LLC: its nominal 95 % interval covers in at least 90 % of runs",
    )
    .source("draws of a chain are correlated; Geyer (1992)")
    .protocol("as slt/llc-intervals-cover; supported at a rate of 0.90, refuted at 0.82");
    Proportion::new(meta)
        .hypotheses(0.82, 0.90)
        .errors(1e-4, 1e-4)
        .cap(20_000)
        .trial(|stream| naive_covers(stream).unwrap_or(false))
}

pub(super) fn free_energy() -> impl Claim {
    let meta = Meta::theorem(
        "slt/thermodynamic-integration",
        Subject::Slt,
        "the integral of the tempered loss over the temperatures is the free energy",
    )
    .source("F = ∫₀¹ E_β[n L_n] dβ; Gelman & Meng (1998)")
    .protocol("x²y² on [−1, 1]² at n = 1000 by HMC at eight temperatures; within five standard errors of the quadrature");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        let draws = context.by_tier([500, 5000, 5000]);
        outcome((|| {
            let objective = CrossingLoss::new(&[1, 1]);
            let region = Region::cube(2, -1.0, 1.0, Boundary::Reflect)?;
            let target = Target::new(&objective, &[0.0; 2], NBeta::new(1.0)?)?.within(region)?;
            let sampling = Sampling { draws, ..Sampling::hmc(12) };
            let integration = FreeEnergy { n: 1000, lowest: 1e-3, nodes: 8, prior_draws: 10_000, sampling };
            let found = integration.estimate(&target, &mut stream)?.free_energy;
            let exact = -CrossingOracle::new(&NormalCrossing::flat(&[1, 1])?).log_partition(1000f64.ln());
            let z = (found.value - exact) / found.standard_error.unwrap_or(f64::NAN);
            Ok(Outcome::of_margin(5.0 - z.abs())
                .estimate(found.value)
                .note(format!("exact {exact:.4}"))
                .measured(found))
        })())
    })
}

pub(super) fn temperature_slope() -> impl Claim {
    let meta = Meta::theorem(
        "slt/two-temperatures-give-lambda",
        Subject::Slt,
        "the slope of E_β[nL_n] over 1/β is λ on a regular model, without a baseline",
    )
    .code("L17")
    .source("Watanabe (2013), corollary 3")
    .protocol("h = (0.5, 1, 2), γ = 0.01: λ = 3/2 within five standard errors");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        let draws = context.by_tier([2000, 20_000, 20_000]);
        outcome((|| {
            let objective = QuadraticLoss::new(&[0.5, 1.0, 2.0]);
            let target = Target::new(&objective, &[0.0; 3], NBeta::new(1.0)?)?.localised(0.01)?;
            let sampling = Sampling { draws, ..Sampling::hmc(8) };
            let found = TwoTemperatures::around(1000, sampling).estimate(&target, &mut stream)?;
            let z = (found.value - 1.5) / found.standard_error.unwrap_or(f64::NAN);
            Ok(Outcome::of_margin(5.0 - z.abs()).estimate(found.value).measured(found))
        })())
    })
}

pub(super) fn rescaling() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/rescaling-keeps-the-localised-llc",
        Subject::Slt,
        "the rescaling a → ca, b → b/c, a symmetry of (ab − 1)², leaves the localised LLC unchanged",
    )
    .code("L16")
    .source("the Gaussian of the localisation is not invariant under the symmetry")
    .protocol("½ (ab − 1)² at nβ = 145, γ = 100, at (1, 1) and (8, 1/8) by HMC; within six standard errors");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        outcome((|| {
            let config = ReducedRankConfig { inputs: 1, hidden: 1, outputs: 1, noise: 1.0 };
            let objective = ReducedRank::new(config, &ndarray::array![[1.0]], &ndarray::array![[1.0]])?;
            let sampling = Sampling { draws: 1500, ..Sampling::hmc(10) };
            let llc = Llc { localisation: 100.0, sampling, ..Llc::at(1000, Beta::InverseLogN) };
            let balanced = llc.estimate(&objective, &[1.0, 1.0], &mut stream)?;
            let skewed = llc.estimate(&objective, &[8.0, 0.125], &mut stream)?;
            let error = balanced.standard_error.hypot(skewed.standard_error);
            Ok(Outcome::of_margin(6.0 * error - (balanced.value - skewed.value).abs()).counterexample(
                format!(
                    "{:.4} at (1, 1), {:.4} at (8, 1/8), ± {error:.4}; λ = 1/2 at both",
                    balanced.value, skewed.value
                ),
            ))
        })())
    })
}

pub(super) fn refined() -> impl Claim {
    let meta = Meta::theorem(
        "slt/refined-coefficients-add",
        Subject::Slt,
        "where a loss is a sum over disjoint blocks of weights, the weight-refined LLCs of the blocks add up to the whole",
    )
    .source("the posterior is a product; the masks restrict it to its factors")
    .protocol("h = (0.5, 1, 2, 4) in two blocks, γ = 5, by HMC; within five standard errors");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        outcome((|| {
            let objective = QuadraticLoss::new(&[0.5, 1.0, 2.0, 4.0]);
            let sampling = Sampling { draws: 2000, ..Sampling::hmc(8) };
            let mut of = |mask: [bool; 4]| {
                let region = Some(Region::everywhere(4).moving(&mask)?);
                Llc { localisation: 5.0, region, sampling, ..Llc::at(1000, Beta::InverseLogN) }.estimate(
                    &objective,
                    &[0.0; 4],
                    &mut stream,
                )
            };
            let (whole, left, right) =
                (of([true; 4])?, of([true, true, false, false])?, of([false, false, true, true])?);
            let error = [&whole, &left, &right].iter().map(|e| e.standard_error.powi(2)).sum::<f64>().sqrt();
            let sum = left.value + right.value;
            Ok(Outcome::of_margin(5.0 * error - (whole.value - sum).abs()).note(format!(
                "{:.4} + {:.4} against {:.4} ± {error:.4}",
                left.value, right.value, whole.value
            )))
        })())
    })
}

pub(super) fn fluctuation_dissipation() -> impl Claim {
    let meta = Meta::theorem(
        "slt/susceptibility-is-a-derivative",
        Subject::Slt,
        "−nβ Cov(φ, ΔL) along the chains of the posterior is the derivative of ⟨φ⟩ when ΔL is mixed into the loss",
    )
    .source("the fluctuation–dissipation identity; Baker et al. (2025), arXiv 2504.18274")
    .protocol("½ w² with ΔL = w and φ = w + w²: χ = −1 within five standard errors");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        outcome((|| {
            let t = NBeta::new(30.0)?;
            let objective = QuadraticLoss::new(&[1.0]);
            let target = Target::new(&objective, &[0.0], t)?;
            let run =
                Sampling { draws: 3000, ..Sampling::hmc(6) }.observe(&target, &mut stream, |_| Vec::new())?;
            let phi: Vec<Vec<f64>> =
                run.observers.iter().map(|chain| chain.iter().map(|w: &f64| w + w * w).collect()).collect();
            let found =
                susceptibility(&phi, &run.observers, t).expect("the chains of a run have equal lengths");
            Ok(Outcome::of_margin(5.0 - ((found.value + 1.0) / found.standard_error).abs())
                .estimate(found.value))
        })())
    })
}

/// The terms of the equations of state of a singular model on one data set.
struct State {
    gibbs_gap: f64,
    fluctuation: f64,
    waic: f64,
    bayes: f64,
}

/// Computes the terms on one data set of reduced rank 1-1-1 at the truth 0 (λ = 1/2, m = 2), prior N(0, 1), β = 1.
fn state(n: usize, stream: &mut RngStream) -> Result<State, SltError> {
    let config = ReducedRankConfig { inputs: 1, hidden: 1, outputs: 1, noise: 1.0 };
    let train = ReducedRank::sample(config, &[0.0; 2], n, stream)?;
    // Only the second moment of the test inputs matters, so a few thousand samples are enough.
    let test = ReducedRank::sample(config, &[0.0; 2], 2000, stream)?;
    let target = Target::new(&train, &[0.0; 2], NBeta::new(n as f64)?)?.localised(1.0)?;
    let sampling = Sampling { chains: 2, burn_in: 100, draws: 200, thin: 2, ..Sampling::hmc(10) };
    let sampling = Sampling { step_size: StepSize::Fixed(0.12), ..sampling };
    let recorded = SampleLosses::record(&sampling, &target, &[&train, &test], stream)?;
    let object = Fingerprint::of(b"reduced rank 1-1-1");
    let errors = recorded.losses[0].posterior_errors(1.0, object)?;
    // Both errors are taken against the loss of the truth on the same samples, which removes most of their noise.
    let truth = |losses: &ReducedRank| -> f64 {
        collimate_grad::Objective::loss(
            losses,
            &[0.0; 2],
            collimate_grad::Batch::All,
            &mut Default::default(),
        )
    };
    let (train_truth, test_truth) = (truth(&train), truth(&test));
    Ok(State {
        gibbs_gap: recorded.losses[1].gibbs(object).value
            - test_truth
            - (errors.gibbs_training.value - train_truth),
        fluctuation: errors.singular_fluctuation.value,
        waic: errors.waic.value - train_truth,
        bayes: recorded.losses[1].bayes(object).value - test_truth,
    })
}

/// Returns the mean of numbers over data sets and its standard error.
pub(super) fn paired(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

pub(super) fn gibbs_gap() -> impl Claim {
    let meta = Meta::empirical(
        "slt/gibbs-gap-is-twice-the-fluctuation",
        Subject::Slt,
        "on a singular model the Gibbs generalisation error exceeds the training error by 2ν/n, averaged over data sets",
        "reduced rank 1-1-1 at the truth 0, n = 100, β = 1, 400 data sets; n times the difference within four standard \
         errors and 0.1 of zero",
    )
    .source("Watanabe (2010), theorem 1: the equations of state")
    .tier(Tier::Standard);
    Study::new(meta).run(|context| {
        let n = 100;
        let states = context.map("data sets", 400, |_, stream| state(n, stream).ok());
        let (mean, error) =
            paired(states.iter().flatten().map(|s| n as f64 * s.gibbs_gap - 2.0 * s.fluctuation));
        let nu = paired(states.iter().flatten().map(|s| s.fluctuation)).0;
        Outcome::of_margin(4.0 * error + 0.1 - mean.abs())
            .trials(states.len() as u64)
            .estimate(mean)
            .note(format!("n (G_g − G_t) − 2ν = {mean:.4} ± {error:.4} with ν = {nu:.3}"))
    })
}

pub(super) fn waic() -> impl Claim {
    let meta = Meta::empirical(
        "slt/waic-estimates-the-bayes-error",
        Subject::Slt,
        "on a singular model WAIC has the mean of the Bayes generalisation error over data sets",
        "as slt/gibbs-gap-is-twice-the-fluctuation; n times the difference within four standard errors and 0.1 of zero",
    )
    .source("Watanabe (2010), theorem 2")
    .tier(Tier::Standard);
    Study::new(meta).run(|context| {
        let n = 100;
        let states = context.map("data sets", 400, |_, stream| state(n, stream).ok());
        let (mean, error) = paired(states.iter().flatten().map(|s| n as f64 * (s.waic - s.bayes)));
        Outcome::of_margin(4.0 * error + 0.1 - mean.abs())
            .trials(states.len() as u64)
            .estimate(mean)
            .note(format!("n (WAIC − G) = {mean:.4} ± {error:.4}"))
    })
}

/// Twenty deep linear architectures with their true λ at rank 0.
const ARCHITECTURES: [&[usize]; 20] = [
    &[1, 1, 1],
    &[2, 1, 2],
    &[2, 2, 2],
    &[3, 1, 3],
    &[3, 2, 3],
    &[3, 3, 3],
    &[4, 2, 4],
    &[4, 4, 4],
    &[5, 3, 5],
    &[5, 4, 5],
    &[6, 2, 6],
    &[8, 3, 4],
    &[2, 2, 2, 2],
    &[3, 3, 3, 3],
    &[4, 2, 2, 4],
    &[4, 4, 4, 4],
    &[5, 2, 5],
    &[6, 4, 6],
    &[6, 6, 6],
    &[7, 5, 7],
];

pub(super) fn order_of_architectures() -> impl Claim {
    let meta = Meta::empirical(
        "slt/llc-orders-architectures",
        Subject::Slt,
        "the LLC by SGLD orders deep linear networks as their true λ does: Kendall's τ is at least 0.8",
        "20 architectures of two and three layers at the truth 0, n = 1000, β = 1/log n, γ = 1, full batches from statistics, \
         ε = 0.02/nβ; ties in λ left out; supported at τ ≥ 0.8",
    )
    .code("L14")
    .source("Lau et al. (2023), section 5.1")
    .tier(Tier::Standard);
    Study::new(meta).run(|context| {
        let found = context.map("architectures", ARCHITECTURES.len() as u64, |i, stream| {
            let widths = ARCHITECTURES[i as usize];
            let parameters: usize = widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
            let objective = crate::DeepLinear::sample(widths, 1.0, &vec![0.0; parameters], 1000, stream)?;
            let n_beta = Beta::InverseLogN.n_beta(1000)?;
            let centre = vec![0.0; parameters];
            let target = Target::new(&objective, &centre, n_beta)?.localised(1.0)?.by_statistics()?;
            let sampling = Sampling {
                step_size: StepSize::PerNBeta(0.02),
                thin: 5,
                ..Sampling::sgld(BatchSampling::Full)
            };
            let run = sampling.run(&target, stream)?;
            let mean = crate::ChainMean::of(&run.losses()).expect("the chains of a run have equal lengths");
            let baseline = collimate_grad::Objective::loss(
                &objective,
                &centre,
                collimate_grad::Batch::All,
                &mut Default::default(),
            );
            Ok::<_, SltError>((
                objective.learning_coefficient(0)?.lambda_f64(),
                n_beta.get() * (mean.value - baseline),
            ))
        });
        outcome(found.into_iter().collect::<Result<Vec<_>, _>>().map(|pairs| {
            let (mut agree, mut counted) = (0i64, 0i64);
            for (i, a) in pairs.iter().enumerate() {
                for b in &pairs[..i] {
                    let order = (a.0 - b.0) * (a.1 - b.1);
                    if a.0 != b.0 {
                        agree += if order > 0.0 { 1 } else { -1 };
                        counted += 1;
                    }
                }
            }
            let tau = agree as f64 / counted as f64;
            let listed: Vec<String> = ARCHITECTURES
                .iter()
                .zip(&pairs)
                .map(|(widths, (lambda, value))| format!("{widths:?}: λ {lambda:.2}, λ̂ {value:.2}"))
                .collect();
            Outcome::of_margin(tau - 0.8).trials(20).estimate(tau).note(listed.join("; "))
        }))
    })
}
