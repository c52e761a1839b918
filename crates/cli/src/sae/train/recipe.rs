//! The recipe of a training run: the member of the family, its sparsity, and the steps.

use anyhow::ensure;
use collimate_sae::presets::{self, Preset};
use collimate_sae::{TargetL0, ThresholdEstimate, TrainingConfig, Variant};

/// The recipe of a training run.
#[derive(clap::Args)]
pub(super) struct Recipe {
    /// The member of the family.
    #[arg(long, value_enum)]
    variant: Member,
    /// The number of latents.
    #[arg(long, value_name = "N")]
    pub(super) latents: usize,
    /// The number of active latents in a row (topk, abstopk, pursuit), or on average over a batch (batchtopk, matryoshka, and
    /// crosscoder without --l1), where it may be a fraction such as 0.5.
    #[arg(long, allow_negative_numbers = true, required_if_eq_any([("variant", "topk"), ("variant", "batchtopk"), ("variant", "matryoshka"), ("variant", "abstopk"), ("variant", "pursuit")]))]
    k: Option<f64>,
    /// The factor λ of the sparsity penalty, beside a loss that sums over dimensions. Inputs are scaled to E‖x‖ = √d (relu, pnorm,
    /// gated, crosscoder) or to E‖x‖² = 1 (jumprelu, whose bandwidth of 0.001 belongs to that scale).
    #[arg(long, value_name = "LAMBDA", allow_negative_numbers = true, required_if_eq_any([("variant", "relu"), ("variant", "pnorm"), ("variant", "gated"), ("variant", "jumprelu")]))]
    l1: Option<f64>,
    /// Change λ during the run, starting at --l1, until L0 latents are active in a row on average.
    #[arg(long, value_name = "L0", conflicts_with = "k", allow_negative_numbers = true)]
    target_l0: Option<f64>,
    /// The number of updates.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) steps: u64,
    /// The number of rows in a batch.
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub(super) batch: usize,
    /// The highest learning rate of the schedule.
    #[arg(long, value_name = "RATE", default_value_t = 3e-4, allow_negative_numbers = true)]
    learning_rate: f64,
    /// The seed of the initial weights and of the order of the rows.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) seed: u64,
}

/// The members of the family.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Member {
    /// ReLU under an L1 penalty.
    Relu,
    /// ReLU under the penalty Σ fᵖ; p falls from 1 to 0.2 in the middle of the run.
    Pnorm,
    /// Gated: one path decides whether a latent is active, another computes its code.
    Gated,
    /// The k largest pre-activations of each row.
    Topk,
    /// The largest pre-activations of a batch, k for each row on average.
    Batchtopk,
    /// BatchTopK whose first eighth, quarter and half of the latents must each reconstruct by themselves.
    Matryoshka,
    /// ReLU with a trained threshold for each latent.
    Jumprelu,
    /// The k pre-activations of each row that are largest in magnitude, with their signs.
    Abstopk,
    /// Matching pursuit: k latents one after another, each chosen by the remaining residual.
    Pursuit,
    /// One code for several --activations, under a penalty with --l1 or with the largest of a batch with --k.
    Crosscoder,
}

impl Member {
    /// Returns the preset of the member, for rows of this number of layers.
    fn preset(self, layers: usize, selects: bool) -> Preset {
        match self {
            Self::Relu => Preset::Relu,
            Self::Pnorm => Preset::PNorm,
            Self::Gated => Preset::Gated,
            Self::Topk => Preset::TopK,
            Self::Batchtopk => Preset::BatchTopK,
            Self::Matryoshka => Preset::Matryoshka,
            Self::Jumprelu => Preset::JumpRelu,
            Self::Abstopk => Preset::AbsTopK,
            Self::Pursuit => Preset::MatchingPursuit,
            Self::Crosscoder if selects => Preset::CrosscoderBatchTopK { layers },
            Self::Crosscoder => Preset::Crosscoder { layers },
        }
    }
}

impl Recipe {
    /// Returns an error if the recipe does not fit rows of these widths, or a target.
    pub(super) fn check(&self, widths: &[usize], has_target: bool) -> anyhow::Result<()> {
        let member = self.variant;
        if let Some(l0) = self.target_l0 {
            ensure!(
                l0 > 0.0 && l0 <= self.latents as f64,
                "--target-l0 must be above 0 and at most --latents, but is {l0}"
            );
            ensure!(
                self.l1.is_none_or(|l1| l1 != 0.0),
                "--target-l0 changes λ by a factor, so --l1 must not be 0; give --l1 a small positive value"
            );
        }
        if member == Member::Crosscoder {
            ensure!(
                self.k.is_some() != self.l1.is_some(),
                "a crosscoder takes either --l1 (a penalty) or --k (the largest of a batch)"
            );
            ensure!(!has_target, "a crosscoder reconstructs its input; it takes no --target");
            ensure!(widths.len() > 1, "a crosscoder needs --activations at least twice, once for each layer");
            ensure!(
                widths.iter().all(|&width| width == widths[0]),
                "the layers of a crosscoder must have the same width, but their widths are {widths:?}"
            );
            return Ok(());
        }
        ensure!(
            widths.len() == 1,
            "several --activations are the layers of a crosscoder; choose --variant crosscoder, or give one place"
        );
        if member.preset(1, false).selects() {
            ensure!(self.l1.is_none(), "this --variant keeps --k latents; it takes no --l1");
            let whole = matches!(member, Member::Topk | Member::Abstopk | Member::Pursuit);
            ensure!(
                !whole || self.k.is_none_or(|k| k.fract() == 0.0 && k >= 0.0),
                "--k must be a whole number for this --variant, but is {}; batchtopk and matryoshka take fractions",
                self.k.unwrap_or(0.0)
            );
        } else {
            ensure!(self.k.is_none(), "the sparsity of this --variant is set by --l1; it takes no --k");
        }
        ensure!(
            !has_target || member != Member::Pursuit,
            "pursuit chooses latents by the residual of its input; it takes no --target"
        );
        Ok(())
    }

    /// Returns the member and the configuration of its training, for rows of this number of layers.
    pub(super) fn preset(
        &self,
        layers: usize,
        has_target: bool,
    ) -> anyhow::Result<(Variant, TrainingConfig)> {
        let preset = self.variant.preset(layers, self.k.is_some());
        let sparsity = if preset.selects() { self.k } else { self.l1 };
        let recipe = presets::Recipe {
            preset,
            sparsity: sparsity.unwrap_or(0.0),
            n_latents: self.latents,
            steps: self.steps,
            batch: self.batch,
            learning_rate: self.learning_rate,
            seed: self.seed,
        };
        let config = recipe.config();
        let config = TrainingConfig {
            // Resampling is not defined for a transcoder.
            resampling: config.resampling.filter(|_| !has_target),
            target_l0: self.target_l0.map(|l0| TargetL0 { l0, gain: 0.01 }),
            // The estimate averages over the last twentieth of the run, however short the run is.
            threshold: ThresholdEstimate::FirstThenDecay {
                decay: (1.0 - 20.0 / self.steps as f64).clamp(0.0, 0.999),
            },
            ..config
        };
        Ok((recipe.variant()?, config))
    }
}
