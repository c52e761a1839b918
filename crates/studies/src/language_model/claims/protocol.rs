//! The sizes of the studies by tier, and the activations and the held-out text that several claims share.

use crate::error::StudyError;
use crate::language_model::capture::mean_row;
use crate::language_model::setup::LanguageModelSetup;
use crate::sequence::Sequence;
use crate::splicing::HeldOut;
use crate::text::{Split, jargon};
use collimate_claims::{Context, Tier};
use collimate_sae::presets::{Preset, Recipe};
use collimate_sae::shards::Shards;
use std::sync::Arc;

/// The amount of data and training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Protocol {
    pub(super) train_tokens: usize,
    pub(super) held_out_tokens: usize,
    pub(super) n_latents: usize,
    pub(super) steps: u64,
    pub(super) batch: usize,
    pub(super) learning_rate: f64,
    pub(super) seeds: u64,
    pub(super) replicates: usize,
}

/// The text about the runs below the nightly tier, shared by all claims.
pub(super) const BELOW_NIGHTLY: &str = "standard: 100,000 training tokens, dictionaries of twice the model's width, 400 \
    updates of 512 rows, one learning rate, two training seeds, 4,000 held-out tokens; nightly: all training documents \
    (about 310,000 tokens), four times the width, 2,000 updates of 1,024 rows, five seeds, 20,000 held-out tokens. The \
    standard form can tell large differences at an early stage of training, not what holds at convergence";

impl Protocol {
    pub(super) fn of(tier: Tier, width: usize) -> Self {
        if tier == Tier::Nightly {
            return Self {
                train_tokens: usize::MAX,
                held_out_tokens: 20_000,
                n_latents: 4 * width,
                steps: 2000,
                batch: 1024,
                learning_rate: 1e-3,
                seeds: 5,
                replicates: 2000,
            };
        }
        Self {
            train_tokens: 100_000,
            held_out_tokens: 4000,
            n_latents: 2 * width,
            steps: 400,
            batch: 512,
            learning_rate: 1e-3,
            seeds: 2,
            replicates: 2000,
        }
    }

    /// Returns λ or k: five values for each member, chosen so that their L0 overlap.
    pub(super) fn sparsities(preset: Preset) -> [f64; 5] {
        match preset {
            Preset::Relu => [0.8, 1.2, 1.8, 2.7, 4.0],
            Preset::TopK => [8.0, 16.0, 32.0, 64.0, 128.0],
            // Gated and its ablations.
            _ => [1.5, 2.5, 4.0, 6.0, 9.0],
        }
    }

    pub(super) fn recipe(&self, preset: Preset, sparsity: f64, seed: u64) -> Recipe {
        let Self { n_latents, steps, batch, learning_rate, .. } = *self;
        Recipe { preset, sparsity, seed, n_latents, steps, batch, learning_rate }
    }
}

/// The training activations and the held-out text of a protocol.
pub(super) struct Material {
    pub(super) shards: Shards,
    /// The held-out text, without losses where the model predicts no next token.
    pub(super) held_out: HeldOut,
}

/// Returns the material of this protocol, computed on first use.
pub(super) fn material(
    context: &Context,
    setup: &LanguageModelSetup,
    protocol: &Protocol,
) -> Result<Arc<Material>, StudyError> {
    context.once("activations behind layer 9", || {
        let [train, held_out] = jargon_sequences(setup, protocol.train_tokens, protocol.held_out_tokens)?;
        let total = train.len() as u64;
        let mut captured = setup.activations(&train, &[setup.residual()], &mut |done| {
            context.progress(done as u64, total, "capturing activations behind layer 9");
            !context.interrupted()
        })?;
        let shards = captured.remove(0);
        let held_out = if setup.check_predicts().is_ok() {
            context.progress(0, 1, "the model's own losses on held-out text");
            HeldOut::new(&setup.model, setup.residual(), held_out, &mean_row(&shards)?)?
        } else {
            HeldOut::rows_only(&setup.model, setup.residual(), held_out)?
        };
        Ok(Material { shards, held_out })
    })
}

/// Cuts the Jargon File into training and held-out sequences of at most these numbers of tokens, split by document.
///
/// The split is part of the protocol and independent of the seed of a run, so that the dictionaries can be stored.
pub(super) fn jargon_sequences(
    setup: &LanguageModelSetup,
    train_tokens: usize,
    held_out_tokens: usize,
) -> Result<[Vec<Sequence>; 2], StudyError> {
    let documents = jargon();
    let split = Split::by_document(documents.len(), 0.2, 0);
    let cut = |chosen: &[usize], limit| {
        setup.sequences(chosen.iter().map(|&i| (i as u32, documents[i].text.as_str())), limit)
    };
    Ok([cut(&split.train, train_tokens)?, cut(&split.held_out, held_out_tokens)?])
}
