//! Statements of the theory, tested with chains. The code that computes λ is not used: every expected value is an integral.

use super::corrected::{outcome, tempered};
use crate::{
    Boundary, ChainMean, CircleMean, CrossingOracle, FreeEnergy, NBeta, NormalCrossing, Polynomial,
    PolynomialLoss, ReducedRank, ReducedRankConfig, Region, Sampling, SltError, Target,
};
use collimate_claims::{Claim, Meta, Outcome, Study, Subject, smaller};
use collimate_grad::{Batch, Objective, Scratch};
use collimate_stream::RngStream;
use ndarray::{Array2, array};

/// Returns five standard errors minus the distance from the exact value, and a note.
pub(super) fn judged(found: ChainMean, exact: f64, what: &str) -> (f64, String) {
    let note = format!("{what}: {:.4} ± {:.4}, exact {exact:.4}", found.value, found.standard_error);
    (5.0 - ((found.value - exact) / found.standard_error).abs(), note)
}

/// Joins judgements into one outcome, with the smallest margin and all notes.
pub(super) fn of_all(judged: impl IntoIterator<Item = (f64, String)>) -> Outcome {
    let (margins, notes): (Vec<f64>, Vec<String>) = judged.into_iter().unzip();
    let least = margins.into_iter().fold(f64::INFINITY, smaller);
    notes.into_iter().fold(Outcome::of_margin(least), Outcome::note)
}

fn polynomial(text: &str) -> Result<PolynomialLoss, SltError> {
    Ok(PolynomialLoss::new(&text.parse::<Polynomial>()?))
}

/// The loss x⁴ minus the logarithm of a prior divided by nβ, so that the posterior has this prior.
struct UnderPrior {
    n_beta: f64,
    /// The power h of a prior `|x|^h`.
    power: f64,
    /// The number a of a prior `e^{ax} (1 + x²)`.
    tilt: f64,
}

impl Objective<f64> for UnderPrior {
    fn n_parameters(&self) -> usize {
        1
    }

    fn n_samples(&self) -> usize {
        1
    }

    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        let x = w[0];
        let positive = if self.tilt == 0.0 { 0.0 } else { self.tilt * x + (x * x).ln_1p() };
        let slope = if self.tilt == 0.0 { 0.0 } else { self.tilt + 2.0 * x / (1.0 + x * x) };
        let vanishing = if self.power == 0.0 { [0.0; 2] } else { [x.abs().ln(), 1.0 / x] };
        out[0] = 4.0 * x * x * x - (slope + self.power * vanishing[1]) / self.n_beta;
        x.powi(4) - (positive + self.power * vanishing[0]) / self.n_beta
    }
}

pub(super) fn priors() -> impl Claim {
    let meta = Meta::theorem(
        "slt/priors-by-chains",
        Subject::Slt,
        "along chains, λ of x⁴ is 1/4 under a flat prior and under e^{2x}(1 + x²), and (h + 1)/4 under |x|^h",
    )
    .code("L3")
    .source("Watanabe (2009), theorem 6.6")
    .protocol("HMC on [−1, 1] at nβ = 10⁶, where the next order is below 10⁻³; within five standard errors and 2·10⁻³");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        let draws = context.by_tier([2000, 20_000, 20_000]);
        outcome((|| {
            let n_beta = NBeta::new(1e6)?;
            let mut judgements = Vec::new();
            for (power, tilt, lambda) in
                [(0.0, 0.0, 0.25), (0.0, 2.0, 0.25), (1.0, 0.0, 0.5), (2.0, 0.0, 0.75)]
            {
                let objective = UnderPrior { n_beta: n_beta.get(), power, tilt };
                let region = Region::cube(1, -1.0, 1.0, Boundary::Reflect)?;
                let target = Target::new(&objective, &[0.02], n_beta)?.within(region)?;
                let run =
                    Sampling { draws, ..Sampling::hmc(12) }.observe(&target, &mut stream, |_| Vec::new())?;
                let k = |w: &f64| n_beta.get() * w.powi(4);
                let found: Vec<Vec<f64>> =
                    run.observers.iter().map(|chain: &Vec<f64>| chain.iter().map(k).collect()).collect();
                let found = ChainMean::of(&found).expect("the chains of a run have equal lengths");
                let widened = ChainMean { standard_error: found.standard_error + 4e-4, ..found };
                judgements.push(judged(widened, lambda, &format!("|x|^{power} e^({tilt}x)")));
            }
            Ok(of_all(judgements))
        })())
    })
}

pub(super) fn fibres() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/fibres-by-chains",
        Subject::Slt,
        "along chains, x² and x⁴ have the same λ, since they are constant on the same sets",
    )
    .source("as slt/fibres-decide-lambda")
    .protocol("HMC on [−1, 1] at nβ = 10⁴; within six standard errors of each other");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        outcome((|| {
            let mut of = |text: &str| -> Result<ChainMean, SltError> {
                let objective = polynomial(text)?;
                let region = Region::cube(1, -1.0, 1.0, Boundary::Reflect)?;
                let target = Target::new(&objective, &[0.0], NBeta::new(1e4)?)?.within(region)?;
                tempered(&target, &Sampling { draws: 2000, ..Sampling::hmc(12) }, &mut stream)
            };
            let (square, quartic) = (of("x^2")?, of("x^4")?);
            let error = square.standard_error.hypot(quartic.standard_error);
            Ok(Outcome::of_margin(6.0 * error - (square.value - quartic.value).abs()).counterexample(
                format!("{:.4} for x², {:.4} for x⁴, ± {error:.4}", square.value, quartic.value),
            ))
        })())
    })
}

pub(super) fn symmetries() -> impl Claim {
    let meta = Meta::theorem(
        "slt/symmetries-by-chains",
        Subject::Slt,
        "along chains, K = (|w|² − 1)² has the same λ = 1/2 in one, two and three dimensions: the orbit is seen",
    )
    .source("as slt/symmetries-are-seen")
    .protocol("HMC from (1, 0, …) at nβ = 2000; within five standard errors of the integral over the radius");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        let draws = context.by_tier([1500, 15_000, 15_000]);
        outcome((|| {
            let t = 2000.0;
            let mut judgements = Vec::new();
            for (d, text) in [(1, "(x^2 - 1)^2"), (2, "(x^2 + y^2 - 1)^2"), (3, "(x^2 + y^2 + z^2 - 1)^2")] {
                let objective = polynomial(text)?;
                let mut centre = vec![0.0; d];
                centre[0] = 1.0;
                let region = Region::cube(d, -2.0, 2.0, Boundary::Reflect)?;
                let target = Target::new(&objective, &centre, NBeta::new(t)?)?.within(region)?;
                let found = tempered(&target, &Sampling { draws, ..Sampling::hmc(12) }, &mut stream)?;
                judgements.push(judged(found, super::phases::sphere(d, t), &format!("d = {d}")));
            }
            Ok(of_all(judgements))
        })())
    })
}

pub(super) fn unrealisable() -> impl Claim {
    let meta = Meta::theorem(
        "slt/unrealisable-by-chains",
        Subject::Slt,
        "along chains, a singular model whose truth lies outside it, but at right angles, has the tempered value of the \
         realisable case: y = abx for a truth that is even in x",
    )
    .source("relatively finite variance: Watanabe (2018), section 3.1")
    .protocol("inputs ±1 and ±2, outputs 3 and −1; HMC on [−1, 1]² at nβ = 145; within five standard errors of 5/4 a²b² by quadrature");
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        let draws = context.by_tier([2000, 20_000, 20_000]);
        outcome((|| {
            let config = ReducedRankConfig { inputs: 1, hidden: 1, outputs: 1, noise: 1.0 };
            let x = array![[-2.0], [-1.0], [1.0], [2.0]];
            let objective = ReducedRank::new(config, &x, &array![[-1.0], [3.0], [3.0], [-1.0]])?;
            // E[x²] = 5/2, so that K = 5/4 a² b².
            let exact =
                CrossingOracle::new(&NormalCrossing::flat(&[1, 1])?).tempered_llc((1.25f64 * 145.0).ln());
            let region = Region::cube(2, -1.0, 1.0, Boundary::Reflect)?;
            let target = Target::new(&objective, &[0.0; 2], NBeta::new(145.0)?)?.within(region)?;
            let mut found = tempered(&target, &Sampling { draws, ..Sampling::hmc(16) }, &mut stream)?;
            // Subtracts the loss at w₀, the mean of y²/2.
            found.value -= 145.0 * 2.5;
            Ok(of_all([judged(found, exact, "n (L − L(w₀))")]))
        })())
    })
}

/// The average loss of samples with mean `x̄` under N(μ(θ), 1), up to a constant, with the one parameter θ.
struct Circle([f64; 2]);

impl Objective<f64> for Circle {
    fn n_parameters(&self) -> usize {
        1
    }

    fn n_samples(&self) -> usize {
        1
    }

    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        let ([x, y], (sin, cos)) = (self.0, w[0].sin_cos());
        out[0] = x * sin - y * cos;
        x - x * cos - y * sin
    }
}

pub(super) fn no_best_point() -> impl Claim {
    let meta = Meta::theorem(
        "slt/many-best-points-by-chains",
        Subject::Slt,
        "with a circle of best approximations to the truth, the free energy lies below n L_n(w₀) by an amount of order √n: \
         no λ log n law",
    )
    .source("as slt/log-law-without-a-best-point")
    .protocol(
        "N(μ, I) with μ on the unit circle, truth N(0, I), n = 100: the mean over data sets of the free energy by chains within \
         five standard errors of the quadrature, and below −5",
    );
    Study::new(meta).run(|context| {
        let n = 100usize;
        let sets = context.by_tier([40, 400, 400]);
        let energies = context.map("data sets", sets, |_, stream: &mut RngStream| -> Result<f64, SltError> {
            let root = (n as f64).sqrt();
            let mean = [stream.normal() / root, stream.normal() / root];
            let objective = Circle(mean);
            let region = Region::cube(1, -std::f64::consts::PI, std::f64::consts::PI, Boundary::Reflect)?;
            let target = Target::new(&objective, &[0.0], NBeta::new(1.0)?)?.within(region)?;
            let sampling = Sampling { chains: 2, burn_in: 20, draws: 60, ..Sampling::hmc(8) };
            let sampling = Sampling { step_size: crate::StepSize::PerNBeta(1.0), ..sampling };
            let integration = FreeEnergy { n, lowest: 1e-2, nodes: 6, prior_draws: 500, sampling };
            let found = integration.estimate(&target, stream)?.free_energy.value;
            // n x̄·μ(0) has mean zero over data. It has the largest part of the variance, so it is subtracted.
            Ok(found - n as f64 * mean[0])
        });
        outcome(energies.into_iter().collect::<Result<Vec<_>, _>>().map(|energies| {
            let (mean, error) = super::estimates::paired(energies.into_iter());
            let exact = CircleMean.free_energy(n as f64);
            let note = format!("{mean:.3} ± {error:.3} over data, by quadrature {exact:.3}");
            Outcome::of_margin(smaller(5.0 - ((mean - exact) / error).abs(), -5.0 - mean))
                .trials(sets)
                .estimate(mean)
                .note(note)
        }))
    })
}

pub(super) fn first_order() -> impl Claim {
    let meta = Meta::theorem(
        "slt/first-order-transition-by-chains",
        Subject::Slt,
        "along chains, the free energies of a flat well and a deeper sharp one cross: the flat one is preferred at n*/4, the \
         other at 4 n*",
    )
    .source("as slt/first-order-transition")
    .protocol(
        "0.01 + 2 w⁴ against 8 w², each on [−1, 1]: F by thermodynamic integration within five standard errors of the quadrature, and \
         differences of opposite signs",
    );
    Study::new(meta).run(|context| {
        let mut stream = context.named_stream("chains");
        let draws = context.by_tier([200, 2000, 2000]);
        outcome((|| {
            let wells = super::phases::wells(&(0.01, 2.0, 8.0));
            let Some(n_star) = wells.crossing() else {
                return Ok(Outcome::refuted().note("the two never cross"));
            };
            let (mut judgements, mut signs) = (Vec::new(), Vec::new());
            for factor in [0.25, 4.0] {
                let n = (factor * n_star).round();
                let mut energies = [(0.0, 0.0); 2];
                for (text, energy) in ["1/100 + 2*w^4", "8*w^2"].iter().zip(&mut energies) {
                    let objective = polynomial(text)?;
                    let region = Region::cube(1, -1.0, 1.0, Boundary::Reflect)?;
                    let target = Target::new(&objective, &[0.0], NBeta::new(1.0)?)?.within(region)?;
                    let sampling = Sampling { draws, burn_in: 50, ..Sampling::hmc(8) };
                    let integration = FreeEnergy {
                        n: n as usize,
                        lowest: 0.1 / n,
                        nodes: 8,
                        prior_draws: 10_000,
                        sampling,
                    };
                    let found = integration.estimate(&target, &mut stream)?.free_energy;
                    *energy = (found.value, found.standard_error.unwrap_or(f64::NAN));
                }
                let [(flat, flat_error), (sharp, sharp_error)] = energies;
                let exact = wells.log_partitions(n);
                let difference = ChainMean {
                    value: flat - sharp,
                    standard_error: flat_error.hypot(sharp_error),
                    ess: f64::NAN,
                };
                judgements.push(judged(
                    difference,
                    exact[1] - exact[0],
                    &format!("F flat − F sharp at n = {n}"),
                ));
                signs.push(flat - sharp);
            }
            let order = smaller(-signs[0], signs[1]);
            judgements.push((order, format!("n* = {n_star:.0}")));
            Ok(of_all(judgements))
        })())
    })
}

pub(super) fn four_errors() -> impl Claim {
    let meta = Meta::empirical(
        "slt/four-errors-of-a-regular-model",
        Subject::Slt,
        "Gibbs and Bayes generalisation and training errors have the means λ/β ± ν and (λ − ν)/β ± ν over n, with λ = ν = d/2",
        "a Gaussian mean in two dimensions, n = 100, β = 1/2 and 2, 300 data sets each; n times each error within four standard errors \
         and 0.1 of the formula",
    )
    .source("Watanabe (2010), theorem 1: the equations of state")
    .tier(collimate_claims::Tier::Standard);
    Study::new(meta).run(|context| {
        let (n, lambda) = (100usize, 1.0);
        let mut judgements = Vec::new();
        for beta in [0.5, 2.0] {
            let sets = context.map("data sets", 300, |_, stream| four(n, beta, stream));
            let sets = match sets.into_iter().collect::<Result<Vec<_>, _>>() {
                Ok(sets) => sets,
                Err(error) => return outcome(Err(error)),
            };
            let expected = [lambda / beta + lambda, lambda / beta - lambda, lambda, -lambda];
            let names = ["Gibbs, new data", "Gibbs, own data", "Bayes, new data", "Bayes, own data"];
            for (i, (name, exact)) in names.iter().zip(expected).enumerate() {
                let (mean, error) = super::estimates::paired(sets.iter().map(|set| n as f64 * set[i]));
                let note = format!("β = {beta}, {name}: {mean:.3} ± {error:.3}, formula {exact:.3}");
                judgements.push((4.0 * error + 0.1 - (mean - exact).abs(), note));
            }
        }
        of_all(judgements).trials(600)
    })
}

/// Returns the four errors of one data set above the loss of the truth on the same samples.
fn four(n: usize, beta: f64, stream: &mut RngStream) -> Result<[f64; 4], SltError> {
    let mut normals = |rows: usize| -> Vec<Vec<f64>> {
        let draws = Array2::from_shape_simple_fn((rows, 2), || stream.normal());
        draws.rows().into_iter().map(|row| row.to_vec()).collect()
    };
    let train = crate::QuadraticLoss::of_samples(&[1.0; 2], normals(n));
    let test = crate::QuadraticLoss::of_samples(&[1.0; 2], normals(1000));
    let target = Target::new(&train, &[0.0; 2], NBeta::new(beta * n as f64)?)?.localised(0.01)?;
    let sampling = Sampling { chains: 2, burn_in: 50, draws: 150, ..Sampling::hmc(6) };
    let sampling = Sampling { step_size: crate::StepSize::PerNBeta(0.5), ..sampling };
    let recorded = crate::SampleLosses::record(&sampling, &target, &[&train, &test], stream)?;
    let object = collimate_measure::Fingerprint::of(b"Gaussian mean");
    let [own, new] = [&recorded.losses[0], &recorded.losses[1]];
    let truth = |data: &crate::QuadraticLoss| data.loss(&[0.0; 2], Batch::All, &mut Scratch::new());
    let (own_truth, new_truth) = (truth(&train), truth(&test));
    Ok([
        new.gibbs(object).value - new_truth,
        own.gibbs(object).value - own_truth,
        new.bayes(object).value - new_truth,
        own.bayes(object).value - own_truth,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_claims::Verdict;

    #[test]
    fn one_nan_among_judgements_refutes() {
        let judged = |margins: [f64; 3]| of_all(margins.map(|margin| (margin, String::new()))).verdict;
        assert_eq!(judged([1.0, 2.0, 3.0]), Verdict::Upheld);
        for place in 0..3 {
            let mut margins = [1.0; 3];
            margins[place] = f64::NAN;
            assert_eq!(judged(margins), Verdict::Refuted);
        }
    }
}
