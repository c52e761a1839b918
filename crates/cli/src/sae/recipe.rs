//! The recipe of a training run: the member of the family, its sparsity, and the steps.

use anyhow::ensure;
use collimate_grad::{Decay, WarmUp};
use collimate_sae::{
    AbsTopK, BatchTopK, Crosscoder, CrosscoderSparsity, Gated, JumpRelu, L1, Levels, MatchingPursuit,
    Matryoshka, Normalisation, PAnneal, PNorm, Relu, Resampling, TargetL0, ThresholdEstimate, TopK,
    TrainingConfig, Variant,
};

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
    /// crosscoder without --l1).
    #[arg(long, required_if_eq_any([("variant", "topk"), ("variant", "batchtopk"), ("variant", "matryoshka"), ("variant", "abstopk"), ("variant", "pursuit")]))]
    k: Option<usize>,
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
    /// Returns true if the member keeps a number of latents, and false if it takes λ.
    fn selects(self) -> bool {
        use Member::{Abstopk, Batchtopk, Matryoshka, Pursuit, Topk};
        matches!(self, Topk | Batchtopk | Matryoshka | Abstopk | Pursuit)
    }
}

impl Recipe {
    /// Returns an error if the recipe does not fit rows of these widths, or a target.
    pub(super) fn check(&self, widths: &[usize], has_target: bool) -> anyhow::Result<()> {
        let member = self.variant;
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
        if member.selects() {
            ensure!(self.l1.is_none(), "this --variant keeps --k latents; it takes no --l1");
        } else {
            ensure!(self.k.is_none(), "the sparsity of this --variant is set by --l1; it takes no --k");
        }
        ensure!(
            !has_target || member != Member::Pursuit,
            "pursuit chooses latents by the residual of its input; it takes no --target"
        );
        Ok(())
    }

    /// Returns the member with its settings, for this number of layers.
    pub(super) fn variant(&self, layers: usize) -> anyhow::Result<Variant> {
        let batch = || BatchTopK::new(self.k.unwrap_or(1) as f64).with_aux((self.latents / 8).max(1));
        Ok(match self.variant {
            Member::Relu => Relu::unit_norm().into(),
            Member::Pnorm => PNorm::power_sum(1.0).into(),
            Member::Gated => Gated::paper().into(),
            Member::Topk => TopK::new(self.k.unwrap_or(1)).with_aux((self.latents / 8).max(1)).into(),
            Member::Batchtopk => batch().into(),
            Member::Matryoshka => {
                ensure!(
                    self.latents >= 8,
                    "--latents must be at least 8 for the four levels of matryoshka, but is {}",
                    self.latents
                );
                let widths = [8, 4, 2, 1].map(|part| (self.latents / part) as u32);
                Matryoshka { batch: batch(), levels: Levels::new(&widths)? }.into()
            }
            Member::Jumprelu => JumpRelu::paper().into(),
            Member::Abstopk => AbsTopK::new(self.k.unwrap_or(1)).into(),
            Member::Pursuit => MatchingPursuit { k: self.k.unwrap_or(1) }.into(),
            Member::Crosscoder => {
                let sparsity = match self.k {
                    None => CrosscoderSparsity::L1,
                    Some(k) => {
                        CrosscoderSparsity::BatchTopK { k: k as f64, aux: batch().aux, threshold: None }
                    }
                };
                Crosscoder { layers, sparsity }.into()
            }
        })
    }

    /// Returns the configuration of the training run.
    pub(super) fn config(&self, transcoder: bool) -> TrainingConfig {
        let resampled = matches!(self.variant, Member::Relu | Member::Pnorm | Member::Gated) && !transcoder;
        let resampling = Resampling {
            every: (self.steps / 4).max(1),
            until: self.steps / 2,
            encoder_scale: 0.2,
            rewarm_steps: (self.steps / 20).max(1),
        };
        TrainingConfig {
            steps: self.steps,
            batch: self.batch,
            l1: L1::sum_over_dims(self.l1.unwrap_or(0.0)),
            learning_rate: self.learning_rate,
            warm_up: WarmUp::Linear { steps: self.steps / 20, from: 0.0 },
            decay: Decay::LinearOverLast { share: 0.2, to: 0.0 },
            sparsity_warm_up: self.steps / 5,
            dead_after_rows: (self.steps * self.batch as u64 / 8).max(1),
            resampling: resampled.then_some(resampling),
            p_anneal: matches!(self.variant, Member::Pnorm).then_some(PAnneal {
                start: self.steps / 5,
                end: (self.steps * 4 / 5).max(self.steps / 5 + 1),
                p_end: 0.2,
                stages: 10,
                queue: 10,
            }),
            target_l0: self.target_l0.map(|l0| TargetL0 { l0, gain: 0.01 }),
            // The estimate averages over the last twentieth of the run, however short the run is.
            threshold: ThresholdEstimate::FirstThenDecay {
                decay: (1.0 - 20.0 / self.steps as f64).clamp(0.0, 0.999),
            },
            log_every: (self.steps / 100).max(1),
            seed: self.seed,
            normalisation: match self.variant {
                Member::Jumprelu => Normalisation::UnitMeanSquareNorm,
                _ => Normalisation::ExpectedNormSqrtDim,
            },
            ..TrainingConfig::default()
        }
    }
}
