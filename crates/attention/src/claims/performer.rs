//! Random features of the softmax kernel.

use crate::linear::{RandomFeatures, Stabiliser};
use collimate_claims::{Claim, Exact, Meta, Subject};
use ndarray::{Array1, Array2, Array3, Axis};

/// The step of the trapezoid rule over normal directions. For functions like e^{a·ω} its error is below e^{−2π²/step²}.
const STEP: f64 = 0.5;

/// Returns directions on a grid with the weights of the normal distribution, wide enough for second moments of rows up to 1.5.
fn grid(width: usize) -> (Array2<f64>, Array1<f64>) {
    let half = 32i64;
    let side = (2 * half + 1) as usize;
    let count = side.pow(width as u32);
    let at = |row: usize, c: usize| ((row / side.pow(c as u32) % side) as i64 - half) as f64 * STEP;
    let directions = Array2::from_shape_fn((count, width), |(row, c)| at(row, c));
    let density = |x: f64| STEP * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let weights =
        directions.rows().into_iter().map(|row| row.iter().map(|&x| density(x)).product()).collect();
    (directions, weights)
}

/// Returns the features `[m]` of a row `[d]` along directions `[m, d]`, times √m, so that each belongs to one direction alone.
pub(super) fn own_features(epsilon: f64) -> impl Fn(&Array2<f64>, &Array1<f64>) -> Array1<f64> + Send + Sync {
    move |directions, row| {
        let features = RandomFeatures::from_directions(directions.clone(), Stabiliser::None, epsilon);
        let row: Array3<f64> = row.clone().insert_axis(Axis(0)).insert_axis(Axis(0));
        let of_row = features.and_then(|f| f.of_keys(&row, 1.0)).expect("a finite grid of this width");
        of_row.iter().map(|x| x * (directions.nrows() as f64).sqrt()).collect()
    }
}

/// Computes the mean and the variance of the product of one feature of q and k over normal directions, by quadrature.
fn moments(
    features: impl Fn(&Array2<f64>, &Array1<f64>) -> Array1<f64>,
    q: &Array1<f64>,
    k: &Array1<f64>,
) -> (f64, f64) {
    let (directions, weights) = grid(q.len());
    let (of_q, of_k) = (features(&directions, q), features(&directions, k));
    let (mut mean, mut square) = (0.0, 0.0);
    for ((a, b), w) in of_q.iter().zip(&of_k).zip(&weights) {
        let product = a * b;
        mean += w * product;
        square += w * product * product;
    }
    (mean, square - mean * mean)
}

fn over_rows(
    meta: Meta,
    margin: impl Fn(&Array1<f64>, &Array1<f64>) -> f64 + Send + Sync + 'static,
) -> impl Claim {
    Exact::new(meta)
        .dims(&[("width", 1..=2)])
        .names(&["q", "k"])
        .inputs([24, 100, 400])
        .input(|dims, stream| {
            let mut row = || Array1::from_shape_simple_fn(dims[0], || stream.uniform_in(-1.0, 1.0));
            Some((row(), row()))
        })
        .admits(|(q, k)| q.iter().chain(k).all(|x: &f64| x.abs() <= 1.0))
        .margin(move |(q, k)| margin(q, k))
}

/// Claims that the mean over normal directions is the kernel.
pub fn performer_unbiased(
    features: impl Fn(&Array2<f64>, &Array1<f64>) -> Array1<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/performer-unbiased",
        Subject::Attention,
        "with ε = 0 the mean over normal directions of the product of positive random features is exp(q·k), within 1e-10",
    )
    .source("Choromanski et al. (2021), lemma 1")
    .protocol("the mean is a quadrature over a grid of directions, not a sample");
    over_rows(meta, move |q, k| {
        let kernel = q.dot(k).exp();
        1e-10 * kernel - (moments(&features, q, k).0 - kernel).abs()
    })
}

/// Claims the belief that the ε of published code does not change the mean.
pub fn performer_unbiased_with_epsilon(
    features: impl Fn(&Array2<f64>, &Array1<f64>) -> Array1<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::counterexample(
        "attention/performer-unbiased-with-epsilon",
        Subject::Attention,
        "with ε = 10⁻⁴ the mean over normal directions of the product of positive random features is exp(q·k), within 1e-10",
    )
    .source("published Performer code");
    over_rows(meta, move |q, k| {
        let kernel = q.dot(k).exp();
        1e-10 * kernel - (moments(&features, q, k).0 - kernel).abs()
    })
}

/// Claims the closed form of the variance.
pub fn performer_variance(
    features: impl Fn(&Array2<f64>, &Array1<f64>) -> Array1<f64> + Send + Sync + 'static,
) -> impl Claim {
    let meta = Meta::theorem(
        "attention/performer-variance",
        Subject::Attention,
        "with ε = 0 the variance of the product of one pair of positive random features over normal directions is \
         exp(2 q·k) (exp(|q + k|²) − 1), within 1e-9 of its second moment",
    )
    .source("Choromanski et al. (2021), lemma 2");
    over_rows(meta, move |q, k| {
        let sum = q + k;
        let expected = (2.0 * q.dot(k)).exp() * sum.dot(&sum).exp_m1();
        let second = expected + (2.0 * q.dot(k)).exp();
        1e-9 * second - (moments(&features, q, k).1 - expected).abs()
    })
}
