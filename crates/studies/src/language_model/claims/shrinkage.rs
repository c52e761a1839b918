//! The shrinkage of L1, and its absence from Gated dictionaries.

use super::comparison::drawn_l0_and_gamma;
use super::protocol::{BELOW_NIGHTLY, Protocol, material};
use super::study::study;
use crate::bootstrap::document_bootstrap;
use crate::error::StudyError;
use crate::language_model::setup::LanguageModelSetup;
use collimate_claims::figures::{Chart, Series};
use collimate_claims::{Claims, Context, Meta, Outcome, Subject, Tier, Zone};
use collimate_measure::Interval;
use collimate_sae::presets::Preset;
use collimate_sae::{CurveGap, DocumentSums, SweepPoint, difference_at_equal_l0};

const SHRINKS: Meta = Meta::empirical(
    "sae/gated-shrinks-less-than-l1",
    Subject::Sae,
    "On SmolLM2, at equal L0, the reconstructions of Gated dictionaries are less biased in length than those of ReLU-L1: \
     |1 − γ| is smaller by at least 0.02.",
    "γ = Σ‖x̂‖²/Σx̂·x over held-out tokens (a ratio of sums), position 0 dropped. Dictionaries on the residual stream behind \
     layer 9 of SmolLM2-135M-Instruct, five sparsities for each member and training seed. |1 − γ| is interpolated linearly in log L0 \
     and the mean difference L1 − Gated is taken over the L0 that both reach, then averaged over the training seeds. 99 % \
     percentile interval by bootstrap over held-out documents (approximate); the seeds' own differences are listed. Supported \
     above 0, refuted below 0.02.",
)
.source("Rajamanoharan et al. (2024), section 4.2 and eq. 9")
.tier(Tier::Standard)
.below_nightly(BELOW_NIGHTLY);

pub(super) fn claims() -> Claims {
    Claims::new().with(study(SHRINKS, shrinks))
}

/// The reconstruction sums by document, for each sparsity of one member and seed.
type Curve = Vec<DocumentSums>;

fn bias(curve: &Curve, drawn: &[usize]) -> Vec<SweepPoint> {
    let at = |documents: &DocumentSums| {
        let (l0, gamma) = drawn_l0_and_gamma(documents, drawn);
        SweepPoint { l0, value: (1.0 - gamma).abs() }
    };
    curve.iter().map(at).collect()
}

fn shrinks(context: &mut Context, setup: &'static LanguageModelSetup) -> Result<Outcome, StudyError> {
    let protocol = Protocol::of(context.tier(), setup.model.description().width);
    let material = material(context, setup, &protocol)?;
    let members = [Preset::Relu, Preset::Gated];
    let total = protocol.seeds * 2 * 5;
    let mut pairs: Vec<[Curve; 2]> = Vec::new();
    for seed in 0..protocol.seeds {
        let mut pair = [Curve::new(), Curve::new()];
        for (member, curve) in members.iter().zip(&mut pair) {
            for sparsity in Protocol::sparsities(*member) {
                if context.interrupted() {
                    return Err(StudyError::Interrupted);
                }
                let recipe = protocol.recipe(*member, sparsity, seed);
                let done = seed * 10 + u64::from(*member == Preset::Gated) * 5 + curve.len() as u64;
                context.progress(done, total, &format!("{} at {sparsity}, seed {seed}", member.name()));
                let sae =
                    setup.dictionary(&material.shards, &recipe, context.interrupt_flag(), &mut |_| ())?;
                curve.push(material.held_out.reconstruction(sae.dictionary())?);
            }
        }
        pairs.push(pair);
    }
    let n = pairs[0][0][0].len();
    let of_seed = |[relu, gated]: &[Curve; 2], drawn: &[usize]| {
        CurveGap::or_nan(difference_at_equal_l0(&bias(relu, drawn), &bias(gated, drawn)))
    };
    let mean =
        |drawn: &[usize]| pairs.iter().map(|pair| of_seed(pair, drawn)).sum::<f64>() / pairs.len() as f64;
    let whole: Vec<usize> = (0..n).collect();
    let replicates = document_bootstrap(n, protocol.replicates, &mut context.named_stream("bootstrap"), mean);
    let interval = Interval::percentile(&replicates, 0.99)?;
    let zone = Zone::at_least(0.02, 0.02);
    let estimate = mean(&whole);
    let mut chart = Chart::new(
        "Relative reconstruction bias γ against L0",
        "Below one the reconstructions are too short: shrinkage. One curve for each training seed.",
    )
    .axes("L0 (active latents per token)", "γ")
    .log_x()
    .reference(1.0, "no bias");
    let mut outcome = Outcome::new(zone.decide(&interval))
        .trials(n as u64)
        .estimate(estimate)
        .margin(zone.margin(estimate))
        .approximate_interval(interval);
    for (seed, pair) in pairs.iter().enumerate() {
        outcome =
            outcome.note(format!("seed {seed}: mean difference of |1 − γ| {:.4}", of_seed(pair, &whole)));
        for (member, curve) in members.iter().zip(pair) {
            let mut points: Vec<(f64, f64)> = curve.iter().map(|d| drawn_l0_and_gamma(d, &whole)).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let listed: Vec<String> =
                points.iter().map(|(l0, gamma)| format!("{gamma:.3} at {l0:.1}")).collect();
            outcome = outcome.note(format!("{} seed {seed}: γ {}", member.name(), listed.join(", ")));
            chart = chart.with(Series::line(format!("{}, seed {seed}", member.name()), points));
        }
    }
    Ok(outcome.figure(chart.figure()))
}
