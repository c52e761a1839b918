//! Claims about corrected samplers, walls, preconditioners and step sizes, tested with chains.

use crate::{
    BatchSampling, Beta, Boundary, Chain, ChainMean, CrossingLoss, CrossingOracle, Divergence, Llc, Method,
    NBeta, NormalCrossing, Preconditioner, QuadraticLoss, QuadraticOracle, Region, Sampling, SltError,
    StepSize, Target,
};
use collimate_claims::{Claim, Meta, Outcome, Study, Subject, Why, smaller};
use collimate_stream::RngStream;

/// Turns an error of the crate into an inconclusive outcome.
pub(super) fn outcome(result: Result<Outcome, SltError>) -> Outcome {
    result.unwrap_or_else(|error| Outcome::inconclusive(Why::Invalid(error.to_string())))
}

/// Returns nβ E[L] with its error.
pub(super) fn tempered(
    target: &Target<'_>,
    sampling: &Sampling,
    stream: &mut RngStream,
) -> Result<ChainMean, SltError> {
    let found = ChainMean::of(&sampling.run(target, stream)?.losses())
        .expect("the chains of a run have equal lengths");
    let scale = target.n_beta();
    Ok(ChainMean { value: scale * found.value, standard_error: scale * found.standard_error, ess: found.ess })
}

pub(super) fn corrected_samplers() -> impl Claim {
    let meta = Meta::theorem(
        "slt/corrected-samplers-are-exact",
        Subject::Slt,
        "MALA and HMC with reflecting walls give the exact tempered expectation of a normal crossing",
    )
    .source("Metropolis et al. (1953); Neal (2011), section 5.5.1.5, for the walls")
    .protocol("x²y² and x²y⁴ on [−1, 1]² at nβ = 145; within five standard errors of the quadrature")
    .below_nightly("a tenth of the draws at quick");
    Study::new(meta).run(|context| {
        let factor = context.by_tier([1, 10, 10]);
        let mut stream = context.named_stream("chains");
        outcome((|| {
            let (mut margin, mut notes) = (f64::INFINITY, Vec::new());
            for powers in [[1, 1], [1, 2]] {
                let exact = CrossingOracle::new(&NormalCrossing::flat(&powers)?).tempered_llc(145f64.ln());
                let objective = CrossingLoss::new(&powers);
                let region = Region::cube(2, -1.0, 1.0, Boundary::Reflect)?;
                let target = Target::new(&objective, &[0.0; 2], NBeta::new(145.0)?)?.within(region)?;
                for sampling in [
                    Sampling { draws: 1000 * factor, ..Sampling::hmc(16) },
                    Sampling {
                        draws: 1500 * factor,
                        thin: 20,
                        step_size: StepSize::ByAcceptance(0.9),
                        ..Sampling::mala()
                    },
                ] {
                    let found = tempered(&target, &sampling, &mut stream)?;
                    margin = smaller(margin, 5.0 - ((found.value - exact) / found.standard_error).abs());
                    notes.push(format!(
                        "{powers:?}, {:?}: {:.4} ± {:.4}, exact {exact:.4}",
                        sampling.method, found.value, found.standard_error
                    ));
                }
            }
            Ok(notes.into_iter().fold(Outcome::of_margin(margin), Outcome::note))
        })())
    })
}

pub(super) fn clamping() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/clamping-is-a-wall",
        Subject::Slt,
        "setting coordinates that leave a box to the wall samples the same law as reflecting them at the wall",
    )
    .source("clamping puts an atom of probability on the wall")
    .protocol(
        "a nearly flat loss on [−1, 1], ε = 0.05; E[w²] within six standard errors of the reflected chain's",
    );
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        outcome((|| {
            let (epsilon, steps) = (0.05f64, 100_000);
            let objective = QuadraticLoss::new(&[1e-9]);
            let region = Region::cube(1, -1.0, 1.0, Boundary::Reflect)?;
            let target = Target::new(&objective, &[0.0], NBeta::new(1.0)?)?.within(region)?;
            let mut chain = Chain::new(&target, Method::Sgld(BatchSampling::Full), epsilon)?;
            let (mut reflected, mut clamped, mut w) = (Vec::new(), Vec::new(), 0.0f64);
            for _ in 0..steps {
                chain.step(&mut stream)?;
                reflected.push(chain.w()[0].powi(2));
                w = (w + epsilon.sqrt() * stream.normal()).clamp(-1.0, 1.0);
                clamped.push(w * w);
            }
            let (a, b) = (
                ChainMean::of(&[reflected]).expect("the chains of a run have equal lengths"),
                ChainMean::of(&[clamped]).expect("the chains of a run have equal lengths"),
            );
            let error = a.standard_error.hypot(b.standard_error);
            Ok(Outcome::of_margin(6.0 * error - (a.value - b.value).abs()).trials(steps).counterexample(
                format!(
                    "E[w²] = {:.4} by reflection (uniform: 0.3333), {:.4} by clamping, ± {error:.4}",
                    a.value, b.value
                ),
            ))
        })())
    })
}

/// Runs a preconditioned chain on `½ w²` at nβ = 100, γ = 1, floor 0.02. Returns its mean and that of the posterior.
fn preconditioned(divergence: Divergence, stream: &mut RngStream) -> Result<(ChainMean, f64), SltError> {
    let objective = QuadraticLoss::new(&[1.0]);
    let target = Target::new(&objective, &[0.0], NBeta::new(100.0)?)?.localised(1.0)?;
    let preconditioner = Preconditioner { decay: 0.0, floor: 0.02, divergence };
    let sampling = Sampling {
        method: Method::PreconditionedSgld(BatchSampling::Full, preconditioner),
        step_size: StepSize::Fixed(1e-5),
        chains: 4,
        burn_in: 5000,
        draws: 5000,
        thin: 20,
    };
    Ok((tempered(&target, &sampling, stream)?, 50.0 / 101.0))
}

pub(super) fn divergence_omitted() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/preconditioning-needs-no-divergence",
        Subject::Slt,
        "SGLD with an RMSprop preconditioner samples the posterior without the divergence of the preconditioner",
    )
    .source("Ma, Chen & Fox (2015), eq. 3: on a line the law without Γ is p/G")
    .protocol("½ w² at nβ = 100, γ = 1, floor 0.02, ε = 1e-5; within six standard errors and 5 % of the posterior's value");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        outcome(preconditioned(Divergence::Omitted, &mut stream).map(|(found, posterior)| {
            let slack = 6.0 * found.standard_error + 0.05 * posterior;
            Outcome::of_margin(slack - (found.value - posterior).abs()).counterexample(format!(
                "{:.4} ± {:.4} where the posterior has {posterior:.4}",
                found.value, found.standard_error
            ))
        }))
    })
}

pub(super) fn divergence_included() -> impl Claim {
    let meta = Meta::theorem(
        "slt/preconditioning-with-divergence",
        Subject::Slt,
        "SGLD with an RMSprop preconditioner and its divergence tends to the posterior as ε → 0",
    )
    .source("Ma, Chen & Fox (2015), theorem 1")
    .protocol("as slt/preconditioning-needs-no-divergence");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        outcome(preconditioned(Divergence::Included, &mut stream).map(|(found, posterior)| {
            let slack = 6.0 * found.standard_error + 0.05 * posterior;
            Outcome::of_margin(slack - (found.value - posterior).abs())
                .estimate(found.value)
                .note(format!("{:.4} ± {:.4}, posterior {posterior:.4}", found.value, found.standard_error))
        }))
    })
}

pub(super) fn half_step() -> impl Claim {
    let meta = Meta::theorem(
        "slt/half-step-extrapolation",
        Subject::Slt,
        "runs at ε and ε/2 give the Euler bias to first order, and extrapolate to the posterior's value",
    )
    .source("Talay & Tubaro (1990), theorem 1")
    .protocol("h = (1, 2), n = 1000, γ = 1, ε = 4e-3: the extrapolation within five standard errors and a tenth of the bias")
    .below_nightly("a tenth of the draws at quick");
    Study::new(meta).run(|context| {
        let factor = context.by_tier([1, 10, 10]);
        let mut stream = context.named_stream("chains");
        outcome((|| {
            let sampling = Sampling {
                step_size: StepSize::Fixed(4e-3),
                draws: 10_000 * factor,
                ..Sampling::sgld(BatchSampling::Full)
            };
            let llc = Llc { sampling, ..Llc::at(1000, Beta::InverseLogN) };
            let found = llc.step_bias(&QuadraticLoss::new(&[1.0, 2.0]), &[0.0; 2], &mut stream)?;
            let oracle = QuadraticOracle::new(vec![1.0, 2.0], Beta::InverseLogN.n_beta(1000)?, 1.0, 4e-3)?;
            let bias = oracle.stationary_llc() - oracle.posterior_llc();
            let (limit, error) = found.extrapolated();
            let slack = 5.0 * error + 0.1 * bias;
            Ok(Outcome::of_margin(slack - (limit - oracle.posterior_llc()).abs())
                .estimate(limit)
                .note(format!("{found}; posterior {:.4}, true bias {bias:.4}", oracle.posterior_llc())))
        })())
    })
}
