use super::rows::SyntheticRows;
use crate::error::StudyError;
use collimate_grad::{Decay, WarmUp};
use collimate_sae::presets::Preset;
use collimate_sae::{
    BatchTopK, BiasStart, Evaluation, L1, Levels, Matching, Matryoshka, Sae, SaeError, Size, TopK, Trained,
    Training, TrainingConfig, Variant, WithNull, epochs, evaluate,
};
use collimate_stream::RngStream;

/// The presets that are trained on known features.
pub const TRAINED: [Preset; 7] = [
    Preset::Relu,
    Preset::Gated,
    // With the narrow window of the other JumpReLU, thresholds do not move within the steps of these runs.
    Preset::JumpReluTanh,
    Preset::TopK,
    Preset::BatchTopK,
    Preset::Matryoshka,
    Preset::MatchingPursuit,
];

/// The settings of a training run on [`SyntheticRows`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// The preset.
    pub preset: Preset,
    /// The number of latents.
    pub n_latents: usize,
    /// The λ of a loss that sums over dimensions, for inputs with E‖x‖ = √d; or the number of active latents.
    pub sparsity: f64,
    /// The number of updates of 256 rows. Adam runs at 3e-3, falling to zero over the last fifth.
    pub steps: u64,
    /// The start of the decoder bias. From the mean of the rows, a latent may find the absence of a frequent feature instead of its
    /// presence.
    pub bias_start: BiasStart,
    /// The seed of the start and of the order of the rows.
    pub seed: u64,
}

impl Recipe {
    /// Returns the member. AuxK uses a quarter of the latents, and Matryoshka has prefixes of a quarter, a half and all of them.
    fn variant(&self) -> Result<Variant, SaeError> {
        let Self { preset, n_latents, sparsity, .. } = *self;
        let batch = BatchTopK::new(sparsity).with_aux(n_latents / 4);
        Ok(match preset {
            Preset::TopK => TopK::new(sparsity as usize).with_aux(n_latents / 4).into(),
            Preset::BatchTopK => batch.into(),
            Preset::Matryoshka => {
                let widths = [n_latents / 4, n_latents / 2, n_latents].map(|w| w as u32);
                Matryoshka { batch, levels: Levels::new(&widths)? }.into()
            }
            _ => preset.variant(sparsity, n_latents)?,
        })
    }

    /// Trains a dictionary and returns it with its log: one entry, for the last step.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] when the numbers of the recipe do not fit together, or training diverges.
    ///
    /// # Determinism
    /// A function of the recipe and the rows.
    pub fn train(&self, synthetic: &SyntheticRows) -> Result<Trained<Sae<f32>>, StudyError> {
        let Self { preset, n_latents, sparsity, steps, bias_start, seed } = *self;
        let config = TrainingConfig {
            steps,
            batch: 256,
            l1: L1::sum_over_dims(if preset.selects() { 0.0 } else { sparsity }),
            learning_rate: 3e-3,
            warm_up: WarmUp::Linear { steps: steps / 20, from: 0.0 },
            decay: Decay::LinearOverLast { share: 0.2, to: 0.0 },
            sparsity_warm_up: steps / 4,
            dead_after_rows: steps * 256 / 10,
            log_every: steps.max(1),
            bias_start,
            seed,
            ..TrainingConfig::default()
        };
        let size = Size { d_model: synthetic.rows.ncols(), n_latents };
        let sae = Sae::new(self.variant()?, size, &mut RngStream::named(seed, "start"))?;
        let rows = epochs(&synthetic.rows, 1024, &mut RngStream::named(seed, "order of the rows"));
        Ok(Training::new(sae, config)?.run(rows, |_| ())?)
    }
}

/// The measurements of a dictionary on synthetic rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The L0, γ, explained variance and more, on the held-out rows.
    pub evaluation: Evaluation,
    /// The MMCS in both directions, MCC and uniqueness of the decoder rows, each beside the value of random directions.
    pub matching: Vec<WithNull>,
}

impl Measured {
    /// Measures a dictionary; the random directions are drawn from `seed`.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] when the widths differ.
    pub fn of(sae: &Sae<f32>, synthetic: &SyntheticRows, seed: u64) -> Result<Self, StudyError> {
        let evaluation = evaluate(sae.dictionary(), [synthetic.held_out.view()])?;
        let decoder = sae.weights().w_dec.mapv(f64::from);
        Ok(Self { evaluation, matching: Matching::new(&decoder, &synthetic.directions).with_null(seed) })
    }

    /// Returns a measured quantity of the matching and its null, by name.
    ///
    /// # Panics
    /// Panics when there is no quantity of this name.
    pub fn against_null(&self, name: &str) -> [f64; 2] {
        let found = self.matching.iter().find(|m| m.measured.quantity.name == name);
        found.map(|m| [m.measured.value, m.null.value]).expect("a quantity of a matching")
    }
}
