//! Properties of the metrics themselves.

use crate::{Matching, Sums, mmcs};
use collimate_claims::{Claims, Exact, Meta, Subject, larger, smaller};
use collimate_stream::RngStream;
use ndarray::{Array2, Axis};

const GAMMA: Meta =
    Meta::theorem("sae/gamma-is-the-best-rescaling", Subject::Sae, "γ = E‖x̂‖²/E[x̂·x] minimises E‖x̂/γ − x‖²")
        .code("A8")
        .source("Rajamanoharan et al. (2024), eq. 9–10");

const GAMMA_SCALES: Meta =
    Meta::theorem("sae/gamma-scales", Subject::Sae, "multiplying the reconstructions by c multiplies γ by c")
        .source("Rajamanoharan et al. (2024), eq. 10");

const VARIANCE: Meta = Meta::theorem(
    "sae/explained-variance-ends",
    Subject::Sae,
    "the explained variance of a perfect reconstruction is one, that of the mean is zero",
)
.code("A24")
.source("the definition of the global R²");

const PERMUTED: Meta = Meta::theorem(
    "sae/mmcs-ignores-order",
    Subject::Sae,
    "permuting the latents of either dictionary leaves MMCS as it is",
)
.code("A20")
.source("Sharkey et al. (2022)");

const SYMMETRIC: Meta =
    Meta::counterexample("sae/mmcs-is-symmetric", Subject::Sae, "MMCS of a with b is MMCS of b with a")
        .code("A20")
        .source("Sharkey et al. (2022)");

const CONSTANT: Meta = Meta::counterexample(
    "sae/constant-error-lowers-centred-variance",
    Subject::Sae,
    "a constant error of the reconstructions lowers the explained variance of the centred residual",
)
.source("the definition 1 − Σ var(x − x̂)/Σ var(x), as in dictionary_learning");

const MATCHED: Meta = Meta::theorem(
    "sae/mcc-beats-any-pairing",
    Subject::Sae,
    "no way to pair the rows of two dictionaries has a larger mean |cosine| than the matching of MCC",
)
.source("Kuhn (1955)");

fn pair(dims: &[usize], stream: &mut RngStream) -> (Array2<f64>, Array2<f64>) {
    let mut draw = |rows: usize| Array2::from_shape_fn((rows, dims[0]), |_| stream.normal());
    (draw(dims[1]), draw(*dims.last().expect("at least two dimensions")))
}

fn sums(x: &Array2<f64>, x_hat: &Array2<f64>) -> Sums {
    let mut sums = Sums::new(x.ncols());
    for (x, x_hat) in x.rows().into_iter().zip(x_hat.rows()) {
        sums.push(&x.to_vec(), &x_hat.to_vec(), 1);
    }
    sums
}

/// Draws reconstructions that are correlated with their rows, of moderate size.
fn related((x, x_hat): &(Array2<f64>, Array2<f64>)) -> bool {
    let sums = sums(x, x_hat);
    let size = x.iter().chain(x_hat).fold(0.0, |m: f64, v| m.max(v.abs()));
    size < 100.0
        && sums.input_output.abs() > 0.05 * (sums.input2 * sums.output2).sqrt()
        && sums.output2 > 1e-3
}

pub(super) fn claims() -> Claims {
    let rows = |meta| {
        Exact::new(meta).dims(&[("d", 1..=4), ("rows", 1..=6)]).names(&["x", "x_hat"]).input(
            |dims, stream| {
                let (noise, x) = pair(dims, stream);
                Some((x.clone(), x * stream.uniform_in(0.2, 1.2) + noise * 0.3))
            },
        )
    };
    let dictionaries = |meta| {
        Exact::new(meta)
            .dims(&[("d", 1..=4), ("a", 1..=5), ("b", 1..=5)])
            .names(&["a", "b"])
            .input(|dims, stream| Some(pair(dims, stream)))
            .admits(|(a, b)| a.iter().chain(b).all(|v| v.abs() < 100.0))
    };
    Claims::new()
        .with(rows(GAMMA).admits(related).margin(|(x, x_hat)| {
            let sums = sums(x, x_hat);
            let loss = |g: f64| (x_hat / g - x).mapv(|e| e * e).sum();
            let best = loss(sums.gamma());
            let others = [0.5, 0.9, 0.999, 1.001, 1.1, 2.0].map(|factor| loss(factor * sums.gamma()) - best);
            // The minimum is quadratic: a thousandth away it rises by a millionth of Σ‖x̂/γ‖².
            let rise = 1e-7 * sums.output2 / sums.gamma().powi(2);
            others.into_iter().fold(f64::INFINITY, smaller) - rise
        }))
        .with(rows(GAMMA_SCALES).admits(related).margin(|(x, x_hat)| {
            let (before, after) = (sums(x, x_hat).gamma(), sums(x, &(x_hat * 3.0)).gamma());
            1e-11 * before.abs() - (after - 3.0 * before).abs()
        }))
        .with(
            rows(VARIANCE)
                .admits(|(x, _)| {
                    let spread = x
                        .rows()
                        .into_iter()
                        .map(|row| (&row - &x.row(0)).mapv(|v| v * v).sum())
                        .fold(0.0, f64::max);
                    spread > 1e-3 && x.iter().all(|v| v.abs() < 10.0)
                })
                .margin(|(x, _)| {
                    let mean = x.mean_axis(Axis(0)).expect("there are rows");
                    let constant = Array2::from_shape_fn(x.dim(), |(_, j)| mean[j]);
                    let perfect = (sums(x, x).explained_variance() - 1.0).abs();
                    1e-9 - larger(perfect, sums(x, &constant).explained_variance().abs())
                }),
        )
        .with(dictionaries(PERMUTED).margin(|(a, b)| {
            let reversed = |m: &Array2<f64>| m.slice(ndarray::s![..;-1, ..]).to_owned();
            let value = mmcs(a, b).expect("equal widths");
            let turned =
                [mmcs(&reversed(a), b).expect("equal widths"), mmcs(a, &reversed(b)).expect("equal widths")];
            1e-12 - turned.map(|turned| (value - turned).abs()).into_iter().fold(0.0, larger)
        }))
        .with(
            rows(CONSTANT)
                .admits(|(x, _)| {
                    let spread = x.rows().into_iter().map(|row| (&row - &x.row(0)).mapv(|v| v * v).sum());
                    spread.fold(0.0, f64::max) > 1e-2 && x.iter().all(|v| v.abs() < 10.0)
                })
                .margin(|(x, _)| 1.0 - sums(x, &(x + 0.5)).explained_variance_centred() - 1e-6),
        )
        .with(dictionaries(MATCHED).margin(|(a, b)| {
            let matching = Matching::new(a, b);
            let pairs = matching.pairs.len();
            // Every cyclic way to pair the first rows with each other.
            let paired = |shift: usize| {
                let cosine = |i: usize| {
                    let (p, q) = (a.row(i), b.row((i + shift) % pairs));
                    let lengths = (p.dot(&p) * q.dot(&q)).sqrt();
                    if lengths > 0.0 { (p.dot(&q) / lengths).abs() } else { 0.0 }
                };
                (0..pairs).map(cosine).sum::<f64>() / pairs as f64
            };
            matching.mcc() - (0..pairs).map(paired).fold(0.0, larger) + 1e-9
        }))
        .with(dictionaries(SYMMETRIC).margin(|(a, b)| {
            1e-6 - (mmcs(a, b).expect("equal widths") - mmcs(b, a).expect("equal widths")).abs()
        }))
}
