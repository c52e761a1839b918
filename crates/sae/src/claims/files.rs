//! The claims about conversions and foldings: they keep what a dictionary computes.

use super::draw::{self, Drawn, NAMES};
use crate::formats::{Dictionary, agreement, read, write_saelens};
use crate::{Gated, InputBias, JumpRelu, PenaltyWeight, Relu, SaeError, TopK, Variant};
use collimate_claims::{Claims, Exact, Meta, Subject, larger, smaller};
use collimate_stream::RngStream;
use ndarray::{Array2, Axis};
use std::sync::atomic::{AtomicU64, Ordering};

const ROUND_TRIP: Meta = Meta::theorem(
    "sae/saelens-files-come-back",
    Subject::Sae,
    "a ReLU, gated, JumpReLU or TopK dictionary written for SAELens and read again is the same dictionary, bit for bit",
)
.source("SAELens 6: cfg.json and sae_weights.safetensors");

const NORMS: Meta = Meta::theorem(
    "sae/decoder-norms-fold",
    Subject::Sae,
    "folding the decoder norms into the codes leaves support and reconstruction of a ReLU, gated or JumpReLU dictionary, and \
     unfolding gives the dictionary back",
)
.source("W_enc, biases and θ times ‖d‖, W_dec divided by it, r unchanged: positive homogeneity");

const BIAS: Meta = Meta::theorem(
    "sae/input-bias-folds",
    Subject::Sae,
    "W(x − b) + c = Wx + (c − Wb): a dictionary that subtracts b_dec is one that does not",
)
.source("the released weights of Gemma Scope are folded so: Lieberum et al. (2024), section 3.2");

const SCALE: Meta = Meta::theorem(
    "sae/input-scale-folds-into-matrices",
    Subject::Sae,
    "a dictionary for inputs scaled by s becomes one for the inputs themselves with the same codes: W_enc times s, W_dec and b_dec \
     divided by s",
)
.source("SAELens: fold_activation_norm_scaling_factor");

const SHAPES: Meta = Meta::counterexample(
    "sae/equal-shapes-are-a-proof-of-conversion",
    Subject::Sae,
    "two readings of a file that have the same shapes compute the same: a square decoder and its transpose reconstruct alike",
)
.source("a loader of SAELens 6.54.12 transposes the decoder of sparsify files");

const KINDS: [(&str, std::ops::RangeInclusive<usize>); 4] =
    [("d", 1..=5), ("n", 1..=8), ("rows", 1..=4), ("kind", 0..=3)];

/// The numbers, and which member they make.
type Case = (Drawn, usize);

fn case(dims: &[usize], stream: &mut RngStream) -> Option<Case> {
    Some((draw::dictionary(dims, 3, stream), dims[3]))
}

/// Returns the dictionary of a case; its thresholds are made positive.
fn of((drawn, kind): &Case) -> Option<Dictionary<f64>> {
    let (variant, vectors): (Variant, usize) = match kind {
        0 => (Relu { penalty: PenaltyWeight::DecoderNorm, input_bias: InputBias::Subtracted }.into(), 1),
        1 => (Gated::paper().into(), 3),
        2 => (JumpRelu::with_input_bias(InputBias::NotSubtracted).into(), 2),
        3 => (TopK::new(drawn.0.nrows().div_ceil(2)).into(), 1),
        _ => return None,
    };
    let mut drawn = drawn.clone();
    drawn.2 = drawn.2.slice(ndarray::s![..vectors, ..]).to_owned();
    if let Variant::JumpRelu(_) = variant {
        drawn.2.row_mut(1).mapv_inplace(f64::abs);
    }
    Some(draw::sae(variant, &drawn).into_dictionary())
}

/// Returns true for numbers of moderate size, a member that exists, and decoder rows that have a direction.
fn admitted(case: &Case) -> bool {
    let long = case.0.1.rows().into_iter().all(|row| row.dot(&row) > 1e-4);
    draw::moderate(&case.0) && long && case.1 <= 3
}

fn exact(meta: Meta) -> Exact<Case> {
    Exact::new(meta)
        .dims(&KINDS)
        .names(&["(w_enc, w_dec, vectors, b_dec, x)", "kind"])
        .input(case)
        .admits(admitted)
}

/// A folder of its own in the system's temporary one, removed with all it holds.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("collimate-claim-{}-{number}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed lies in the temporary folder and is small.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes a dictionary and reads it again.
fn there_and_back(dictionary: &Dictionary<f64>) -> Result<Dictionary<f64>, SaeError> {
    let folder = Folder::new();
    write_saelens(dictionary, &folder.0, &[("hook_name", "blocks.3.hook_resid_post")])?;
    Ok(read::<f64>(&folder.0)?.dictionary)
}

/// Returns the difference of two dictionaries on the rows of a case; infinite if a code is active in one only.
fn apart(a: &Dictionary<f64>, b: &Dictionary<f64>, x: &Array2<f64>) -> f64 {
    agreement(a, b, x).map_or(f64::NAN, |found| {
        if found.support > 0 {
            f64::INFINITY
        } else {
            larger(smaller(found.relative, found.reconstruction), found.codes)
        }
    })
}

const ROUNDING: f64 = 1e-11;

pub(super) fn claims() -> Claims {
    Claims::new()
        .with(exact(ROUND_TRIP).inputs([40, 200, 1000]).margin(|case| {
            let Some(dictionary) = of(case) else { return f64::NAN };
            match there_and_back(&dictionary) {
                Ok(back) if back == dictionary => 0.0,
                Ok(_) => -1.0,
                Err(_) => f64::NAN,
            }
        }))
        .with(exact(NORMS).admits(|case| admitted(case) && case.1 < 3 && clear(case)).margin(|case| {
            let Some(dictionary) = of(case) else { return f64::NAN };
            let norms = dictionary.decoder_norms();
            let Ok(folded) = dictionary.clone().fold_decoder_norms() else { return f64::NAN };
            let Ok(back) = folded.clone().rescale_latents(&norms.mapv(|s| 1.0 / s)) else { return f64::NAN };
            let unit = folded.decoder_norms().iter().map(|s| (s - 1.0).abs()).fold(0.0, larger);
            let off = [
                unit,
                draw::difference(back.encoder(), dictionary.encoder()),
                draw::difference(back.decoder(), dictionary.decoder()),
                apart(&dictionary, &folded, &case.0.4),
                apart(&dictionary, &back, &case.0.4),
            ];
            ROUNDING * 100.0 - off.into_iter().fold(0.0, larger)
        }))
        .with(exact(BIAS).admits(|case| admitted(case) && clear(case)).margin(|case| {
            let Some(dictionary) = of(case) else { return f64::NAN };
            let folded = dictionary.clone().fold_input_bias();
            if folded.input_bias() != InputBias::NotSubtracted {
                return -1.0;
            }
            ROUNDING * 100.0 - apart(&dictionary, &folded, &case.0.4)
        }))
        .with(exact(SCALE).margin(|case| {
            // A power of two: scaling rounds nothing, so no gate can change sides.
            let s = 8.0;
            let Some(dictionary) = of(case) else { return f64::NAN };
            let Ok(folded) = dictionary.clone().fold_input_scale(s) else { return f64::NAN };
            let x = &case.0.4;
            let (Ok(scaled), Ok(raw)) = (dictionary.forward(&(x * s)), folded.forward(x)) else {
                return f64::NAN;
            };
            let codes = draw::difference(&scaled.codes.to_dense(), &raw.codes.to_dense());
            -larger(codes, draw::difference(&(scaled.reconstruction / s), &raw.reconstruction))
        }))
        .with(
            Exact::new(SHAPES)
                .dims(&[("d", 1..=4), ("rows", 1..=3)])
                .names(&NAMES)
                .input(|dims, stream| Some(draw::dictionary(&[dims[0], dims[0], dims[1]], 1, stream)))
                .admits(draw::moderate)
                .margin(|drawn| {
                    let turned = (
                        drawn.0.clone(),
                        drawn.1.t().to_owned(),
                        drawn.2.clone(),
                        drawn.3.clone(),
                        drawn.4.clone(),
                    );
                    let read = |drawn| draw::sae(Relu::norm_weighted(), drawn).into_dictionary();
                    agreement(&read(drawn), &read(&turned), &drawn.4)
                        .map_or(f64::NAN, |found| 1e-9 - found.reconstruction)
                }),
        )
}

/// Returns true if no score lies so near its threshold that rounding may move it to the other side.
fn clear(case: &Case) -> bool {
    let (w_enc, _, vectors, b_dec, x) = &case.0;
    let moved = if case.1 == 2 { x.clone() } else { x - b_dec };
    let products = moved.dot(&w_enc.t());
    let far = |threshold: &dyn Fn(usize) -> f64, bias: usize| {
        products.axis_iter(Axis(0)).all(|row| {
            let scores = row.iter().zip(vectors.row(bias)).map(|(p, b)| p + b);
            scores.enumerate().all(|(i, score)| (score - threshold(i)).abs() > 1e-9)
        })
    };
    let zero = |_: usize| 0.0;
    match case.1 {
        2 => far(&zero, 0) && far(&|i| vectors[[1, i]].abs(), 0),
        3 => {
            // The order of the scores must not hang on rounding either.
            let apart = products.axis_iter(Axis(0)).all(|row| {
                let mut scores: Vec<f64> = row.iter().zip(vectors.row(0)).map(|(p, b)| p + b).collect();
                scores.sort_by(f64::total_cmp);
                scores.windows(2).all(|w| w[1] - w[0] > 1e-9)
            });
            apart && far(&zero, 0)
        }
        _ => far(&zero, 0),
    }
}
