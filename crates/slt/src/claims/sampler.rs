//! Claims about Langevin samplers, tested with chains.

use crate::{
    BatchSampling, Beta, Chain, Llc, LlcEstimate, Method, NBeta, QuadraticLoss, QuadraticOracle, Sampling,
    StepSize, Target,
};
use collimate_claims::{Claim, Context, Meta, Outcome, Proportion, Study, Subject};
use collimate_stream::RngStream;

const N_BETA: f64 = 145.0;
const GAMMA: f64 = 20.0;
const CURVATURES: [f64; 3] = [0.3, 1.0, 2.0];

/// Runs a chain. Returns the mean of nβ L, its standard error, the oracle of the setting, and the number of steps.
fn run(context: &mut Context, step_size: f64) -> Result<(f64, f64, QuadraticOracle, u64), crate::SltError> {
    let n_beta = NBeta::new(N_BETA)?;
    let oracle = QuadraticOracle::new(CURVATURES.to_vec(), n_beta, GAMMA, step_size)?;
    let objective = QuadraticLoss::new(&CURVATURES);
    let target = Target::new(&objective, &[0.0; 3], n_beta)?.localised(GAMMA)?;
    let mut chain = Chain::new(&target, Method::Sgld(BatchSampling::Full), step_size)?;
    let steps = context.by_tier([400_000u64, 4_000_000, 40_000_000]);
    let slowest = oracle.autocorrelation_time(0);
    let mut stream = context.named_stream("chain");
    for _ in 0..(20.0 * slowest) as u64 {
        chain.step(&mut stream)?;
    }
    let (mut mean, mut squares) = (0.0, 0.0);
    for _ in 0..steps {
        let llc = N_BETA * chain.step(&mut stream)?.loss;
        mean += llc;
        squares += llc * llc;
    }
    (mean, squares) = (mean / steps as f64, squares / steps as f64);
    // The slowest direction's autocorrelation bounds that of the sum from above.
    let error = ((squares - mean * mean) * slowest / steps as f64).sqrt();
    Ok((mean, error, oracle, steps))
}

pub(super) fn euler_law() -> impl Claim {
    let meta = Meta::theorem(
        "slt/sgld-euler-law",
        Subject::Slt,
        "on a quadratic loss, full-batch SGLD converges to Σ nβh/(2a(1 − εa/4)) with a = nβh + γ",
    )
    .source("the stationary variance of an autoregression")
    .protocol("a chain with h = (0.3, 1, 2), nβ = 145, γ = 20, ε = 5e-3; within six standard errors (false alarm 2e-9)")
    .below_nightly("4·10⁵ steps at quick and 4·10⁶ at standard instead of 4·10⁷");
    Study::new(meta).run(|context| match run(context, 5e-3) {
        Ok((mean, error, oracle, steps)) => {
            let expected = oracle.stationary_llc();
            Outcome::of_margin(6.0 * error - (mean - expected).abs())
                .trials(steps)
                .estimate(mean)
                .note(format!("chain {mean:.5} ± {error:.5}, stationary law {expected:.5}"))
        }
        Err(error) => Outcome::refuted().note(error.to_string()),
    })
}

pub(super) fn sgld_samples_the_posterior() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/sgld-samples-the-posterior",
        Subject::Slt,
        "at a step size well inside the stable range, SGLD gives the LLC of the posterior",
    )
    .source("the Euler scheme inflates each variance by 1/(1 − εa/4)")
    .protocol("as slt/sgld-euler-law, compared with Σ nβh/2a instead")
    .below_nightly("4·10⁵ steps at quick and 4·10⁶ at standard instead of 4·10⁷");
    Study::new(meta).run(|context| match run(context, 5e-3) {
        Ok((mean, error, oracle, steps)) => {
            let (belief, law) = (oracle.posterior_llc(), oracle.stationary_llc());
            Outcome::of_margin(6.0 * error - (mean - belief).abs())
                .trials(steps)
                .estimate(mean)
                .counterexample(format!(
                    "h = {CURVATURES:?}, nβ = {N_BETA}, γ = {GAMMA}, ε = 0.005: chain {mean:.4} ± {error:.4}, posterior {belief:.4}, Euler {law:.4}"
                ))
        }
        Err(error) => Outcome::inconclusive(collimate_claims::Why::Invalid(error.to_string())),
    })
}

/// Returns an estimate on the quadratic, and the limit of its chains.
fn estimate(stream: &mut RngStream) -> Option<(LlcEstimate, f64)> {
    let beta = Beta::InverseLogN;
    let sampling = Sampling {
        step_size: StepSize::Fixed(5e-3),
        burn_in: 200,
        draws: 1000,
        ..Sampling::sgld(BatchSampling::Full)
    };
    let llc = Llc { sampling, ..Llc::at(1000, beta) };
    let n_beta = beta.n_beta(llc.n).ok()?;
    let oracle = QuadraticOracle::new(CURVATURES.to_vec(), n_beta, llc.localisation, 5e-3).ok()?;
    Some((llc.estimate(&QuadraticLoss::new(&CURVATURES), &[0.0; 3], stream).ok()?, oracle.stationary_llc()))
}

pub(super) fn intervals_cover() -> impl Claim {
    let meta = Meta::empirical(
        "slt/llc-intervals-cover",
        Subject::Slt,
        "the nominal 95 % interval of the LLC estimator, from its effective draws, covers the limit of the chains in \
         at least 92 % of runs",
        "4 chains of 1000 draws on a quadratic with h = (0.3, 1, 2), n = 1000, β = 1/log n, γ = 1, ε = 5e-3; covering the \
         stationary value of the oracle; supported at a rate of 0.92, refuted at 0.86",
    )
    .code("L12");
    Proportion::new(meta).hypotheses(0.86, 0.92).errors(1e-4, 1e-4).cap(20_000).trial(|stream| {
        estimate(stream)
            .is_some_and(|(found, truth)| (found.value - truth).abs() < 1.96 * found.standard_error)
    })
}

pub(super) fn chain_deviation_is_calibrated() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/chain-deviation-is-calibrated",
        Subject::Slt,
        "3.5 standard deviations across chains are a 95 % interval of the LLC: at most 97 % of runs fall inside",
    )
    .code("L13")
    .source("the deviation across chains is not a standard error: that of their mean is smaller by √chains")
    .protocol("as slt/llc-intervals-cover; supported at a rate of 0.97, refuted at 0.985");
    Proportion::new(meta).at_most(0.97, 0.015).errors(1e-4, 1e-4).cap(20_000).trial(|stream| {
        estimate(stream).is_some_and(|(found, truth)| {
            let scale = |trace: &Vec<f64>| found.n_beta * trace.iter().sum::<f64>() / trace.len() as f64;
            let values: Vec<f64> = found.run.traces.iter().map(|trace| scale(&trace.losses)).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
            let deviation = (squares / (values.len() as f64 - 1.0)).sqrt();
            (mean - found.n_beta * found.baseline - truth).abs() < 3.5 * deviation
        })
    })
}
