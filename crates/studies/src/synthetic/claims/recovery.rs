//! Recovery of a small world by each preset, the shrinkage of its codes, and whether a lower loss means better recovery.

use crate::error::StudyError;
use crate::synthetic::rows::SyntheticRows;
use crate::synthetic::training::{Measured, SyntheticTraining, TRAINED};
use collimate_claims::{Claims, Context, Meta, Outcome, Study, Subject, Tier};
use collimate_sae::BiasStart;
use collimate_sae::presets::Preset;
use collimate_superposition::WorldConfig;

const SYNTH: &str = "after SynthSAEBench (2026), at a 256th of its size";

const RECOVERS: Meta = Meta::empirical(
    "sae/members-recover-a-small-world",
    Subject::Sae,
    "Every member of the family recovers the directions of a small world better than random directions do: its MCC is higher by at least 0.15.",
    "The world has 64 features in 32 dimensions, 56 of them in 8 trees of 3 levels with exclusive siblings, Zipf frequencies, and correlations of rank 5. \
     7 members at one sparsity each have 64 latents and 1,500 updates of 256 rows of 30,000. The MCC is compared with the MCC of 64 random directions. The \
     worst member decides. Sparsities and bound were chosen on other seeds.",
)
.source(SYNTH)
.tier(Tier::Standard);

const SHRINKS: Meta = Meta::empirical(
    "sae/gated-shrinks-less-in-a-world",
    Subject::Sae,
    "On a small world the reconstructions of an L1 dictionary are too short by a factor γ < 0.97. The reconstructions of a Gated dictionary are not: |γ − 1| < 0.02.",
    "World and dictionaries are those of sae/members-recover-a-small-world; γ is measured on 5,000 held-out rows.",
)
.code("A9")
.source("Rajamanoharan et al. (2024), section 4.2, on language models")
.tier(Tier::Standard);

const LOSS: Meta = Meta::counterexample(
    "sae/lower-loss-is-better-recovery",
    Subject::Sae,
    "Among two dictionaries of one size on one world, the dictionary that reconstructs better has recovered more of the features.",
)
.code("A22")
.source("SynthSAEBench (2026): matching pursuit reconstructs best and recovers less")
.protocol(
    "The world is the one of sae/members-recover-a-small-world. TopK has k = 2, 4, 8 and 16, matching pursuit has k = 2, 4 and 8. Refuted by a pair in \
     which the dictionary with the lower squared error has an MCC that is lower by more than 0.02.",
)
.tier(Tier::Standard);

pub(super) fn claims() -> Claims {
    Claims::new()
        .with(Study::new(RECOVERS).run(|context| StudyError::into_outcome(recovers(context))))
        .with(Study::new(SHRINKS).run(|context| StudyError::into_outcome(shrinks(context))))
        .with(Study::new(LOSS).run(|context| StudyError::into_outcome(loss(context))))
}

/// Draws the small world of all claims in this folder.
pub(super) fn small_world(context: &Context) -> Result<SyntheticRows, StudyError> {
    let config = WorldConfig {
        features: 64,
        width: 32,
        highest: 0.3,
        lowest: 0.02,
        roots: 8,
        branching: 2,
        levels: 3,
        causes: 5,
        ..WorldConfig::default()
    };
    SyntheticRows::of_world(config, 30_000, 5000, &context.named_stream("small world"))
}

/// Returns λ, or the number of active latents.
fn sparsity(preset: Preset) -> f64 {
    match preset {
        Preset::Relu => 0.5,
        Preset::Gated => 2.0,
        Preset::JumpReluTanh => 0.3,
        _ => 3.0,
    }
}

fn trained(
    context: &mut Context,
    synthetic: &SyntheticRows,
    preset: Preset,
    sparsity: f64,
) -> Result<Measured, StudyError> {
    if context.interrupted() {
        return Err(StudyError::Interrupted);
    }
    let seed = context.named_stream("dictionaries").bits();
    let recipe =
        SyntheticTraining { preset, n_latents: 64, sparsity, steps: 1500, bias_start: BiasStart::Mean, seed };
    Measured::of(&recipe.train(synthetic)?.model, synthetic, seed)
}

/// Formats one line of a table.
fn line(preset: Preset, sparsity: f64, measured: &Measured) -> String {
    let [mcc, chance] = measured.against_null("MCC");
    let [found, by_chance] = measured.against_null("MMCS (truth to dictionary)");
    let sums = &measured.evaluation.sums;
    format!(
        "{} at {sparsity}: MCC {mcc:.3} (chance {chance:.3}), MMCS of the truth {found:.3} (chance {by_chance:.3}), L0 {:.2}, γ {:.3}, \
         explained variance {:.3}",
        preset.name(),
        sums.l0(),
        sums.gamma(),
        sums.explained_variance()
    )
}

fn recovers(context: &mut Context) -> Result<Outcome, StudyError> {
    let synthetic = small_world(context)?;
    let mut worst = f64::INFINITY;
    let mut notes = Vec::new();
    for (done, preset) in TRAINED.into_iter().enumerate() {
        context.progress(done as u64, TRAINED.len() as u64, preset.name());
        let measured = trained(context, &synthetic, preset, sparsity(preset))?;
        let [mcc, chance] = measured.against_null("MCC");
        worst = worst.min(mcc - chance);
        notes.push(line(preset, sparsity(preset), &measured));
    }
    let outcome = Outcome::of_margin(worst - 0.15).estimate(worst).trials(TRAINED.len() as u64);
    Ok(notes.into_iter().fold(outcome, Outcome::note))
}

fn shrinks(context: &mut Context) -> Result<Outcome, StudyError> {
    let synthetic = small_world(context)?;
    let mut gamma = Vec::new();
    let mut notes = Vec::new();
    for preset in [Preset::Relu, Preset::Gated] {
        let measured = trained(context, &synthetic, preset, sparsity(preset))?;
        gamma.push(measured.evaluation.sums.gamma());
        notes.push(line(preset, sparsity(preset), &measured));
    }
    let margin = (0.97 - gamma[0]).min(0.02 - (gamma[1] - 1.0).abs());
    Ok(notes.into_iter().fold(Outcome::of_margin(margin), Outcome::note))
}

fn loss(context: &mut Context) -> Result<Outcome, StudyError> {
    let synthetic = small_world(context)?;
    let tried = [2.0, 4.0, 8.0, 16.0].map(|k| (Preset::TopK, k));
    let mut all = Vec::new();
    for (preset, k) in tried.into_iter().chain([2.0, 4.0, 8.0].map(|k| (Preset::MatchingPursuit, k))) {
        let measured = trained(context, &synthetic, preset, k)?;
        let mcc = measured.against_null("MCC")[0];
        all.push((measured.evaluation.sums.mse(), mcc, line(preset, k, &measured)));
    }
    // The pair with the lower loss and the largest loss of recovery.
    let mut worst = (f64::INFINITY, String::new());
    for better in &all {
        for other in all.iter().filter(|other| other.0 > better.0) {
            let margin = 0.02 + better.1 - other.1;
            if margin < worst.0 {
                worst = (
                    margin,
                    format!(
                        "squared error {:.3}: {}\nsquared error {:.3}: {}",
                        better.0, better.2, other.0, other.2
                    ),
                );
            }
        }
    }
    let outcome = Outcome::of_margin(worst.0).trials(all.len() as u64);
    let outcome = if worst.0 < 0.0 { outcome.counterexample(worst.1) } else { outcome };
    Ok(all
        .into_iter()
        .fold(outcome, |outcome, (mse, _, line)| outcome.note(format!("squared error {mse:.3}; {line}"))))
}
