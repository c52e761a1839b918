//! The effects of an L1 penalty, and the changes that it does not penalise.

use super::draw::{self, DIMS, NAMES};
use crate::{AdamMoments, Relu, Sums, Weights};
use collimate_claims::{Claims, Exact, Meta, Subject, larger, smaller};
use collimate_stream::RngStream;
use collimate_tensor::small::orthonormalise;
use ndarray::{Array1, Array2};

const OPTIMAL: Meta = Meta::theorem(
    "sae/soft-threshold-is-optimal",
    Subject::Sae,
    "on an orthonormal dictionary the codes ReLU(D x − λ/2) minimise ‖x − x̂‖² + λ Σ f",
)
.code("A2")
.source("Tibshirani (1996), section 2.2, for non-negative codes");

const SHRINKS: Meta = Meta::theorem(
    "sae/l1-shrinks",
    Subject::Sae,
    "the L1-optimal reconstruction of a sparse non-negative sum of orthonormal atoms has γ < 1",
)
.code("A3")
.source("Rajamanoharan et al. (2024), section 2.2 and eq. 9");

const RESCALED: Meta = Meta::theorem(
    "sae/rescaling-keeps-the-reconstruction",
    Subject::Sae,
    "dividing the codes by c and multiplying the decoder by c keeps the reconstruction and divides the L1 norm by c",
)
.code("A11")
.source("Bricken et al. (2023), on the constraint of the decoder");

const UNCONSTRAINED: Meta = Meta::counterexample(
    "sae/free-decoder-under-l1",
    Subject::Sae,
    "with a free decoder, growing its rows and shrinking the codes cannot lower the L1 loss",
)
.code("A12")
.source("Bricken et al. (2023), on the constraint of the decoder");

const WEIGHTED: Meta = Meta::theorem(
    "sae/norm-weighted-penalty-is-invariant",
    Subject::Sae,
    "the loss with the penalty Σ f‖d‖ does not see a rescaling of codes against decoder rows",
)
.code("A13")
.source("Anthropic (April 2024 update)");

const RESAMPLING: Meta = Meta::theorem(
    "sae/resampling-leaves-the-living",
    Subject::Sae,
    "resampling keeps the living latents bit for bit, does nothing without dead ones, and gives a dead one a unit decoder \
     row, a zero bias and the stated encoder norm",
)
.code("A17, A18")
.source("Bricken et al. (2023), appendix on neuron resampling");

const NORMALISED: Meta = Meta::theorem(
    "sae/zero-row-stays-zero",
    Subject::Sae,
    "normalising a decoder row gives length one, and a row of zeros stays zero instead of becoming NaN",
)
.code("A19")
.source("a case that implementations have got wrong");

pub(super) fn claims() -> Claims {
    let lambda = 0.6;
    let relu =
        || Exact::new(RESCALED).dims(&DIMS).names(&NAMES).input(|dims, s| Some(draw::dictionary(dims, 1, s)));
    Claims::new()
        .with(orthonormal(OPTIMAL).margin(move |(w, x)| {
            let sae = thresholding(w, lambda);
            let (_, gradient) = draw::gradient(&sae, x, lambda);
            let codes = draw::codes(&sae, x);
            // An active code must not want to move; one at zero must not want to grow. The bias collects ∂f over
            // the active codes of a latent; with a single row that is ∂f itself.
            let pull =
                (x - &sae.dictionary().decode(&sae.dictionary().encode(x).expect("finite")).expect("fits"))
                    .dot(&w.t())
                    * 2.0;
            let resting = codes.iter().zip(&pull).filter(|(f, _)| **f == 0.0).map(|(_, pull)| lambda - pull);
            let moving = gradient.per_latent[0].iter().map(|g| g.abs()).fold(0.0, larger);
            1e-10 + smaller(resting.fold(0.0, smaller), -moving)
        }))
        .with(orthonormal(SHRINKS).margin(move |(w, x)| {
            // Rows that are non-negative sums of atoms, one of them at least well above the threshold.
            let amounts = x.dot(&w.t()).mapv(f64::abs) + lambda;
            let x = amounts.dot(w);
            let x_hat = thresholding(w, lambda).dictionary().reconstruct(&x).expect("finite");
            let mut sums = Sums::new(x.ncols());
            for (x, x_hat) in x.rows().into_iter().zip(x_hat.rows()) {
                sums.push(&x.to_vec(), &x_hat.to_vec(), 0);
            }
            // f = a − λ/2 for every atom: γ = Σf²/Σaf ≤ 1 − λ/(2 max a).
            let largest = amounts.iter().fold(0.0, |m: f64, a| m.max(*a));
            1.0 - lambda / (2.0 * largest) + 1e-12 - sums.gamma()
        }))
        .with(relu().admits(draw::moderate).margin(|drawn| {
            let (sae, scaled) =
                (draw::sae(Relu::unit_norm(), drawn), draw::sae(Relu::unit_norm(), &rescaled(drawn, 4.0)));
            let (x, y) = (
                sae.dictionary().reconstruct(&drawn.4).expect("finite"),
                scaled.dictionary().reconstruct(&drawn.4).expect("finite"),
            );
            let (before, after) = (draw::losses(&sae, &drawn.4, 0.3), draw::losses(&scaled, &drawn.4, 0.3));
            let sparsity = (before.sparsity - 4.0 * after.sparsity).abs();
            1e-10 * (1.0 + before.sparsity) - larger(draw::difference(&x, &y), sparsity)
        }))
        .with(
            Exact::new(UNCONSTRAINED)
                .dims(&DIMS)
                .names(&NAMES)
                .input(|dims, s| Some(draw::dictionary(dims, 1, s)))
                .admits(draw::moderate)
                .margin(|drawn| {
                    let sae = draw::sae(Relu::unit_norm(), drawn);
                    let scaled = draw::sae(Relu::unit_norm(), &rescaled(drawn, 2.0));
                    draw::losses(&scaled, &drawn.4, 0.3).total - draw::losses(&sae, &drawn.4, 0.3).total
                        + 1e-9
                }),
        )
        .with(
            Exact::new(WEIGHTED)
                .dims(&DIMS)
                .names(&NAMES)
                .input(|dims, s| Some(draw::dictionary(dims, 1, s)))
                .admits(draw::moderate)
                .margin(|drawn| {
                    let (sae, scaled) = (
                        draw::sae(Relu::norm_weighted(), drawn),
                        draw::sae(Relu::norm_weighted(), &rescaled(drawn, 4.0)),
                    );
                    let before = draw::losses(&sae, &drawn.4, 0.3).total;
                    1e-10 * (1.0 + before) - (before - draw::losses(&scaled, &drawn.4, 0.3).total).abs()
                }),
        )
        .with(
            Exact::new(RESAMPLING)
                .dims(&DIMS)
                .names(&NAMES)
                .input(|dims, s| Some(draw::dictionary(dims, 1, s)))
                .admits(|drawn| draw::moderate(drawn) && drawn.0.iter().any(|&w| w.abs() > 1e-3))
                .margin(resampling),
        )
        .with(
            Exact::new(NORMALISED)
                .dims(&[("d", 1..=8)])
                .names(&["row"])
                .input(|dims, s| {
                    let scale = if s.bernoulli(0.2) { 0.0 } else { s.uniform_in(-8.0, 8.0).exp() };
                    Some(Array1::from_shape_fn(dims[0], |_| scale * s.normal()))
                })
                .admits(|row| row.iter().all(|v| *v == 0.0 || (1e-9..1e9).contains(&v.abs())))
                .margin(|row| {
                    let expected = if row.iter().all(|&v| v == 0.0) { 0.0 } else { 1.0 };
                    let mut unit = row.to_vec();
                    crate::normalise(&mut unit);
                    1e-12 - (unit.iter().map(|v| v * v).sum::<f64>() - expected).abs()
                }),
        )
}

/// Returns the dictionary with codes divided by c and decoder rows multiplied by c.
fn rescaled(drawn: &draw::Drawn, c: f64) -> draw::Drawn {
    let (w_enc, w_dec, vectors, b_dec, x) = drawn;
    (w_enc / c, w_dec * c, vectors / c, b_dec.clone(), x.clone())
}

/// Draws an orthonormal set of at most `d` rows and one row to encode.
fn orthonormal(meta: Meta) -> Exact<(Array2<f64>, Array2<f64>)> {
    Exact::new(meta)
        .dims(&[("n", 1..=5), ("extra", 0..=3)])
        .names(&["dictionary", "x"])
        .input(|dims, stream| {
            let (n, d) = (dims[0], dims[0] + dims[1]);
            let mut rows = Array2::from_shape_fn((n, d), |_| stream.normal());
            if !orthonormalise(&mut rows, 1e-3) {
                return None;
            }
            Some((rows, Array2::from_shape_fn((1, d), |_| 2.0 * stream.normal())))
        })
        .admits(|(w, x)| {
            let gram = w.dot(&w.t());
            let off = gram.indexed_iter().map(|((i, j), g)| (g - f64::from(u8::from(i == j))).abs());
            off.fold(0.0, larger) < 1e-13 && x.iter().all(|v| v.abs() < 100.0)
        })
}

/// Returns the dictionary whose codes are ReLU(D x − λ/2).
fn thresholding(w: &Array2<f64>, lambda: f64) -> crate::Sae<f64> {
    let weights = Weights {
        w_enc: w.clone(),
        w_dec: w.clone(),
        b_dec: Array1::zeros(w.ncols()),
        per_latent: vec![Array1::from_elem(w.nrows(), -lambda / 2.0)],
    };
    crate::Sae::from_weights(Relu::unit_norm(), weights).expect("a draw fits")
}

fn resampling(drawn: &draw::Drawn) -> f64 {
    let mut sae = draw::sae(Relu::unit_norm(), drawn);
    let n = sae.size().n_latents;
    let mut moments = AdamMoments::zeros(sae.weights());
    let ones = |w: &mut Array2<f64>| w.fill(1.0);
    ones(&mut moments.first.w_enc);
    ones(&mut moments.second.w_dec);
    let (start, start_moments) = (sae.clone(), moments.clone());
    let losses: Vec<f64> = drawn.4.rows().into_iter().map(|row| row.dot(&row)).collect();
    let mut stream = RngStream::new(1, 0);
    sae.resample(&mut moments, &[], &drawn.4, &losses, 0.2, &mut stream).expect("a draw fits");
    if sae != start || moments != start_moments {
        return -1.0;
    }
    // The last latent dies; with a single latent nobody is left and the mean norm counts as one.
    sae.resample(&mut moments, &[n as u32 - 1], &drawn.4, &losses, 0.2, &mut stream).expect("a draw fits");
    let (before, after) = (start.weights(), sae.weights());
    let norm = |w: &Array2<f64>, i: usize| w.row(i).dot(&w.row(i)).sqrt();
    for i in 0..n - 1 {
        let kept = before.w_enc.row(i) == after.w_enc.row(i)
            && before.w_dec.row(i) == after.w_dec.row(i)
            && before.per_latent[0][i] == after.per_latent[0][i]
            && moments.first.w_enc[[i, 0]] == 1.0
            && moments.second.w_dec[[i, 0]] == 1.0;
        if !kept {
            return -1.0;
        }
    }
    let living =
        if n > 1 { (0..n - 1).map(|i| norm(&before.w_enc, i)).sum::<f64>() / (n - 1) as f64 } else { 1.0 };
    let wrong = [
        norm(&after.w_dec, n - 1) - 1.0,
        norm(&after.w_enc, n - 1) - 0.2 * living,
        after.per_latent[0][n - 1],
        moments.first.w_enc[[n - 1, 0]],
        moments.second.w_dec[[n - 1, 0]],
    ];
    1e-10 - wrong.map(f64::abs).into_iter().fold(0.0, larger)
}
