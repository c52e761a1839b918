//! Limits of Gibbs measures with published machine-checked proofs, tested with chains: cumulants of a cubic well, its response
//! to a force, and moments of separable powers.

use collimate_grad::{Batch, Objective, Scratch};
use collimate_slt::{ChainMean, NBeta, Polynomial, PolynomialLoss, Sampling, Target};
use collimate_stream::RngStream;

/// The potential `V = (a₂/2) x² + (a₃/6) x³ + (a₄/24) x⁴ + h x` with a₂ = 2, a₃ = 1, a₄ = 2.
struct Well {
    force: f64,
}

impl Objective<f64> for Well {
    fn n_parameters(&self) -> usize {
        1
    }
    fn n_samples(&self) -> usize {
        1
    }
    fn loss_and_gradient_into(&self, w: &[f64], _: Batch<'_>, _: &mut Scratch, out: &mut [f64]) -> f64 {
        let x = w[0];
        out[0] = 2.0 * x + 0.5 * x * x + x * x * x / 3.0 + self.force;
        x * x + x.powi(3) / 6.0 + x.powi(4) / 12.0 + self.force * x
    }
}

/// Returns the positions of four long chains.
fn positions(objective: &dyn Objective<f64>, t: f64, seed: u64) -> Vec<Vec<f64>> {
    let centre = vec![0.0; objective.n_parameters()];
    let target = Target::new(objective, &centre, NBeta::new(t).unwrap()).unwrap();
    let sampling = Sampling { draws: 20_000, ..Sampling::hmc(6) };
    sampling.observe(&target, &mut RngStream::new(seed, 0), |_| Vec::new()).unwrap().observers
}

fn map(chains: &[Vec<f64>], f: impl Fn(f64) -> f64) -> Vec<Vec<f64>> {
    chains.iter().map(|chain| chain.iter().map(|x| f(*x)).collect()).collect()
}

/// Returns `t² Cov(x², x)` and `t² κ₃` of the well without a force, by the midpoint rule.
fn cumulants(t: f64) -> [f64; 2] {
    let nodes: Vec<(f64, f64)> = (0..60_000)
        .map(|i| {
            let x = 4.0 * (2.0 * (f64::from(i) + 0.5) / 60_000.0 - 1.0);
            (x, (-t * (x * x + x.powi(3) / 6.0 + x.powi(4) / 12.0)).exp())
        })
        .collect();
    let mass: f64 = nodes.iter().map(|(_, p)| p).sum();
    let mean = |f: &dyn Fn(f64) -> f64| nodes.iter().map(|(x, p)| p * f(*x)).sum::<f64>() / mass;
    let mu = mean(&|x| x);
    [t * t * mean(&|x| x * x * (x - mu)), t * t * mean(&|x| (x - mu).powi(3))]
}

#[test]
fn cumulants_of_a_cubic_well_have_their_limits() {
    // t² Cov(x², x) → −2a₃/a₂³ and t² κ₃ → −a₃/a₂³, with corrections of order 1/t.
    for (found, proved) in cumulants(1e4).into_iter().zip([-0.25, -0.125]) {
        assert!((found - proved).abs() < 1e-3, "{found}, proved {proved}");
    }
    // At this temperature the cumulants are larger than the noise of the chains.
    let t = 25.0;
    let x = positions(&Well { force: 0.0 }, t, 5);
    let mean = ChainMean::of(&x).unwrap().value;
    let squares = ChainMean::covariance(&map(&x, |x| x * x), &x).unwrap();
    let third = ChainMean::covariance(&map(&x, |x| (x - mean) * (x - mean)), &x).unwrap();
    for (found, exact) in [squares, third].into_iter().zip(cumulants(t)) {
        let (value, error) = (t * t * found.value, t * t * found.standard_error);
        assert!((value - exact).abs() < 4.5 * error, "{value} ± {error}, exact {exact}");
        assert!(exact.abs() > 2.5 * error, "{value} ± {error}, exact {exact}");
    }
}

#[test]
fn the_response_of_a_variance_to_a_force_has_its_limit() {
    // t d/dh Cov_h(x, x) → a₃/a₂³ = 1/8. The third order of h is below 0.02 here.
    let (t, h) = (400.0, 0.2);
    let variance = |force: f64, seed| {
        let x = positions(&Well { force }, t, seed);
        ChainMean::covariance(&x, &x).unwrap()
    };
    let (up, down) = (variance(h, 6), variance(-h, 7));
    let (value, error) = (
        t * (up.value - down.value) / (2.0 * h),
        t * up.standard_error.hypot(down.standard_error) / (2.0 * h),
    );
    assert!((value - 0.125).abs() < 4.5 * error + 0.02, "{value} ± {error}");
    assert!(error < 0.02);
}

#[test]
fn moments_of_separable_powers_scale_exactly() {
    // For x⁴/4! + y⁶/6!, ⟨x²y²⟩ ∝ t^{−1/2 − 1/3}, exactly.
    let objective = PolynomialLoss::new(&"x^4/24 + y^6/720".parse::<Polynomial>().unwrap());
    let moment = |t: f64, seed| {
        let draws = positions(&objective, t, seed);
        let products =
            draws.iter().map(|chain| chain.chunks_exact(2).map(|w| (w[0] * w[1]).powi(2)).collect());
        ChainMean::of(&products.collect::<Vec<Vec<f64>>>()).unwrap()
    };
    let (low, high) = (moment(100.0, 8), moment(1600.0, 9));
    let found = (high.value / low.value).ln() / 16f64.ln();
    let error = (high.standard_error / high.value).hypot(low.standard_error / low.value) / 16f64.ln();
    assert!((found + 5.0 / 6.0).abs() < 4.5 * error, "{found} ± {error}");
    assert!(error < 0.02);
}
