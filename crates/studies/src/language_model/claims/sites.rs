//! The Gated paper's comparisons at the residual stream, the attention output and the MLP output.

use super::curves::{BELOW_NIGHTLY, Contender, Curves, GATED, PROTOCOL, Place, Point, Size, curves};
use super::study::study;
use crate::bootstrap::document_bootstrap;
use crate::error::StudyError;
use crate::language_model::setup::LanguageModelSetup;
use collimate_claims::figures::{Chart, Series};
use collimate_claims::{Claims, Context, Meta, Outcome, Subject, Tier, Zone};
use collimate_measure::Interval;
use collimate_sae::presets::Preset;
use collimate_sae::{CurveGap, SweepPoint, difference_at_equal_l0, l0_ratio_at_equal_value};
use std::sync::Arc;

const PAPER: &str = "Rajamanoharan et al. (2024), Improving Dictionary Learning with Gated Sparse Autoencoders, sections 4 and 5";

const fn meta(id: &'static str, statement: &'static str) -> Meta {
    Meta::empirical(id, Subject::Sae, statement, PROTOCOL)
        .source(PAPER)
        .tier(Tier::Standard)
        .below_nightly(BELOW_NIGHTLY)
}

macro_rules! at_place {
    ($place:literal, $words:literal) => {
        [
            meta(
                concat!("sae/gated-needs-fewer-latents-at-", $place),
                concat!(
                    "At ", $words, " a Gated dictionary needs at most 0.85 times the active latents of a ReLU-L1 dictionary that is 1.5 \
                     times as wide, at equal fidelity (the paper finds about half at many sites; supported below 0.85, refuted above 0.8)."
                ),
            ),
            meta(
                concat!("sae/gated-shrinks-less-at-", $place),
                concat!(
                    "At ", $words, ", at equal L0, |1 − γ| is smaller for Gated than for ReLU-L1 by at least 0.02 (supported above 0, \
                     refuted below 0.02)."
                ),
            ),
            meta(
                concat!("sae/rescale-and-shift-resolves-shrinkage-at-", $place),
                concat!(
                    "At ", $words, " rescale-and-shift brings the |1 − γ| of ReLU-L1, averaged over λ, below 0.02 (refuted above 0.01)."
                ),
            ),
            meta(
                concat!("sae/rescale-and-shift-is-not-enough-at-", $place),
                concat!(
                    "At ", $words, " rescale-and-shift closes at most half of the gap in fidelity between ReLU-L1 and Gated at equal L0: the \
                     gap that remains exceeds the gain (supported above 0, refuted below 0.001)."
                ),
            ),
        ]
    };
}

const RESIDUAL: [Meta; 4] = at_place!("residual", "the residual stream");
const ATTENTION: [Meta; 4] = at_place!("attention", "the attention output");
const MLP: [Meta; 4] = at_place!("mlp", "the MLP output");

const FREEZING: Meta = meta(
    "sae/frozen-auxiliary-decoder-helps-at-mlp",
    "At the MLP output, at equal L0, the Gated dictionary with a frozen auxiliary decoder has a higher fidelity than the one with a trained \
     auxiliary decoder (supported above 0, refuted below 0.001).",
);
const RESCALING: Meta = meta(
    "sae/magnitude-rescaling-helps-at-mlp",
    "At the MLP output, at equal L0, the Gated dictionary with r has a higher fidelity than without (supported above 0, refuted below \
     0.001).",
);
const TYING: Meta = meta(
    "sae/tied-gates-help-at-mlp",
    "At the MLP output, at equal L0, the Gated dictionary with tied weights has a higher fidelity than with separate magnitude \
     weights (supported above 0, refuted below 0.001).",
);

pub(super) fn claims() -> Claims {
    let mut all = Claims::new();
    for (place, metas) in [(Place::Residual, RESIDUAL), (Place::Attention, ATTENTION), (Place::Mlp, MLP)] {
        for (meta, question) in metas.into_iter().zip(Question::OF_A_PLACE) {
            // The shrinkage at the residual stream has a claim of its own, with more data.
            if (place, question) != (Place::Residual, Question::Shrinkage) {
                all = all.with(study(meta, move |context, setup| answer(context, setup, place, question)));
            }
        }
    }
    for (meta, ablation) in
        [(FREEZING, Preset::GatedUnfrozen), (RESCALING, Preset::GatedWithoutR), (TYING, Preset::GatedUntied)]
    {
        all = all.with(study(meta, move |context, setup| {
            answer(context, setup, Place::Mlp, Question::Ablation(ablation))
        }));
    }
    all
}

/// The question that a claim answers from the curves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Question {
    Latents,
    Shrinkage,
    RescaledShrinkage,
    RescaledFidelity,
    Ablation(Preset),
}

/// The dictionaries of one seed, by λ.
type Seed<'a> = &'a [Point];

impl Question {
    const OF_A_PLACE: [Self; 4] =
        [Self::Latents, Self::Shrinkage, Self::RescaledShrinkage, Self::RescaledFidelity];

    fn contenders(self) -> Vec<Contender> {
        match self {
            Self::Latents | Self::Shrinkage => vec![Contender::WideRelu, GATED],
            Self::RescaledShrinkage => vec![Contender::WideRelu, Contender::RescaleAndShift],
            Self::RescaledFidelity => vec![Contender::WideRelu, GATED, Contender::RescaleAndShift],
            Self::Ablation(other) => vec![GATED, Contender::Preset(other)],
        }
    }

    fn zone(self) -> Zone {
        match self {
            Self::Latents => Zone::at_most(0.8, 0.05),
            Self::Shrinkage => Zone::at_least(0.02, 0.02),
            Self::RescaledShrinkage => Zone::at_most(0.01, 0.01),
            Self::RescaledFidelity | Self::Ablation(_) => Zone::at_least(0.001, 0.001),
        }
    }

    /// Computes the number of one seed on drawn documents; the contenders are in the order of [`Question::contenders`].
    fn of_seed(self, size: &Size, of: &[Seed<'_>], drawn: &[usize]) -> f64 {
        let at = |seed: Seed<'_>| seed.iter().map(|point| point.at(size, drawn)).collect::<Vec<_>>();
        let bias = |seed: Seed<'_>| seed.iter().map(|point| point.bias(drawn)).collect::<Vec<SweepPoint>>();
        match self {
            Self::Latents => CurveGap::or_nan(l0_ratio_at_equal_value(&at(of[1]), &at(of[0]))).ln(),
            Self::Shrinkage => CurveGap::or_nan(difference_at_equal_l0(&bias(of[0]), &bias(of[1]))),
            Self::RescaledShrinkage => {
                let biases = bias(of[1]);
                biases.iter().map(|point| point.value).sum::<f64>() / biases.len() as f64
            }
            Self::RescaledFidelity => {
                let (relu, gated, rescaled) = (at(of[0]), at(of[1]), at(of[2]));
                CurveGap::or_nan(difference_at_equal_l0(&gated, &rescaled))
                    - CurveGap::or_nan(difference_at_equal_l0(&rescaled, &relu))
            }
            Self::Ablation(_) => CurveGap::or_nan(difference_at_equal_l0(&at(of[0]), &at(of[1]))),
        }
    }

    /// Converts the mean over seeds into the number of the claim.
    fn number(self, mean: f64) -> f64 {
        if self == Self::Latents { mean.exp() } else { mean }
    }
}

fn answer(
    context: &mut Context,
    setup: &'static LanguageModelSetup,
    place: Place,
    question: Question,
) -> Result<Outcome, StudyError> {
    let size = Size::of(context.tier(), setup.model.description().width);
    let contenders = question.contenders();
    let all: Vec<Arc<Curves>> = contenders
        .iter()
        .map(|&contender| curves(context, setup, place, contender))
        .collect::<Result<_, _>>()?;
    let (seeds, n) = (all[0].seeds.len(), all[0].seeds[0][0].documents());
    let of_seed = |seed: usize, drawn: &[usize]| {
        let points: Vec<Seed<'_>> = all.iter().map(|curves| &curves.seeds[seed][..]).collect();
        question.of_seed(&size, &points, drawn)
    };
    let whole: Vec<usize> = (0..n).collect();
    let each: Vec<f64> = (0..seeds).map(|seed| of_seed(seed, &whole)).collect();
    let estimate = question.number(each.iter().sum::<f64>() / seeds as f64);
    let mut choice = context.named_stream("seeds");
    let draws: Vec<Vec<usize>> =
        (0..size.replicates).map(|_| (0..seeds).map(|_| choice.below(seeds)).collect()).collect();
    let turn = std::cell::Cell::new(0);
    let statistic = |drawn: &[usize]| {
        let seeds = &draws[turn.replace(turn.get() + 1)];
        question.number(seeds.iter().map(|&seed| of_seed(seed, drawn)).sum::<f64>() / seeds.len() as f64)
    };
    let mut stream = context.named_stream("bootstrap");
    let replicates = document_bootstrap(n, size.replicates, &mut stream, statistic);
    let interval = Interval::percentile(&replicates, 0.99)?;
    let zone = question.zone();
    let mut outcome = Outcome::new(zone.decide(&interval))
        .trials(n as u64)
        .estimate(estimate)
        .margin(zone.margin(estimate))
        .approximate_interval(interval)
        .figure(figure(&size, place, &contenders, &all, &whole));
    if seeds > 1 {
        let each: Vec<String> = each.iter().map(|&value| format!("{:.4}", question.number(value))).collect();
        outcome = outcome.note(format!("by training seed: {}", each.join(", ")));
    }
    for (contender, curves) in contenders.iter().zip(&all) {
        for (seed, points) in curves.seeds.iter().enumerate() {
            for point in points {
                let rate = curves.learning_rate;
                let name = contender.name();
                outcome = outcome
                    .note(format!("{name}, seed {seed}, learning rate {rate}: {}", point.describe(&size)));
            }
        }
    }
    Ok(outcome)
}

fn figure(
    size: &Size,
    place: Place,
    contenders: &[Contender],
    all: &[Arc<Curves>],
    whole: &[usize],
) -> collimate_claims::Figure {
    let mut chart = Chart::new(
        "Fidelity against L0 on SmolLM2-135M-Instruct",
        format!("{}, held-out documents, seed 0. Higher and further to the left is better.", place.name()),
    )
    .axes("L0 (active latents per token)", size.fidelity())
    .log_x();
    for (contender, curves) in contenders.iter().zip(all) {
        let mut points: Vec<(f64, f64)> =
            curves.seeds[0].iter().map(|point| point.at(size, whole)).map(|p| (p.l0, p.value)).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart = chart.with(Series::line(contender.name(), points));
    }
    chart.figure()
}
