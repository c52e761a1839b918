//! Limits of Gibbs measures that were proved by machine elsewhere, along chains: cumulants of a cubic well, its response to
//! a force, and moments of separable powers.

use collimate_grad::{Batch, Objective, Scratch};
use collimate_slt::{ChainMean, NBeta, Polynomial, PolynomialLoss, Sampling, Target};
use collimate_stream::Stream;

/// `V = (a₂/2) x² + (a₃/6) x³ + (a₄/24) x⁴ + h x` with a₂ = 2, a₃ = 1, a₄ = 2.
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

const T: f64 = 400.0;

/// The positions of four long chains.
fn positions(objective: &dyn Objective<f64>, t: f64, seed: u64) -> Vec<Vec<f64>> {
    let centre = vec![0.0; objective.n_parameters()];
    let target = Target::new(objective, &centre, NBeta::new(t).unwrap()).unwrap();
    let sampling = Sampling { draws: 20_000, ..Sampling::hmc(6) };
    sampling.observe(&target, &mut Stream::new(seed, 0), |_| Vec::new()).unwrap().observers
}

fn map(chains: &[Vec<f64>], f: impl Fn(f64) -> f64) -> Vec<Vec<f64>> {
    chains.iter().map(|chain| chain.iter().map(|x| f(*x)).collect()).collect()
}

#[test]
fn cumulants_of_a_cubic_well() {
    let x = positions(&Well { force: 0.0 }, T, 5);
    let mean = ChainMean::of(&x).value;
    // t² Cov(x², x) → −2a₃/a₂³ and t² κ₃ → −a₃/a₂³, with corrections of order 1/t.
    let squares = ChainMean::covariance(&map(&x, |x| x * x), &x);
    let third = ChainMean::covariance(&map(&x, |x| (x - mean) * (x - mean)), &x);
    for (found, exact) in [(squares, -0.25), (third, -0.125)] {
        let (value, error) = (T * T * found.value, T * T * found.standard_error);
        assert!((value - exact).abs() < 4.5 * error + 0.01, "{value} ± {error}, proved {exact}");
    }
}

#[test]
fn the_response_of_a_variance_to_a_force() {
    // t d/dh Cov_h(x, x) → a₃/a₂³ = 1/8; the third order of h is below 0.02 here.
    let h = 0.2;
    let variance = |force: f64, seed| {
        let x = positions(&Well { force }, T, seed);
        ChainMean::covariance(&x, &x)
    };
    let (up, down) = (variance(h, 6), variance(-h, 7));
    let (value, error) = (
        T * (up.value - down.value) / (2.0 * h),
        T * up.standard_error.hypot(down.standard_error) / (2.0 * h),
    );
    assert!((value - 0.125).abs() < 4.5 * error + 0.02, "{value} ± {error}");
    assert!(error < 0.02);
}

#[test]
fn moments_of_separable_powers() {
    // x⁴/4! + y⁶/6!: ⟨x²y²⟩ ∝ t^{−1/2 − 1/3}, exactly.
    let objective = PolynomialLoss::new(&"x^4/24 + y^6/720".parse::<Polynomial>().unwrap());
    let moment = |t: f64, seed| {
        let draws = positions(&objective, t, seed);
        let products =
            draws.iter().map(|chain| chain.chunks_exact(2).map(|w| (w[0] * w[1]).powi(2)).collect());
        ChainMean::of(&products.collect::<Vec<Vec<f64>>>())
    };
    let (low, high) = (moment(100.0, 8), moment(1600.0, 9));
    let found = (high.value / low.value).ln() / 16f64.ln();
    let error = (high.standard_error / high.value).hypot(low.standard_error / low.value) / 16f64.ln();
    assert!((found + 5.0 / 6.0).abs() < 4.5 * error, "{found} ± {error}");
    assert!(error < 0.02);
}
