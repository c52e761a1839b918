use super::rows::SyntheticRows;
use crate::error::StudyError;
use collimate_sae::presets::{Preset, Recipe};
use collimate_sae::{
    BiasStart, Evaluation, Levels, Matching, Matryoshka, Sae, SaeError, Size, Trained, Training,
    TrainingConfig, Variant, WithNull, epochs, evaluate,
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
///
/// The run is the one of [`Recipe`] with batches of 256 rows and a learning rate of 3e-3, and with four differences. A penalty rises over
/// the first quarter. Latents that were inactive for a tenth of the rows are dead. AuxK uses a quarter of the latents, and Matryoshka has
/// prefixes of a quarter, a half and all of them, because these dictionaries have few latents. No dictionary is resampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SyntheticTraining {
    /// The preset.
    pub preset: Preset,
    /// The number of latents; at least 8 for Matryoshka.
    pub n_latents: usize,
    /// The number of active latents of a row if the preset selects; otherwise λ of a loss that sums over dimensions, for inputs with
    /// E‖x‖ = √d.
    pub sparsity: f64,
    /// The number of updates.
    pub steps: u64,
    /// The start of the decoder bias. From the mean of the rows, a latent may find the absence of a frequent feature instead of its
    /// presence.
    pub bias_start: BiasStart,
    /// The seed of the start and of the order of the rows.
    pub seed: u64,
}

impl SyntheticTraining {
    fn recipe(&self) -> Recipe {
        let Self { preset, n_latents, sparsity, steps, seed, .. } = *self;
        Recipe { preset, sparsity, n_latents, steps, batch: 256, learning_rate: 3e-3, seed }
    }

    /// Returns the member.
    fn variant(&self) -> Result<Variant, SaeError> {
        let n = self.n_latents;
        let k_aux = n / 4;
        Ok(match self.recipe().variant()? {
            Variant::TopK(member) => member.with_aux(k_aux).into(),
            Variant::BatchTopK(member) => member.with_aux(k_aux).into(),
            Variant::Matryoshka(member) => {
                let levels = Levels::new(&[n / 4, n / 2, n].map(|width| width as u32))?;
                Matryoshka { batch: member.batch.with_aux(k_aux), levels }.into()
            }
            other => other,
        })
    }

    /// Trains a dictionary and returns it with its log: one entry, for the last step.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] when the numbers do not fit together, or training diverges.
    ///
    /// # Determinism
    /// A function of the settings and the rows.
    pub fn train(&self, synthetic: &SyntheticRows) -> Result<Trained<Sae<f32>>, StudyError> {
        let Self { n_latents, steps, bias_start, seed, .. } = *self;
        let config = TrainingConfig {
            sparsity_warm_up: steps / 4,
            dead_after_rows: steps * 256 / 10,
            resampling: None,
            log_every: steps.max(1),
            bias_start,
            ..self.recipe().config()
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
