//! The Gated paper's comparisons on planted data.

use super::comparison::{BELOW_NIGHTLY, Comparison, Contender, GATED, PROTOCOL, RELU, comparison, curve};
use crate::presets::Preset;
use crate::{CurveGap, Sums, difference_at_equal_l0, l0_ratio_at_equal_value};
use collimate_claims::figures::{Chart, Series};
use collimate_claims::{Claims, Context, Meta, Outcome, Study, Subject, Tier, Why, Zone};
use collimate_measure::{Interval, Moments};
use std::collections::BTreeMap;

const PAPER: &str =
    "Rajamanoharan et al. (2024), sections 4 and 5 (on language models; here on planted data)";

/// Returns an empirical claim of the comparison.
const fn meta(id: &'static str, statement: &'static str) -> Meta {
    Meta::empirical(id, Subject::Sae, statement, PROTOCOL)
        .source(PAPER)
        .tier(Tier::Standard)
        .below_nightly(BELOW_NIGHTLY)
}

const FEWER: Meta = meta(
    "sae/gated-needs-fewer-latents-on-planted-data",
    "on planted data a gated dictionary needs at most 0.85 times the active latents of a ReLU-L1 one half as wide again, at equal \
     explained variance (the paper finds about half; supported below 0.85, refuted above 0.8)",
)
.code("A10");

const RESCALED: Meta = meta(
    "sae/rescale-and-shift-resolves-shrinkage-on-planted-data",
    "on planted data rescale-and-shift brings a ReLU-L1 dictionary's |γ − 1| below 0.02 (refuted above 0.01)",
);

const NOT_ENOUGH: Meta = meta(
    "sae/rescale-and-shift-is-not-enough-on-planted-data",
    "on planted data rescale-and-shift makes up for at most half of what a ReLU-L1 dictionary explains less than a gated one of the \
     same width at equal L0: what the gated one is still ahead exceeds what was gained (supported above 0, refuted \
     below 0.001 of the variance)",
);

const FREEZING: Meta = meta(
    "sae/frozen-auxiliary-decoder-helps-on-planted-data",
    "on planted data, at equal L0, the gated dictionary whose auxiliary decoder is frozen explains more variance than the one whose \
     is trained (supported above 0, refuted below 0.001)",
);

const RESCALING: Meta = meta(
    "sae/magnitude-rescaling-helps-on-planted-data",
    "on planted data, at equal L0, the gated dictionary with r explains more variance than without (supported above 0, refuted \
     below 0.001)",
);

const TYING: Meta = meta(
    "sae/tied-gates-help-on-planted-data",
    "on planted data, at equal L0, the gated dictionary with tied weights explains more variance than with magnitude weights of its \
     own (supported above 0, refuted below 0.001)",
);

/// The sums of one seed.
type Seed = BTreeMap<Contender, Vec<Sums>>;

pub(super) fn claims() -> Claims {
    let ahead = |other: Preset| move |seed: &Seed| gap(seed, GATED, Contender::Preset(other));
    Claims::new()
        .with(study(FEWER, Zone::at_most(0.8, 0.05), |seed| {
            CurveGap::or_nan(l0_ratio_at_equal_value(
                &curve(&seed[&GATED]),
                &curve(&seed[&Contender::WideRelu]),
            ))
        }))
        .with(study(RESCALED, Zone::at_most(0.01, 0.01), |seed| {
            mean_bias(&seed[&Contender::RescaleAndShift])
        }))
        .with(study(NOT_ENOUGH, Zone::at_least(0.001, 0.001), |seed| {
            gap(seed, GATED, Contender::RescaleAndShift) - gap(seed, Contender::RescaleAndShift, RELU)
        }))
        .with(study(FREEZING, Zone::at_least(0.001, 0.001), ahead(Preset::GatedUnfrozen)))
        .with(study(RESCALING, Zone::at_least(0.001, 0.001), ahead(Preset::GatedWithoutR)))
        .with(study(TYING, Zone::at_least(0.001, 0.001), ahead(Preset::GatedUntied)))
}

/// Returns the variance that `a` explains more than `b` at equal L0.
fn gap(seed: &Seed, a: Contender, b: Contender) -> f64 {
    CurveGap::or_nan(difference_at_equal_l0(&curve(&seed[&a]), &curve(&seed[&b])))
}

/// Computes |γ − 1|, averaged over the λ.
fn mean_bias(sums: &[Sums]) -> f64 {
    sums.iter().map(|sums| (sums.gamma() - 1.0).abs()).sum::<f64>() / sums.len() as f64
}

fn study(meta: Meta, zone: Zone, statistic: impl Fn(&Seed) -> f64 + Send + Sync + 'static) -> Study {
    Study::new(meta).run(move |context| {
        comparison(context)
            .map_or_else(Outcome::inconclusive, |comparison| judge(context, &comparison, zone, &statistic))
    })
}

/// Judges the mean over seeds by its interval, and reports the numbers behind it.
fn judge(
    context: &Context,
    comparison: &Comparison,
    zone: Zone,
    statistic: &dyn Fn(&Seed) -> f64,
) -> Outcome {
    let mut values: Vec<f64> = comparison.seeds.iter().map(statistic).collect();
    let (moments, n) = (Moments::of(&values), values.len() as u64);
    let interval = match Interval::student(moments.mean(), moments.standard_error(), n, 0.99) {
        Ok(interval) => interval,
        Err(error) => return Outcome::inconclusive(Why::Invalid(error.to_string())),
    };
    values.sort_by(f64::total_cmp);
    let mut outcome = Outcome::new(zone.decide(&interval))
        .trials(n)
        .estimate(moments.mean())
        .margin(zone.margin(moments.mean()))
        .approximate_interval(interval)
        .note(format!(
            "median of {n} seeds {:.4}, from {:.4} to {:.4}; root seed {}",
            values[values.len() / 2],
            values[0],
            values[values.len() - 1],
            context.budget().seed
        ));
    for contender in Contender::ALL {
        outcome = outcome.note(line(comparison, contender));
    }
    outcome.figure(figure(comparison))
}

/// Returns a contender's curve, averaged over the seeds.
fn line(comparison: &Comparison, contender: Contender) -> String {
    let points: Vec<String> = (0..comparison.seeds[0][&contender].len())
        .map(|rung| {
            let mean = |of: fn(&Sums) -> f64| {
                comparison.seeds.iter().map(|seed| of(&seed[&contender][rung])).sum::<f64>()
                    / comparison.seeds.len() as f64
            };
            format!(
                "{:.2}: {:.4}, γ {:.3}",
                mean(Sums::l0),
                mean(Sums::explained_variance),
                mean(Sums::gamma)
            )
        })
        .collect();
    let rate = comparison.rates[&contender];
    format!("{} (learning rate {rate}), L0: explained variance, γ: {}", contender.name(), points.join("; "))
}

fn figure(comparison: &Comparison) -> collimate_claims::Figure {
    let mut chart = Chart::new(
        "Explained variance against L0 on planted data",
        "Means over the training seeds at each λ; 24 directions in 16 dimensions. Higher and further to the left is better.",
    )
    .axes("L0 (active latents per row)", "explained variance (global R²)")
    .log_x();
    for contender in Contender::ALL {
        let rungs = comparison.seeds[0][&contender].len();
        let n = comparison.seeds.len() as f64;
        let mean = |rung: usize, of: fn(&Sums) -> f64| {
            comparison.seeds.iter().map(|seed| of(&seed[&contender][rung])).sum::<f64>() / n
        };
        let mut points: Vec<(f64, f64)> =
            (0..rungs).map(|rung| (mean(rung, Sums::l0), mean(rung, Sums::explained_variance))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        chart = chart.with(Series::line(contender.name(), points));
    }
    chart.figure()
}
