//! Claims about Langevin samplers, tried on chains that run.

use crate::{BatchSampling, NBeta, QuadraticOracle, Sgld, SgldConfig};
use collimate_claims::{Claim, Context, Meta, Outcome, Study, Subject};
use collimate_grad::{Batch, Objective, Scratch};

const N_BETA: f64 = 145.0;
const GAMMA: f64 = 20.0;
const CURVATURES: [f64; 3] = [0.3, 1.0, 2.0];

/// ½ Σ h_i w_i².
struct Quadratic;

impl Objective<f64> for Quadratic {
    fn n_parameters(&self) -> usize {
        CURVATURES.len()
    }
    fn n_samples(&self) -> usize {
        1
    }
    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        let mut loss = 0.0;
        for ((out, &w), h) in out.iter_mut().zip(w).zip(CURVATURES) {
            *out = h * w;
            loss += 0.5 * h * w * w;
        }
        loss
    }
}

/// The mean of nβ L over a chain, its standard error, and the oracle of its setting.
fn run(context: &mut Context, step_size: f64) -> Result<(f64, f64, QuadraticOracle, u64), crate::SltError> {
    let n_beta = NBeta::new(N_BETA)?;
    let oracle = QuadraticOracle::new(CURVATURES.to_vec(), n_beta, GAMMA, step_size)?;
    let config = SgldConfig { step_size, n_beta, localisation: GAMMA, batch: BatchSampling::Full };
    let mut chain = Sgld::new(&Quadratic, &[0.0; 3], config)?;
    let steps = context.by_tier([400_000u64, 4_000_000, 40_000_000]);
    let slowest = oracle.autocorrelation_time(0);
    let mut stream = context.named_stream("chain");
    for _ in 0..(20.0 * slowest) as u64 {
        chain.step(&mut stream)?;
    }
    let (mut mean, mut squares) = (0.0, 0.0);
    for _ in 0..steps {
        let llc = N_BETA * chain.step(&mut stream)?;
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
