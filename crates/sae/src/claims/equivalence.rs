//! Members that are other members in disguise.

use super::draw::{self, DIMS, Drawn, NAMES};
use crate::{
    BatchTopK, Crosscoder, Gated, InputBias, Levels, MatchingPursuit, Matryoshka, PNorm, PenaltyWeight,
    Ranking, Relu, Sae, Settings, TopK, Transcoder, Weights, Workspace, normalise,
};
use collimate_claims::{Claims, Exact, Meta, Subject, larger, smaller};
use ndarray::{Array2, Axis};

const ONE_ROW: Meta = Meta::theorem(
    "sae/batchtopk-of-one-row-is-topk",
    Subject::Sae,
    "on a batch of one row a BatchTopK dictionary is the TopK dictionary, in its codes, its loss and every gradient",
)
.source("Bussmann et al. (2024), section 3");

const DEPENDS: Meta = Meta::counterexample(
    "sae/batchtopk-codes-a-row-by-itself",
    Subject::Sae,
    "without a threshold, the code that a BatchTopK dictionary gives a row does not depend on the other rows of its batch",
)
.source("Bussmann et al. (2024), section 3");

const ONE_LEVEL: Meta = Meta::theorem(
    "sae/matryoshka-of-one-level-is-batchtopk",
    Subject::Sae,
    "a Matryoshka dictionary with the single level n is the BatchTopK dictionary, in its loss and every gradient",
)
.source("Bussmann et al. (2025), section 3");

const ONE_LAYER: Meta = Meta::theorem(
    "sae/crosscoder-of-one-layer-is-sae",
    Subject::Sae,
    "a crosscoder of one layer is the dictionary under the norm-weighted L1 penalty, in its loss and every gradient",
)
.source("Lindsey et al. (2024)");

const TO_ITSELF: Meta = Meta::theorem(
    "sae/transcoder-to-itself-is-sae",
    Subject::Sae,
    "a transcoder whose output is its input is the dictionary that does not subtract b_dec, in its loss and every gradient",
)
.source("Dunefsky et al. (2024), section 3");

const POWER_ONE: Meta = Meta::theorem(
    "sae/first-power-is-l1",
    Subject::Sae,
    "at p = 1 both p-norm penalties are L1, in their losses and every gradient",
)
.source("Karvonen et al. (2024), section 4");

const NO_PENALTY: Meta = Meta::theorem(
    "sae/no-penalty-is-topk-of-all",
    Subject::Sae,
    "at λ = 0 the L1 dictionary has the loss and the gradient of TopK with k = n",
)
.source("the limit λ → 0 of the loss");

const PERMUTED: Meta = Meta::theorem(
    "sae/latents-have-no-order",
    Subject::Sae,
    "reordering the latents of a gated dictionary reorders its codes and leaves its loss and its reconstruction",
)
.source("symmetry of the definition");

const THRESHOLD: Meta = Meta::theorem(
    "sae/batch-threshold-is-jump-relu",
    Subject::Sae,
    "a BatchTopK dictionary with a threshold t is the JumpReLU dictionary with θ = t, or t/‖d‖ where it ranks by norms",
)
.source("Bussmann et al. (2024), section 3; the folding of decoder norms");

const ABOVE: Meta = Meta::theorem(
    "sae/pursuit-shortens-what-is-left",
    Subject::Sae,
    "with atoms of length one, every latent that matching pursuit takes shortens what is left of the row",
)
.source("Mallat and Zhang (1993)");

/// Returns the largest difference of two losses and their gradients.
fn apart(a: &(crate::Losses, Weights<f64>), b: &(crate::Losses, Weights<f64>)) -> f64 {
    let of = |w: &Weights<f64>| {
        let all = w.w_enc.iter().chain(&w.w_dec).chain(&w.b_dec).chain(w.per_latent.iter().flatten());
        all.copied().collect::<Vec<f64>>()
    };
    let size = 1.0 + of(&a.1).iter().fold(a.0.total.abs(), |m, v| m.max(v.abs()));
    let loss = (a.0.total - b.0.total).abs();
    larger(draw::difference(&of(&a.1), &of(&b.1)), loss) / size
}

/// The largest difference that rounding may make between two orders of the same sum.
const ROUNDING: f64 = 1e-12;

fn not_subtracted() -> Relu {
    Relu { penalty: PenaltyWeight::UnitNorm, input_bias: InputBias::NotSubtracted }
}

/// Returns the draw with its decoder rows at length one.
fn unit(drawn: &Drawn) -> Drawn {
    let mut drawn = drawn.clone();
    drawn
        .1
        .rows_mut()
        .into_iter()
        .for_each(|mut row| normalise(row.as_slice_mut().expect("rows are contiguous")));
    drawn
}

pub(super) fn claims() -> Claims {
    let with = |meta| {
        Exact::new(meta)
            .dims(&DIMS)
            .names(&NAMES)
            .input(|dims, s| Some(draw::dictionary(dims, 1, s)))
            .admits(draw::moderate)
    };
    let k_of = |drawn: &Drawn| drawn.0.nrows().div_ceil(2);
    Claims::new()
        .with(with(ONE_ROW).margin(move |drawn| {
            let one = drawn.4.slice(ndarray::s![..1, ..]).to_owned();
            let top = draw::sae(TopK::new(k_of(drawn)), drawn);
            let batch = draw::sae(BatchTopK::new(k_of(drawn) as f64), drawn);
            let codes = draw::difference(&draw::codes(&top, &one), &draw::codes(&batch, &one));
            -larger(codes, apart(&draw::gradient(&top, &one, 0.0), &draw::gradient(&batch, &one, 0.0)))
        }))
        .with(with(DEPENDS).margin(|drawn| {
            let sae = draw::sae(BatchTopK::new(1.0), drawn);
            let together = draw::codes(&sae, &drawn.4);
            let alone = drawn.4.axis_chunks_iter(Axis(0), 1).map(|row| draw::codes(&sae, &row.to_owned()));
            let alone: Vec<f64> = alone.flatten().collect();
            -draw::difference(&together, &alone)
        }))
        .with(with(ONE_LEVEL).margin(move |drawn| {
            let batch = BatchTopK::new(k_of(drawn) as f64);
            let Ok(levels) = Levels::new(&[drawn.0.nrows() as u32]) else { return f64::NAN };
            let nested = draw::sae(Matryoshka { batch, levels }, drawn);
            let plain = draw::gradient(&draw::sae(batch, drawn), &drawn.4, 0.0);
            ROUNDING - apart(&plain, &draw::gradient(&nested, &drawn.4, 0.0))
        }))
        .with(with(ONE_LAYER).margin(|drawn| {
            let cross = draw::gradient(&draw::sae(Crosscoder::l1(1), drawn), &drawn.4, 0.7);
            let plain = draw::gradient(&draw::sae(Relu::norm_weighted(), drawn), &drawn.4, 0.7);
            ROUNDING - apart(&plain, &cross)
        }))
        .with(with(TO_ITSELF).margin(|drawn| {
            let sae = draw::sae(not_subtracted(), drawn);
            let weights = sae.weights().clone();
            let Ok(transcoder) = Transcoder::from_weights(not_subtracted(), weights, None) else {
                return f64::NAN;
            };
            let settings = Settings { penalty: 0.7, ..Settings::default() };
            let x = &drawn.4;
            let Ok((losses, gradient)) = transcoder.gradient(x, x, &settings, &mut Workspace::default())
            else {
                return f64::NAN;
            };
            ROUNDING - apart(&draw::gradient(&sae, x, 0.7), &(losses, gradient.weights))
        }))
        .with(with(POWER_ONE).margin(|drawn| {
            let l1 = draw::gradient(&draw::sae(Relu::unit_norm(), drawn), &drawn.4, 0.7);
            let forms = [crate::PNormForm::PowerSum, crate::PNormForm::Norm];
            let apart = forms.map(|form| {
                let norm = PNorm { form, ..PNorm::power_sum(1.0) };
                apart(&l1, &draw::gradient(&draw::sae(norm, drawn), &drawn.4, 0.7))
            });
            ROUNDING - larger(apart[0], apart[1])
        }))
        .with(with(NO_PENALTY).margin(|drawn| {
            let l1 = draw::gradient(&draw::sae(Relu::unit_norm(), drawn), &drawn.4, 0.0);
            let top = draw::gradient(&draw::sae(TopK::new(drawn.0.nrows()), drawn), &drawn.4, 0.0);
            ROUNDING - apart(&l1, &top)
        }))
        .with(
            Exact::new(PERMUTED)
                .dims(&DIMS)
                .names(&NAMES)
                .input(|dims, s| Some(draw::dictionary(dims, 3, s)))
                .admits(draw::moderate)
                .margin(|drawn| {
                    // Turning the latents round by one is enough: every order is made of such turns and swaps.
                    let n = drawn.0.nrows();
                    let order: Vec<usize> = (0..n).map(|i| (i + 1) % n).collect();
                    let mut turned = drawn.clone();
                    (turned.0, turned.1) = (drawn.0.select(Axis(0), &order), drawn.1.select(Axis(0), &order));
                    turned.2 = drawn.2.select(Axis(1), &order);
                    let (a, b) = (draw::sae(Gated::paper(), drawn), draw::sae(Gated::paper(), &turned));
                    let codes = draw::codes(&a, &drawn.4).select(Axis(1), &order);
                    let same = draw::difference(&codes, &draw::codes(&b, &drawn.4));
                    let (x, y) = (a.dictionary().reconstruct(&drawn.4), b.dictionary().reconstruct(&drawn.4));
                    let (Ok(x), Ok(y)) = (x, y) else { return f64::NAN };
                    let totals =
                        draw::losses(&a, &drawn.4, 0.7).total - draw::losses(&b, &drawn.4, 0.7).total;
                    let scale = 1.0 + x.iter().fold(0.0, |m: f64, v| m.max(v * v));
                    let apart = [same, draw::difference(&x, &y) / scale, totals.abs() / (scale * 100.0)];
                    ROUNDING * 10.0 - apart.into_iter().fold(0.0, larger)
                }),
        )
        .with(with(THRESHOLD).admits(|drawn| draw::moderate(drawn) && away(drawn)).margin(|drawn| {
            let mut worst: f64 = 0.0;
            for ranking in [Ranking::PreActivation, Ranking::TimesDecoderNorm] {
                let batch = BatchTopK { ranking, threshold: Some(LEVEL), ..BatchTopK::new(1.0) };
                let sae = draw::sae(batch, drawn);
                let Ok(jump) = sae.to_jump_relu() else { return f64::NAN };
                let codes = [&sae, &jump].map(|sae| draw::codes(sae, &drawn.4));
                worst = larger(worst, draw::difference(&codes[0], &codes[1]));
            }
            -worst
        }))
        .with(with(ABOVE).margin(|drawn| {
            let drawn = unit(drawn);
            let sae: Sae<f64> = draw::sae(TopK::new(1), &drawn);
            let left = |k: usize| {
                let weights = Weights { per_latent: Vec::new(), ..sae.weights().clone() };
                let pursuit = Sae::from_weights(MatchingPursuit::new(k), weights).ok()?;
                let left = &pursuit.dictionary().reconstruct(&drawn.4).ok()? - &drawn.4;
                Some(left.map_axis(Axis(1), |row| row.dot(&row)))
            };
            let mut margin = f64::INFINITY;
            for k in 1..3 {
                let (Some(before), Some(after)) = (left(k), left(k + 1)) else { return f64::NAN };
                margin = (&before - &after).iter().fold(margin, |m, &v| smaller(m, v + 1e-10));
            }
            margin
        }))
}

/// A threshold within the range of the draws.
const LEVEL: f64 = 0.5;

/// Returns true if no score is so near the threshold that t and t/‖d‖ may round to different sides, and no decoder row is short.
fn away(drawn: &Drawn) -> bool {
    let pre: Array2<f64> = (&drawn.4 - &drawn.3).dot(&drawn.0.t()) + drawn.2.row(0);
    let norms = drawn.1.map_axis(Axis(1), |row| row.dot(&row).sqrt());
    let far = |scores: &Array2<f64>| scores.iter().all(|s| (s - LEVEL).abs() > 1e-9);
    far(&pre) && far(&(&pre * &norms)) && norms.iter().all(|&norm| norm > 1e-3)
}
