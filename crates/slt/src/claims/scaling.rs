//! Claims about scaling laws and the compute of training and inference.

use crate::{ComputeBudget, Observation, ScalingLaw, fit_scaling_law};
use collimate_claims::{Claim, Exact, Meta, Proportion, Subject};

fn law(alpha: f64, beta: f64) -> ScalingLaw {
    ScalingLaw {
        irreducible: 1.7,
        parameter_scale: 400.0,
        parameter_exponent: alpha,
        data_scale: 400.0,
        data_exponent: beta,
    }
}

pub(super) fn overhang_at_fixed_data() -> impl Claim {
    let meta = Meta::theorem(
        "slt/overhang-at-fixed-data",
        Subject::Slt,
        "on fixed data the number of copies that the machines of training can run does not depend on the size of the model",
    )
    .source("6ND operations of training divided by 2N per token: 3D");
    Exact::new(meta)
        .names(&["log₁₀ N₁", "log₁₀ N₂", "log₁₀ D"])
        .input(|_, stream| {
            Some((stream.uniform_in(6.0, 14.0), stream.uniform_in(6.0, 14.0), stream.uniform_in(8.0, 14.0)))
        })
        .admits(|&(a, b, d)| [a, b, d].iter().all(|x| (6.0..=15.0).contains(x)))
        .margin(|&(a, b, d)| {
            let copies = |log_n: f64| {
                ComputeBudget { parameters: 10f64.powf(log_n), tokens: 10f64.powf(d) }
                    .concurrent_instances(1e7, 10.0)
            };
            1e-12 - (copies(a) / copies(b) - 1.0).abs()
        })
}

pub(super) fn overhang_along_the_optimum() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/overhang-is-constant",
        Subject::Slt,
        "the number of copies that the machines of training can run stays the same, to 5 %, as training grows",
    )
    .source("compute-optimal data grow with the model, and each token of training costs as much as three of inference")
    .protocol("L = E + A N^{−α} + B D^{−β} at its compute-optimal N and D, for two amounts of compute");
    Exact::new(meta)
        .names(&["α", "β", "log₁₀ C₁", "log₁₀ C₂"])
        .input(|_, stream| {
            let mut exponent = || stream.uniform_in(0.2, 0.5);
            let (a, b) = (exponent(), exponent());
            Some((a, b, stream.uniform_in(18.0, 24.0), stream.uniform_in(18.0, 24.0)))
        })
        .admits(|&(a, b, c, d)| {
            [a, b].iter().all(|x| (0.2..=0.5).contains(x)) && [c, d].iter().all(|x| (18.0..=24.0).contains(x))
        })
        .margin(|&(a, b, c, d)| {
            let copies =
                |log_c: f64| law(a, b).compute_optimal(10f64.powf(log_c)).concurrent_instances(1e7, 10.0);
            0.05 - (copies(c) / copies(d)).ln().abs()
        })
}

pub(super) fn compute_optimum() -> impl Claim {
    let meta = Meta::theorem(
        "slt/compute-optimal-split",
        Subject::Slt,
        "for L = E + A N^{−α} + B D^{−β} no split of the same compute is better than N ∝ C^{β/(α+β)}",
    )
    .source("Hoffmann et al. (2022), equation 4");
    Exact::new(meta)
        .names(&["α", "β", "log₁₀ C", "log of the change"])
        .input(|_, stream| {
            let mut exponent = || stream.uniform_in(0.2, 0.5);
            let (a, b) = (exponent(), exponent());
            Some((a, b, stream.uniform_in(18.0, 24.0), stream.uniform_in(-2.0, 2.0)))
        })
        .admits(|&(a, b, c, s)| {
            [a, b].iter().all(|x| (0.2..=0.5).contains(x)) && (18.0..=24.0).contains(&c) && s.abs() <= 2.0
        })
        .margin(|&(a, b, c, s)| {
            let law = law(a, b);
            let best = law.compute_optimal(10f64.powf(c));
            law.loss(best.parameters * s.exp(), best.tokens / s.exp())
                - law.loss(best.parameters, best.tokens)
                + 1e-12
        })
}

pub(super) fn intervals_cover() -> impl Claim {
    let meta = Meta::empirical(
        "slt/scaling-intervals-cover",
        Subject::Slt,
        "the nominal 95 % interval of the exponent α, fitted to 25 runs, covers the true one in at least 92 % of fits",
        "L = 1.7 + 400 N^{−0.34} + 400 D^{−0.28}, N from 10⁷ to 10¹¹ and D from 10⁸ to 10¹² in factors of ten, relative noise 0.2 %; \
         supported at a rate of 0.92, refuted at 0.86",
    );
    Proportion::new(meta).hypotheses(0.86, 0.92).errors(1e-3, 1e-3).cap(5000).trial(|stream| {
        let law = law(0.34, 0.28);
        let mut seen = Vec::new();
        for i in 0..5 {
            for j in 0..5 {
                let (parameters, tokens) = (10f64.powi(7 + i), 10f64.powi(8 + j));
                let loss = law.loss(parameters, tokens) * (1.0 + 2e-3 * stream.normal());
                seen.push(Observation { parameters, tokens, loss });
            }
        }
        fit_scaling_law(&seen, 0.95).is_ok_and(|fit| {
            fit.intervals[2].low <= law.parameter_exponent && law.parameter_exponent <= fit.intervals[2].high
        })
    })
}
