//! Claims about finite n: the errors of asymptotic statements at realistic sample sizes.

use crate::{Beta, CrossingOracle, GaussianMean, NBeta, NormalCrossing, QuadraticOracle};
use collimate_claims::{Claim, Exact, Meta, Subject};
use collimate_stream::RngStream;

fn powers(dims: &[usize], stream: &mut RngStream) -> Option<Vec<usize>> {
    Some((0..dims[0]).map(|_| stream.below(3) + 1).collect())
}

fn flat(powers: &[usize]) -> NormalCrossing {
    let powers: Vec<u32> = powers.iter().map(|&k| k as u32).collect();
    NormalCrossing::flat(&powers).expect("the domain admits positive powers")
}

pub(super) fn volume_scaling() -> impl Claim {
    let meta = Meta::theorem(
        "slt/volume-scaling",
        Subject::Slt,
        "the prior volume where K < ε scales as ε^λ (−log ε)^{m−1}",
    )
    .code("L7")
    .source("Watanabe (2009), theorem 7.1")
    .protocol("the slope of log V(ε) − (m − 1) log log 1/ε over log ε between −150 and −400 is λ to 0.03");
    Exact::new(meta)
        .dims(&[("d", 1..=4)])
        .names(&["powers"])
        .input(powers)
        .admits(|powers| powers.iter().all(|k| (1..=4).contains(k)))
        .margin(|powers| {
            let crossing = flat(powers);
            let exact = crossing.learning_coefficient();
            let oracle = CrossingOracle::new(&crossing);
            let corrected = |log_epsilon: f64| {
                oracle.log_volume(log_epsilon) - f64::from(exact.multiplicity - 1) * (-log_epsilon).ln()
            };
            let slope = (corrected(-150.0) - corrected(-400.0)) / 250.0;
            0.03 - (slope - exact.lambda_f64()).abs()
        })
}

pub(super) fn free_energy_ratio() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/free-energy-over-log-n",
        Subject::Slt,
        "the free energy above its minimum, divided by log n, is within 10 % of λ at n = 10⁶",
    )
    .code("L9")
    .source("the constant term is not small against log n");
    Exact::new(meta)
        .dims(&[("d", 1..=10)])
        .names(&["d", "prior variance"])
        .input(|dims, stream| Some((dims[0], 10f64.powf(stream.uniform_in(-1.0, 3.0)))))
        .admits(|&(d, v)| d >= 1 && (0.1..=1e3).contains(&v))
        .margin(|&(d, v)| {
            let model = GaussianMean::new(d, v).expect("the domain admits only these");
            let lambda = d as f64 / 2.0;
            0.1 * lambda - (model.free_energy(1e6) / 1e6f64.ln() - lambda).abs()
        })
}

pub(super) fn free_energy_differences() -> impl Claim {
    let meta = Meta::theorem(
        "slt/free-energy-differences",
        Subject::Slt,
        "differences of the free energy give λ: |ΔF/Δlog n − d/2| ≤ d/(2 n v log(n₂/n₁)) for a Gaussian mean",
    )
    .code("L9")
    .source("ours: log(1 + x) ≤ x");
    Exact::new(meta)
        .dims(&[("d", 1..=10)])
        .names(&["d", "prior variance", "log₁₀ n"])
        .input(|dims, stream| {
            Some((dims[0], 10f64.powf(stream.uniform_in(-1.0, 3.0)), stream.uniform_in(1.0, 6.0)))
        })
        .admits(|&(d, v, log_n)| d >= 1 && (0.1..=1e3).contains(&v) && (1.0..=6.0).contains(&log_n))
        .margin(|&(d, v, log_n)| {
            let model = GaussianMean::new(d, v).expect("the domain admits only these");
            let n = 10f64.powf(log_n);
            let half = d as f64 / 2.0;
            let bound = half / (n * v * 100f64.ln());
            // Rounding of the two logarithms, each below d · 12.
            bound + 1e-13 * half - (model.slope(n, 100.0 * n) - half).abs()
        })
}

pub(super) fn estimand_is_lambda() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/estimand-at-a-million-samples",
        Subject::Slt,
        "at n = 10⁶ and β = 1/log n, the limit of the LLC estimator is within 10 % of λ",
    )
    .source("the bias is −(m − 1)/log(nβ) where m > 1");
    Exact::new(meta)
        .dims(&[("d", 1..=4)])
        .names(&["powers"])
        .input(powers)
        .admits(|powers| powers.iter().all(|k| (1..=4).contains(k)))
        .margin(|powers| {
            let crossing = flat(powers);
            let lambda = crossing.learning_coefficient().lambda_f64();
            let oracle = CrossingOracle::new(&crossing);
            let estimand =
                oracle.tempered_llc_at(1_000_000, Beta::InverseLogN).expect("a million is above one");
            0.1 * lambda - (estimand - lambda).abs()
        })
}

pub(super) fn localisation_is_harmless() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/localisation-is-harmless",
        Subject::Slt,
        "a localisation of γ = 100 changes the estimated LLC of a regular model by less than 10 % at nβ = 145",
    )
    .code("L16")
    .source("the local prior adds its γ to every curvature");
    Exact::new(meta)
        .names(&["curvature"])
        .input(|_, stream| Some(10f64.powf(stream.uniform_in(-2.0, 2.0))))
        .admits(|h| (0.01..=100.0).contains(h))
        .margin(|&h| {
            let n_beta = NBeta::new(145.0).expect("positive");
            let oracle = QuadraticOracle::new(vec![h], n_beta, 100.0, 1e-6).expect("a stable step");
            0.1 * 0.5 - (oracle.posterior_llc() - 0.5).abs()
        })
}
