//! How many latents a TopK dictionary uses.

use super::draw::{self, DIMS, NAMES};
use crate::{Gated, Relu, TopK};
use collimate_claims::{Claims, Exact, Meta, Subject, larger, smaller};

const SOURCE: &str = "Gao et al. (2024), section 2.3";

const AT_MOST: Meta = Meta::theorem(
    "sae/topk-uses-at-most-k",
    Subject::Sae,
    "a row of a TopK dictionary has at most k active latents, and they are its k largest pre-activations",
)
.code("A14")
.source(SOURCE);

const EXACTLY: Meta = Meta::counterexample(
    "sae/topk-uses-exactly-k",
    Subject::Sae,
    "a row of a TopK dictionary with a ReLU has exactly k active latents",
)
.code("A15")
.source(SOURCE);

const ALL: Meta = Meta::theorem(
    "sae/topk-of-all-is-relu",
    Subject::Sae,
    "a TopK dictionary with k = n is a ReLU dictionary",
)
.source(SOURCE);

const SCALE: Meta = Meta::theorem(
    "sae/input-scale-folds-into-biases",
    Subject::Sae,
    "a gated dictionary for inputs scaled by s is, in the units of the inputs, the one with its biases divided by s",
)
.source("positive homogeneity; the folding that Rajamanoharan et al. (2024) do after training");

pub(super) fn claims() -> Claims {
    let k_of = |n: usize| n.div_ceil(2);
    let with =
        |meta| Exact::new(meta).dims(&DIMS).names(&NAMES).input(|dims, s| Some(draw::dictionary(dims, 1, s)));
    Claims::new()
        .with(with(AT_MOST).admits(draw::moderate).margin(move |drawn| {
            let k = k_of(drawn.0.nrows());
            let pre = (&drawn.4 - &drawn.3).dot(&drawn.0.t()) + drawn.2.row(0);
            let codes = draw::codes(&draw::sae(TopK::new(k), drawn), &drawn.4);
            let mut margin: f64 = 0.0;
            for (codes, pre) in codes.rows().into_iter().zip(pre.rows()) {
                let active = codes.iter().filter(|f| **f != 0.0).count();
                margin = margin.min(k as f64 - active as f64);
                let smallest = codes.iter().filter(|f| **f != 0.0).copied().fold(f64::INFINITY, smaller);
                let left_out = codes.iter().zip(pre).filter(|(f, _)| **f == 0.0).map(|(_, pre)| *pre);
                // With room left, only what is not positive may be left out; otherwise only what is smaller.
                let bound = if active < k { 0.0 } else { smallest };
                margin = left_out.fold(margin, |m, pre| smaller(m, bound - pre + 1e-12));
            }
            margin
        }))
        .with(with(EXACTLY).admits(|drawn| draw::moderate(drawn) && no_zero(drawn)).margin(move |drawn| {
            let k = k_of(drawn.0.nrows());
            let codes = draw::codes(&draw::sae(TopK::new(k), drawn), &drawn.4);
            let counts = codes.rows().into_iter().map(|row| row.iter().filter(|f| **f != 0.0).count());
            -counts.map(|count| (count as f64 - k as f64).abs()).fold(0.0, f64::max)
        }))
        .with(with(ALL).admits(draw::moderate).margin(|drawn| {
            let top = draw::sae(TopK::new(drawn.0.nrows()), drawn);
            let relu = draw::sae(Relu::unit_norm(), drawn);
            -draw::difference(&draw::codes(&top, &drawn.4), &draw::codes(&relu, &drawn.4))
        }))
        .with(
            Exact::new(SCALE)
                .dims(&DIMS)
                .names(&NAMES)
                .input(|dims, s| Some(draw::dictionary(dims, 3, s)))
                .admits(draw::moderate)
                .margin(|drawn| {
                    // A power of two, so that scaling rounds nothing and no gate can change sides.
                    let s = 8.0;
                    let sae = draw::sae(Gated::paper(), drawn);
                    let folded = sae.with_input_scale(s).expect("positive");
                    let (scaled, raw) = (draw::codes(&sae, &(&drawn.4 * s)), draw::codes(&folded, &drawn.4));
                    let outputs = (
                        sae.dictionary().reconstruct(&(&drawn.4 * s)),
                        folded.dictionary().reconstruct(&drawn.4),
                    );
                    let (Ok(a), Ok(b)) = outputs else { return f64::NAN };
                    -larger(draw::difference(&(scaled / s), &raw), draw::difference(&(a / s), &b))
                }),
        )
}

/// Returns true if no pre-activation is zero: a zero is inactive by every count.
fn no_zero(drawn: &draw::Drawn) -> bool {
    let pre = (&drawn.4 - &drawn.3).dot(&drawn.0.t()) + drawn.2.row(0);
    pre.iter().all(|v| v.abs() > 1e-9)
}
