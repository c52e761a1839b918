//! Claims about the properties that λ depends on, and about competing regions, by quadrature.

use super::laplace::{LOG_T, Quadrant, asymptotic_margin};
use crate::oracle::quadrature::integrate;
use crate::{
    CircleMean, CrossingOracle, GaussianMean, LearningCoefficient, LocalisedCrossing, NormalCrossing, Phase,
    Rational,
};
use collimate_claims::{Claim, Exact, Meta, Subject, larger, smaller};
use std::f64::consts::PI;

fn crossing(powers: &[usize]) -> NormalCrossing {
    let powers: Vec<u32> = powers.iter().map(|&k| k as u32).collect();
    NormalCrossing::flat(&powers).expect("the domain admits positive powers")
}

pub(super) fn positive_prior() -> impl Claim {
    let meta = Meta::theorem(
        "slt/positive-prior-keeps-lambda",
        Subject::Slt,
        "λ and m do not depend on a smooth prior that is positive at the singularity",
    )
    .code("L2")
    .source("Watanabe (2009), chapter 6")
    .protocol("K = x^{2k₁} y^{2k₂}, prior e^{ax + by}(1 + x²y): the tempered expectation by quadrature at log t = 80, to 0.03");
    Exact::new(meta)
        .names(&["k₁", "k₂", "a", "b"])
        .inputs([6, 40, 400])
        .input(|_, stream| {
            let (k1, k2) = (stream.below(3) + 1, stream.below(3) + 1);
            Some((k1, k2, stream.uniform_in(-3.0, 3.0), stream.uniform_in(-3.0, 3.0)))
        })
        .admits(|&(k1, k2, a, b)| {
            (1..=3).contains(&k1) && (1..=3).contains(&k2) && a.abs() <= 3.0 && b.abs() <= 3.0
        })
        .margin(|&(k1, k2, a, b)| {
            let exact = crossing(&[k1, k2]).learning_coefficient();
            let terms = vec![[2.0 * k1 as f64, 2.0 * k2 as f64]];
            let prior = move |x: f64, y: f64| (a * x + b * y).exp() * (1.0 + x * x * y);
            asymptotic_margin(Quadrant::new(terms, prior).tempered(LOG_T), &exact)
        })
}

pub(super) fn fibres() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/fibres-decide-lambda",
        Subject::Slt,
        "losses that are constant on the same sets have the same λ: what matters is which parameters give the same function",
    )
    .source("w² and w⁴ have the same fibres; how flat the loss is around them counts too")
    .protocol("the tempered expectations of w^{2a} and w^{2b} by quadrature at log t = 80");
    Exact::new(meta)
        .names(&["a", "b"])
        .input(|_, stream| Some((stream.below(4) + 1, stream.below(4) + 1)))
        .admits(|&(a, b)| (1..=6).contains(&a) && (1..=6).contains(&b))
        .margin(|&(a, b)| {
            let [a, b] = [a, b].map(|k| CrossingOracle::new(&crossing(&[k])).tempered_llc(LOG_T));
            0.01 - (a - b).abs()
        })
}

/// Returns `E_t[tK]` for `K = (|w|² − 1)²` in d dimensions, by an integral over the radius.
pub(super) fn sphere(d: usize, t: f64) -> f64 {
    let root = t.sqrt();
    let [z, u] = integrate((-root).max(-12.0), 12.0, 0.5, |s| {
        let r = 1.0 + s / root;
        let k = t * (r * r - 1.0) * (r * r - 1.0);
        let f = r.powi(d as i32 - 1) * (-k).exp();
        [f, f * k]
    });
    u / z
}

pub(super) fn symmetries() -> impl Claim {
    let meta = Meta::theorem(
        "slt/symmetries-are-seen",
        Subject::Slt,
        "a continuous symmetry lowers λ by half the dimension of its orbit: K = (|w|² − 1)² has λ = 1/2 in any dimension",
    )
    .source("the set of minima is the orbit, and K is quadratic across it")
    .protocol("the tempered expectation by quadrature over the radius, within d²/t of 1/2");
    Exact::new(meta)
        .dims(&[("d", 1..=10)])
        .names(&["d", "log₁₀ t"])
        .input(|dims, stream| Some((dims[0], stream.uniform_in(4.0, 8.0))))
        .admits(|&(d, log_t)| (1..=20).contains(&d) && (4.0..=9.0).contains(&log_t))
        .margin(|&(d, log_t)| {
            let t = 10f64.powf(log_t);
            // The orbit has d − 1 dimensions, so one dimension counts.
            let lambda = LearningCoefficient::regular(1).lambda_f64();
            (d * d).max(4) as f64 / t + 1e-9 - (sphere(d, t) - lambda).abs()
        })
}

/// Returns the mean of `F_n − n L_n(w₀)` for the model N(w, 1) with prior N(0, v) when the truth is N(0, σ²).
fn misspecified(n: f64, v: f64, sigma: f64) -> f64 {
    // The marginal likelihood is Gaussian, and n x̄² has mean σ².
    let volume = GaussianMean::new(1, v).expect("the domain admits positive variances").free_energy(n);
    volume - 0.5 * sigma * sigma * n * v / (1.0 + n * v)
}

pub(super) fn unrealisable_law() -> impl Claim {
    let meta = Meta::theorem(
        "slt/unrealisable-but-regular",
        Subject::Slt,
        "where the truth is outside the model but its best approximation is one point with a positive Hessian, \
         the free energy still grows as λ log n",
    )
    .source("relatively finite variance: Watanabe (2018), section 3.1")
    .protocol("N(w, 1) under N(0, v) for data of variance σ²: the slope of the mean free energy between n and 100 n");
    Exact::new(meta)
        .names(&["prior variance", "σ", "log₁₀ n"])
        .input(|_, stream| {
            Some((
                10f64.powf(stream.uniform_in(-1.0, 2.0)),
                stream.uniform_in(0.1, 5.0),
                stream.uniform_in(2.0, 6.0),
            ))
        })
        .admits(|&(v, sigma, log_n)| {
            (0.1..=100.0).contains(&v) && (0.1..=5.0).contains(&sigma) && (2.0..=6.0).contains(&log_n)
        })
        .margin(|&(v, sigma, log_n)| {
            let n = 10f64.powf(log_n);
            let slope = (misspecified(100.0 * n, v, sigma) - misspecified(n, v, sigma)) / 100f64.ln();
            let lambda = LearningCoefficient::regular(1).lambda_f64();
            (1.0 + sigma * sigma) / (n * v * 100f64.ln()) + 1e-12 - (slope - lambda).abs()
        })
}

pub(super) fn unrealisable_everywhere() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/log-law-without-a-best-point",
        Subject::Slt,
        "F_n − n L_n(w₀) stays within 5 of λ log n on average, also where the truth is outside the model",
    )
    .source("with several different best approximations the data choose among them: a term of order √n")
    .protocol("N(μ, I) with μ on the unit circle, truth N(0, I), λ = 0; mean over data by quadrature");
    Exact::new(meta)
        .names(&["n"])
        .inputs([10, 30, 100])
        .input(|_, stream| Some(stream.below(100_000) + 1))
        .admits(|n| (1..=1_000_000).contains(n))
        .margin(|&n| 5.0 - CircleMean.free_energy(n as f64).abs())
}

/// A well with λ = 1/4 at height δ and one with λ = 1/2 at height 0, each on half of [−2, 2] under a flat prior.
pub(super) struct Wells {
    delta: f64,
    quartic: f64,
    quadratic: f64,
}

impl Wells {
    /// Returns `log Z` of each well.
    pub(super) fn log_partitions(&self, n: f64) -> [f64; 2] {
        let half = |power: i32, scale: f64| {
            let width = (n * scale).powf(-1.0 / f64::from(power));
            let [z] =
                integrate(-1.0, 1.0, width.min(0.25), |w: f64| [0.25 * (-n * scale * w.powi(power)).exp()]);
            z.ln()
        };
        [half(4, self.quartic) - n * self.delta, half(2, self.quadratic)]
    }

    /// Returns the n at which both wells have equal posterior mass, by quadrature.
    pub(super) fn crossing(&self) -> Option<f64> {
        let lead = |log_n: f64| {
            let [a, b] = self.log_partitions(log_n.exp());
            a - b
        };
        let (mut low, mut high) = (3.0, 14.0);
        if lead(low) <= 0.0 || lead(high) >= 0.0 {
            return None;
        }
        while high - low > 1e-6 {
            let middle = 0.5 * (low + high);
            if lead(middle) > 0.0 { low = middle } else { high = middle }
        }
        Some((0.5 * (low + high)).exp())
    }

    fn phases(&self) -> [Phase; 2] {
        // ∫ e^{−n a w⁴} dw = 2Γ(5/4) (na)^{−1/4},  ∫ e^{−n b w²} dw = √π (nb)^{−1/2}
        let flat = 0.25 * 2.0 * 0.906_402_477_055_477 * self.quartic.powf(-0.25);
        let sharp = 0.25 * (PI / self.quadratic).sqrt();
        let quarter = LearningCoefficient::new(Rational::new(1, 4), 1);
        [
            Phase::with_amplitude(self.delta, quarter, flat),
            Phase::with_amplitude(0.0, LearningCoefficient::regular(1), sharp),
        ]
    }
}

pub(super) fn wells(&(delta, quartic, quadratic): &(f64, f64, f64)) -> Wells {
    Wells { delta, quartic, quadratic }
}

/// Creates a claim that a rule finds n* of two wells to a relative tolerance.
fn two_wells(meta: Meta, rule: fn(&Phase, &Phase) -> Option<f64>, tolerance: f64) -> impl Claim {
    Exact::new(meta)
        .names(&["δ", "curvature of the flat well", "curvature of the sharp well"])
        .inputs([30, 300, 3000])
        .input(|_, stream| {
            Some((stream.uniform_in(1e-3, 2e-2), stream.uniform_in(0.5, 4.0), stream.uniform_in(4.0, 20.0)))
        })
        .admits(|input @ &(d, a, b)| {
            let inside = (1e-3..=2e-2).contains(&d) && (0.5..=4.0).contains(&a) && (4.0..=20.0).contains(&b);
            inside && wells(input).crossing().is_some_and(|n| n >= 30.0)
        })
        .margin(move |input| {
            let wells = wells(input);
            let seen = wells.crossing().expect("the domain asks for one");
            let [flat, sharp] = wells.phases();
            rule(&flat, &sharp).map_or(-1.0, |expected| tolerance - (expected / seen).ln().abs())
        })
}

pub(super) fn phase_crossing() -> impl Claim {
    let meta = Meta::theorem(
        "slt/phase-crossing",
        Subject::Slt,
        "two regions with L₁ > L₂ and λ₁ < λ₂ change places where n L + λ log n + c agree",
    )
    .code("L15")
    .source("Watanabe (2009), section 7.6; Z. Chen et al. (2023)")
    .protocol("δ + a w⁴ against b w²: the predicted n* within 0.5 % of where the two posterior masses are equal, by quadrature");
    two_wells(meta, Phase::crossing, 0.005)
}

pub(super) fn crossing_without_constants() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/crossing-without-constants",
        Subject::Slt,
        "n* of a phase transition is given to 20 % by the losses and the learning coefficients alone",
    )
    .code("L15")
    .source("the constant terms are not small against (λ₂ − λ₁) log n")
    .protocol("as slt/phase-crossing, with c = 0");
    two_wells(meta, Phase::leading_order_crossing, 0.2)
}

pub(super) fn first_order() -> impl Claim {
    let meta = Meta::theorem(
        "slt/first-order-transition",
        Subject::Slt,
        "where two regions change places the posterior mean loss falls by L₁ − L₂ + (λ₁ − λ₂)/n: a step of the free energy's slope",
    )
    .source("Watanabe (2009), section 7.6")
    .protocol(
        "δ + a w⁴ against b w²: within one region the mean loss is L + λ/n to 1 %, and the mean over both lies between, half-way at \
         n*, by quadrature",
    );
    Exact::new(meta)
        .names(&["δ", "curvature of the flat well", "curvature of the sharp well"])
        .inputs([30, 300, 3000])
        .input(|_, stream| {
            Some((stream.uniform_in(1e-3, 2e-2), stream.uniform_in(0.5, 4.0), stream.uniform_in(4.0, 20.0)))
        })
        .admits(|input @ &(d, a, b)| {
            let inside = (1e-3..=2e-2).contains(&d) && (0.5..=4.0).contains(&a) && (4.0..=20.0).contains(&b);
            inside && wells(input).crossing().is_some_and(|n| n >= 100.0)
        })
        .margin(|input| {
            let wells = wells(input);
            let n = wells.crossing().expect("the domain asks for one");
            // The slope of −log Z in n is the mean loss.
            let h = 1e-4 * n;
            let (up, down) = (wells.log_partitions(n + h), wells.log_partitions(n - h));
            let slope = |f: &dyn Fn([f64; 2]) -> f64| (f(down) - f(up)) / (2.0 * h);
            let both = slope(&|z| z[0].max(z[1]) + (-(z[0] - z[1]).abs()).exp().ln_1p());
            let [flat, sharp] = wells.phases();
            let mean = |phase: &Phase| phase.mean_loss(n);
            let half_way = 0.5 * (mean(&flat) + mean(&sharp));
            let off = [slope(&|z| z[0]) / mean(&flat), slope(&|z| z[1]) / mean(&sharp), both / half_way];
            0.01 - off.map(|ratio| (ratio - 1.0).abs()).into_iter().fold(0.0, larger)
        })
}

pub(super) fn localisation_on_an_orbit() -> impl Claim {
    let meta = Meta::counterexample(
        "slt/localised-estimate-along-an-orbit",
        Subject::Slt,
        "a localised estimate is the same at all points (c, 0) of the rescaling orbit of K = (w₁w₂)²",
    )
    .code("L16")
    .source("K is unchanged by (cw₁, w₂/c), the distance to w* is not")
    .protocol("the exact tempered value at nβ = 145, γ = 10, to 0.02");
    Exact::new(meta)
        .names(&["c"])
        .inputs([3, 20, 100])
        .input(|_, stream| Some(stream.uniform_in(0.5, 4.0)))
        .admits(|c| (0.5..=4.0).contains(c))
        .margin(|&c| {
            let crossing = crossing(&[1, 1]);
            let [here, there] = [1.0, c].map(|c| {
                let oracle = LocalisedCrossing::new(&crossing, &[c, 0.0], 10.0).expect("in range");
                oracle.tempered_llc(145f64.ln())
            });
            0.02 - (here - there).abs()
        })
}

pub(super) fn temperature_slope() -> impl Claim {
    let meta = Meta::theorem(
        "slt/temperature-slope",
        Subject::Slt,
        "E_β[nL] grows as λ/β: its slope over 1/β between any two temperatures is λ where m = 1, with no need of w₀",
    )
    .code("L17")
    .source("Watanabe (2013), theorem 4")
    .protocol("normal crossings with m = 1 by quadrature, log n = 200, β from 0.1 to 10, to 0.01");
    Exact::new(meta)
        .dims(&[("d", 1..=3)])
        .names(&["powers", "log β₁", "log β₂"])
        .inputs([20, 200, 2000])
        .input(|dims, stream| {
            let powers: Vec<usize> = (0..dims[0]).map(|_| stream.below(4) + 1).collect();
            Some((powers, stream.uniform_in(-2.3, 2.3), stream.uniform_in(-2.3, 2.3)))
        })
        .admits(|(powers, b1, b2)| {
            let inside = powers.iter().all(|k| (1..=4).contains(k)) && b1.abs() <= 2.3 && b2.abs() <= 2.3;
            inside && (b1 - b2).abs() > 0.2 && crossing(powers).learning_coefficient().multiplicity == 1
        })
        .margin(|(powers, b1, b2)| {
            let crossing = crossing(powers);
            let oracle = CrossingOracle::new(&crossing);
            let mean = |log_beta: f64| oracle.tempered_llc(200.0 + log_beta) / log_beta.exp();
            let slope = (mean(*b1) - mean(*b2)) / ((-b1).exp() - (-b2).exp());
            0.01 - (slope - crossing.learning_coefficient().lambda_f64()).abs()
        })
}

pub(super) fn gaussian_tempered() -> impl Claim {
    let meta = Meta::theorem(
        "slt/tempered-gaussian-mean",
        Subject::Slt,
        "for a Gaussian mean in d dimensions the tempered n(L_n − L_n(ŵ)) at β = 1/log n is λ log n up to a share of 1/(nβ v)",
    )
    .code("L8")
    .source("Watanabe (2013), theorem 4, for a regular model");
    Exact::new(meta)
        .dims(&[("d", 1..=10)])
        .names(&["d", "prior variance", "log₁₀ n"])
        .input(|dims, stream| {
            Some((dims[0], 10f64.powf(stream.uniform_in(-1.0, 3.0)), stream.uniform_in(1.0, 6.0)))
        })
        .admits(|&(d, v, log_n)| d >= 1 && (0.1..=1e3).contains(&v) && (1.0..=6.0).contains(&log_n))
        .margin(|&(d, v, log_n)| {
            let n = 10f64.powf(log_n);
            let t = n / n.ln();
            let model = GaussianMean::new(d, v).expect("the domain admits only these");
            let (found, lambda) = (model.tempered_llc(t) * n.ln(), d as f64 / 2.0 * n.ln());
            // An integral instead of the closed form: the mean of t|w|²/2 over w ~ N(0, 1/(t + 1/v)), in one dimension.
            let s = (t + 1.0 / v).sqrt();
            let [mass, square] = integrate(-9.0, 9.0, 0.5, |x| {
                let f = (-0.5 * x * x).exp();
                [f, f * 0.5 * t * (x / s) * (x / s)]
            });
            let integrated = d as f64 * square / mass * n.ln();
            let agree = 1e-9 * lambda - (integrated - found).abs();
            smaller(agree, lambda / (t * v) + 1e-12 * lambda - (found - lambda).abs())
        })
}
