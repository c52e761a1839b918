//! Gated dictionaries and their thresholds.

use super::draw::{self, DIMS, Drawn, NAMES};
use crate::{Gated, InputBias, JumpRelu, Relu};
use collimate_claims::{Claims, Exact, Meta, Subject, larger};
use ndarray::Array2;

const GATED: &str =
    "Rajamanoharan et al. (2024), Improving Dictionary Learning with Gated Sparse Autoencoders";

const EXPORT: Meta = Meta::theorem(
    "sae/gated-is-jump-relu",
    Subject::Sae,
    "a gated dictionary with tied encoders is a JumpReLU dictionary with θ = max(0, b_mag − e^r b_gate)",
)
.code("A4")
.source("Rajamanoharan et al. (2024), section 3.2.1 and appendix E");

const WITHOUT_MAXIMUM: Meta = Meta::counterexample(
    "sae/export-without-maximum",
    Subject::Sae,
    "a gated dictionary equals z·1[z > b_mag − e^r b_gate], without a maximum with zero",
)
.code("A5")
.source(GATED);

const FROZEN: Meta = Meta::theorem(
    "sae/auxiliary-loss-leaves-the-decoder",
    Subject::Sae,
    "the auxiliary loss of a gated dictionary sends no gradient to W_dec, and to b_dec only through x − b_dec",
)
.code("A6")
.source("Rajamanoharan et al. (2024), eq. 8 and appendix G");

const PENALTY: Meta = Meta::theorem(
    "sae/gate-penalty-leaves-the-magnitudes",
    Subject::Sae,
    "the sparsity penalty of a gated dictionary sends no gradient to r and b_mag",
)
.code("A7")
.source(GATED);

const ZERO_THRESHOLD: Meta = Meta::theorem(
    "sae/jump-relu-at-zero-is-relu",
    Subject::Sae,
    "a JumpReLU dictionary with all thresholds zero is a ReLU dictionary",
)
.code("A16")
.source("Rajamanoharan et al. (2024), Jumping Ahead, eq. 3");

pub(super) fn claims() -> Claims {
    let gated =
        || Exact::new(EXPORT).dims(&DIMS).names(&NAMES).input(|dims, s| Some(draw::dictionary(dims, 3, s)));
    Claims::new()
        .with(gated().admits(|drawn| draw::moderate(drawn) && off_the_gate(drawn)).margin(|drawn| {
            let sae = draw::sae(Gated::paper(), drawn);
            let exported = sae.to_jump_relu().expect("it is gated");
            1e-10 - draw::difference(&draw::codes(&sae, &drawn.4), &draw::codes(&exported, &drawn.4))
        }))
        .with(
            Exact::new(WITHOUT_MAXIMUM)
                .dims(&DIMS)
                .names(&NAMES)
                .input(|dims, s| Some(draw::dictionary(dims, 3, s)))
                .admits(|drawn| draw::moderate(drawn) && off_the_gate(drawn))
                .margin(|drawn| {
                    let ours = draw::codes(&draw::sae(Gated::paper(), drawn), &drawn.4);
                    1e-10 - draw::difference(&ours, &without_maximum(drawn))
                }),
        )
        .with(
            Exact::new(FROZEN)
                .dims(&DIMS)
                .names(&NAMES)
                .input(|dims, s| {
                    let mut drawn = draw::dictionary(dims, 3, s);
                    // Magnitudes that are always off: only the auxiliary term could give the decoder a gradient.
                    drawn.2.row_mut(1).mapv_inplace(|b| -1e4 - b.abs());
                    Some(drawn)
                })
                .admits(|drawn| {
                    let magnitudes_off = drawn.2.row(1).iter().all(|&b| b <= -1e4);
                    let mut rest = drawn.clone();
                    rest.2.row_mut(1).fill(0.0);
                    magnitudes_off && draw::moderate(&rest)
                })
                .margin(decoder_gradient),
        )
        .with(
            Exact::new(PENALTY)
                .dims(&DIMS)
                .names(&NAMES)
                .input(|dims, s| Some(draw::dictionary(dims, 3, s)))
                .admits(draw::moderate)
                .margin(|drawn| {
                    let sae = draw::sae(Gated::paper(), drawn);
                    let ((_, without), (_, with)) =
                        (draw::gradient(&sae, &drawn.4, 0.0), draw::gradient(&sae, &drawn.4, 3.0));
                    let [_, b_mag, r] = &without.per_latent[..] else { return f64::NAN };
                    -draw::difference(
                        b_mag.iter().chain(r),
                        with.per_latent[1].iter().chain(&with.per_latent[2]),
                    )
                }),
        )
        .with(
            Exact::new(ZERO_THRESHOLD)
                .dims(&DIMS)
                .names(&NAMES)
                .input(|dims, s| Some(draw::dictionary(dims, 1, s)))
                .admits(draw::moderate)
                .margin(|drawn| {
                    let relu = draw::sae(Relu::unit_norm(), drawn);
                    let mut with_threshold = drawn.clone();
                    let zeros = Array2::zeros((1, drawn.2.ncols()));
                    with_threshold.2.append(ndarray::Axis(0), zeros.view()).expect("the same width");
                    let jump = draw::sae(JumpRelu::with_input_bias(InputBias::Subtracted), &with_threshold);
                    -draw::difference(&draw::codes(&relu, &drawn.4), &draw::codes(&jump, &drawn.4))
                }),
        )
}

/// Computes π of every row and latent.
fn gates(drawn: &Drawn) -> Array2<f64> {
    let (w_enc, _, vectors, b_dec, x) = drawn;
    (x - b_dec).dot(&w_enc.t()) + vectors.row(0)
}

/// Returns true if no gate is so near zero that the two forms of the test may round to different sides.
fn off_the_gate(drawn: &Drawn) -> bool {
    gates(drawn).iter().all(|pi| pi.abs() > 1e-9)
}

/// Computes z·1[z > b_mag − e^r b_gate]; the test is made on π, which is the same off the gate.
fn without_maximum(drawn: &Drawn) -> Array2<f64> {
    let (w_enc, _, vectors, b_dec, x) = drawn;
    let z = (x - b_dec).dot(&w_enc.t()) * &vectors.row(2).mapv(f64::exp) + vectors.row(1);
    ndarray::Zip::from(&z).and(&gates(drawn)).map_collect(|&z, &pi| if pi > 0.0 { z } else { 0.0 })
}

/// Computes, with all magnitudes off, minus the decoder's gradient, which must be zero, and the bias gradient's known rest.
fn decoder_gradient(drawn: &Drawn) -> f64 {
    let (w_enc, _, _, b_dec, x) = drawn;
    let sae = draw::sae(Gated::paper(), drawn);
    let (_, gradient) = draw::gradient(&sae, x, 0.7);
    if gradient.w_dec.iter().any(|&g| g != 0.0) {
        return -gradient.w_dec.iter().map(|g| g.abs()).fold(0.0, larger);
    }
    // ∂b_dec = 2 (b_dec − mean x) − W_gateᵀ ∂π, and ∂b_gate is the mean of ∂π.
    let mean = x.mean_axis(ndarray::Axis(0)).expect("there are rows");
    let expected = (b_dec - &mean) * 2.0 - gradient.per_latent[0].dot(w_enc);
    1e-9 * (1.0 + expected.iter().fold(0.0, |m: f64, v| m.max(v.abs())))
        - draw::difference(&gradient.b_dec, &expected)
}
