//! Claims about the effect of other data on a posterior, to first order and as a replacement of its own data.

use super::corrected::outcome;
use crate::oracle::quadrature::integrate;
use crate::{
    Beta, ChainMean, Llc, LlcEstimate, NBeta, ReducedRank, ReducedRankConfig, ReducedRankOracle,
    SampleLosses, Sampling, SltError, Target,
};
use collimate_claims::{Claim, Meta, Outcome, Study, Subject, smaller};
use collimate_grad::{Batch, Objective, PerSampleLosses, Scratch};
use collimate_stream::RngStream;
use ndarray::{Array2, array};

/// The loss ½ (y − a tanh(b x))² on pairs (x, y).
struct TanhUnit([(f64, f64); 4]);

impl TanhUnit {
    fn of_sample(&self, w: &[f64], i: usize) -> f64 {
        let (x, y) = self.0[i];
        0.5 * (y - w[0] * (w[1] * x).tanh()).powi(2)
    }
}

impl Objective<f64> for TanhUnit {
    fn n_parameters(&self) -> usize {
        2
    }

    fn n_samples(&self) -> usize {
        self.0.len()
    }

    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        out.fill(0.0);
        let share = 1.0 / self.0.len() as f64;
        for &(x, y) in &self.0 {
            let t = (w[1] * x).tanh();
            let slope = share * (w[0] * t - y);
            out[0] += slope * t;
            out[1] += slope * w[0] * (1.0 - t * t) * x;
        }
        (0..self.0.len()).map(|i| share * self.of_sample(w, i)).sum()
    }

    fn per_sample_losses(&self) -> Option<&dyn PerSampleLosses<f64>> {
        Some(self)
    }
}

impl PerSampleLosses<f64> for TanhUnit {
    fn per_sample_losses_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) {
        out.iter_mut().enumerate().for_each(|(i, out)| *out = self.of_sample(w, i));
    }
}

/// Returns `E[ℓ_on]` under an energy with the additional term h ℓ_sample, by quadrature over both weights.
fn shifted(unit: &TanhUnit, t: f64, gamma: f64, h: f64, [sample, on]: [usize; 2]) -> f64 {
    let reach = 7.0 / gamma.sqrt();
    let [z, u] = integrate(-reach, reach, 1.0, |a| {
        integrate(-reach, reach, 1.0, |b| {
            let w = [a, b];
            let losses = [0, 1, 2, 3].map(|i| unit.of_sample(&w, i));
            let energy = 0.25 * t * losses.iter().sum::<f64>() + 0.5 * gamma * (a * a + b * b);
            let f = (-energy - h * losses[sample]).exp();
            [f, f * losses[on]]
        })
    });
    u / z
}

pub(super) fn influence() -> impl Claim {
    let meta = Meta::theorem(
        "slt/influence-is-a-response",
        Subject::Slt,
        "−Cov(ℓ_i, ℓ_j) along the chains of a singular network is the derivative of E[ℓ_j] by the weight of sample i in the exponent",
    )
    .source("Kreer et al. (2025), arXiv 2509.26544, eq. 4")
    .protocol(
        "a tanh(bx) at four samples, nβ = 20, γ = 1, by HMC: all entries within five standard errors of central differences of the \
         perturbed posterior by quadrature, and most of them ten from zero",
    );
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        let draws = context.by_tier([4000, 40_000, 40_000]);
        outcome((|| {
            let (t, gamma, h) = (20.0, 1.0, 1e-3);
            let unit = TanhUnit([(-1.0, -0.5), (0.5, 0.6), (1.0, 0.2), (2.0, 0.9)]);
            let target = Target::new(&unit, &[0.0; 2], NBeta::new(t)?)?.localised(gamma)?;
            let sampling = Sampling { draws, ..Sampling::hmc(12) };
            let recorded = SampleLosses::record(&sampling, &target, &[&unit], &mut stream)?;
            let losses = &recorded.losses[0];
            let (mut least, mut far, mut entries) = (f64::INFINITY, 0, 0);
            for i in 0..4 {
                for j in i..4 {
                    let found = losses.influence_of(i, j);
                    let [up, down] = [h, -h].map(|h| shifted(&unit, t, gamma, h, [i, j]));
                    let exact = (up - down) / (2.0 * h);
                    least = smaller(least, 5.0 - ((found.value - exact) / found.standard_error).abs());
                    far += i32::from(exact.abs() > 10.0 * found.standard_error);
                    entries += 1;
                }
            }
            // If most entries were near zero, the test would show nothing.
            let margin = if 2 * far > entries { least } else { f64::NAN };
            Ok(Outcome::of_margin(margin).note(format!("{far} of {entries} far from zero")))
        })())
    })
}

/// Estimates the LLC of 3-1-2 at w* = 0 under data along all three inputs, and under data along the first one.
fn two_views(stream: &mut RngStream) -> Result<[(LlcEstimate, f64); 2], SltError> {
    let config = ReducedRankConfig { inputs: 3, hidden: 1, outputs: 2, noise: 1.0 };
    let all = ReducedRank::new(config, &(3f64.sqrt() * Array2::eye(3)), &Array2::zeros((3, 2)))?;
    let first = ReducedRank::new(config, &array![[1.0, 0.0, 0.0]], &Array2::zeros((1, 2)))?;
    let sampling = Sampling { draws: 2000, ..Sampling::hmc(8) };
    let llc = Llc { sampling, ..Llc::at(1000, Beta::InverseLogN) };
    let n_beta = llc.beta.n_beta(llc.n)?;
    let exact = |inputs| {
        let oracle = ReducedRankOracle::new(ReducedRankConfig { inputs, ..config }, llc.localisation)?;
        Ok::<_, SltError>(oracle.tempered_llc(n_beta))
    };
    let mut of = |data: &ReducedRank, inputs| -> Result<(LlcEstimate, f64), SltError> {
        Ok((llc.estimate(data, &[0.0; 5], stream)?, exact(inputs)?))
    };
    Ok([of(&all, 3)?, of(&first, 1)?])
}

pub(super) fn data_refined() -> impl Claim {
    let meta = Meta::theorem(
        "slt/data-refined-coefficient",
        Subject::Slt,
        "at the same w*, the LLC under data that reach one input is that of the model with one input",
    )
    .source("the posterior of the rest is its prior; Wang et al. (2024), section 3")
    .protocol("reduced rank 3-1-2 at 0, n = 1000, γ = 1, by HMC: within five standard errors of the quadratures of 3-1-2 and 1-1-2");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        outcome(two_views(&mut stream).map(|views| {
            let judged = views.iter().map(|(found, exact)| {
                let mean =
                    ChainMean { value: found.value, standard_error: found.standard_error, ess: found.ess };
                super::by_chains::judged(mean, *exact, "λ̂")
            });
            super::by_chains::of_all(judged)
        }))
    })
}

pub(super) fn point_alone() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/llc-of-the-point-alone",
        Subject::Slt,
        "the LLC at w* is a property of the weights: it is the same under all data of which w* is a minimum",
    )
    .source("as slt/data-refined-coefficient")
    .protocol(
        "as there: under data along all inputs and along one, within six standard errors of each other",
    );
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        outcome(two_views(&mut stream).map(|[(all, _), (first, _)]| {
            let error = all.standard_error.hypot(first.standard_error);
            Outcome::of_margin(6.0 * error - (all.value - first.value).abs()).counterexample(format!(
                "{:.4} along all inputs, {:.4} along one, ± {error:.4}",
                all.value, first.value
            ))
        }))
    })
}
