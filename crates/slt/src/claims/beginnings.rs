//! Claims about the start of a run: the baseline of an estimate, and the draws before the chains are stationary.

use crate::sampler::Batches;
use crate::{
    BatchSampling, Beta, Llc, LlcEstimate, QuadraticLoss, QuadraticOracle, Sampling, SltError, StepSize,
};
use collimate_claims::{Claim, Meta, Proportion, Subject};
use collimate_grad::{Objective, Scratch};
use collimate_stream::RngStream;

const SAMPLES: usize = 64;

/// Returns an estimate at the mean of 64 samples, the loss of the samples, their mean, and the exact value.
fn on_data(stream: &mut RngStream) -> Result<(LlcEstimate, QuadraticLoss, f64, f64), SltError> {
    let samples: Vec<Vec<f64>> = (0..SAMPLES).map(|_| vec![stream.normal()]).collect();
    let mean = samples.iter().map(|x| x[0]).sum::<f64>() / SAMPLES as f64;
    let objective = QuadraticLoss::of_samples(&[1.0], samples);
    let sampling = Sampling { burn_in: 20, draws: 60, ..Sampling::hmc(6) };
    let sampling = Sampling { step_size: StepSize::PerNBeta(0.5), ..sampling };
    let llc = Llc { sampling, ..Llc::at(SAMPLES, Beta::InverseLogN) };
    let found = llc.estimate(&objective, &[mean], stream)?;
    let exact = 0.5 * found.n_beta / (found.n_beta + llc.localisation);
    Ok((found, objective, mean, exact))
}

pub(super) fn whole_baseline() -> impl Claim {
    let meta = Meta::empirical(
        "slt/baseline-over-all-data",
        Subject::Slt,
        "with the loss at w* taken over all data, the nominal 95 % interval of the LLC covers in at least 92 % of runs",
        "a Gaussian mean from 64 samples, new ones in each run, 4 HMC chains of 60 draws; supported at a rate of 0.92, refuted at 0.75",
    )
    .code("L12");
    Proportion::new(meta).hypotheses(0.75, 0.92).errors(5e-3, 5e-3).cap(5000).trial(|stream| {
        on_data(stream)
            .is_ok_and(|(found, _, _, exact)| (found.value - exact).abs() < 1.96 * found.standard_error)
    })
}

pub(super) fn minibatch_baseline() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/baseline-of-minibatches",
        Subject::Slt,
        "the loss at w* may be taken over a minibatch of half the data: the nominal 95 % interval of the LLC still covers in at least \
         90 % of runs",
    )
    .source("nβ multiplies the noise of the baseline; all chains share this noise, so their spread does not show it")
    .protocol("as slt/baseline-over-all-data, with the baseline over 32 of the 64 samples; supported at a rate of 0.90, refuted at 0.80");
    Proportion::new(meta).hypotheses(0.80, 0.90).errors(1e-4, 1e-4).cap(5000).trial(|stream| {
        on_data(stream).is_ok_and(|(found, objective, mean, exact)| {
            let Ok(mut batches) = Batches::new(BatchSampling::Distinct(32), SAMPLES) else { return false };
            let baseline = objective.loss(&[mean], batches.draw(stream), &mut Scratch::new());
            let value = found.value + found.n_beta * (found.baseline - baseline);
            (value - exact).abs() < 1.96 * found.standard_error
        })
    })
}

/// Runs two hundred short SGLD chains from w*. Returns true if their nominal interval covers the limit of long chains.
fn covers(burn_in: usize, stream: &mut RngStream) -> Result<bool, SltError> {
    let curvatures = [0.3, 1.0, 2.0];
    let epsilon = 1e-3;
    let sampling = Sampling {
        step_size: StepSize::Fixed(epsilon),
        chains: 200,
        burn_in,
        draws: 100,
        ..Sampling::sgld(BatchSampling::Full)
    };
    let llc = Llc { sampling, ..Llc::at(1000, Beta::InverseLogN) };
    let n_beta = llc.beta.n_beta(llc.n)?;
    let exact =
        QuadraticOracle::new(curvatures.to_vec(), n_beta, llc.localisation, epsilon)?.stationary_llc();
    let found = llc.estimate(&QuadraticLoss::new(&curvatures), &[0.0; 3], stream)?;
    Ok((found.value - exact).abs() < 1.96 * found.standard_error)
}

pub(super) fn after_burn_in() -> impl Claim {
    let meta = Meta::empirical(
        "slt/burn-in-forgets-the-start",
        Subject::Slt,
        "two hundred short chains, after a burn-in of ten relaxation times, have a nominal 95 % interval that covers in at least 92 % \
         of runs",
        "SGLD on a quadratic with h = (0.3, 1, 2), n = 1000, β = 1/log n, ε = 10⁻³, 100 draws a chain after 500 steps; covering the \
         stationary value of the oracle; supported at a rate of 0.92, refuted at 0.75",
    )
    .code("L12");
    Proportion::new(meta)
        .hypotheses(0.75, 0.92)
        .errors(5e-3, 5e-3)
        .cap(5000)
        .trial(|stream| covers(500, stream).unwrap_or(false))
}

pub(super) fn no_burn_in() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/chains-need-no-burn-in",
        Subject::Slt,
        "chains that start at w* need no burn-in: the nominal 95 % interval of many short ones covers in at least 90 % of runs",
    )
    .source("the loss at w* is the minimum, so every chain begins below its mean")
    .protocol("as slt/burn-in-forgets-the-start, without its burn-in; supported at a rate of 0.90, refuted at 0.80");
    Proportion::new(meta)
        .hypotheses(0.80, 0.90)
        .errors(1e-4, 1e-4)
        .cap(5000)
        .trial(|stream| covers(0, stream).unwrap_or(false))
}
