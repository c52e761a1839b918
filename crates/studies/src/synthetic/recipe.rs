use super::rows::SyntheticRows;
use crate::error::StudyError;
use collimate_grad::{Decay, WarmUp};
use collimate_sae::{
    BatchTopK, BiasStart, Evaluation, Gated, JumpRelu, L1, Levels, Matching, MatchingPursuit, Matryoshka,
    Relu, Sae, SaeError, Size, TopK, Trained, Training, TrainingConfig, Variant, WithNull, epochs, evaluate,
};
use collimate_stream::RngStream;

/// A dictionary that is trained on known features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// ReLU with an L1 penalty and decoder rows of length one.
    Relu,
    /// Gated, with the settings of the paper.
    Gated,
    /// JumpReLU with a tanh penalty and log thresholds. With the narrow window of the other recipe, thresholds do not move within the
    /// steps of these runs.
    JumpRelu,
    /// TopK.
    TopK,
    /// BatchTopK.
    BatchTopK,
    /// Matryoshka BatchTopK with prefixes of a quarter, a half and all of the latents.
    Matryoshka,
    /// Matching pursuit.
    MatchingPursuit,
}

impl Member {
    /// All members.
    pub const ALL: [Self; 7] = [
        Self::Relu,
        Self::Gated,
        Self::JumpRelu,
        Self::TopK,
        Self::BatchTopK,
        Self::Matryoshka,
        Self::MatchingPursuit,
    ];

    /// Returns the name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "ReLU-L1",
            Self::Gated => "Gated",
            Self::JumpRelu => "JumpReLU",
            Self::TopK => "TopK",
            Self::BatchTopK => "BatchTopK",
            Self::Matryoshka => "Matryoshka",
            Self::MatchingPursuit => "matching pursuit",
        }
    }

    /// Returns true if the sparsity is a number of latents, and false if it is a penalty.
    pub fn counts(self) -> bool {
        matches!(self, Self::TopK | Self::BatchTopK | Self::Matryoshka | Self::MatchingPursuit)
    }

    fn variant(self, n_latents: usize, sparsity: f64) -> Result<Variant, SaeError> {
        let k = sparsity as usize;
        Ok(match self {
            Self::Relu => Relu::unit_norm().into(),
            Self::Gated => Gated::paper().into(),
            Self::JumpRelu => JumpRelu::tanh().into(),
            Self::TopK => TopK::new(k).with_aux(n_latents / 4).into(),
            Self::BatchTopK => BatchTopK::new(sparsity).with_aux(n_latents / 4).into(),
            Self::Matryoshka => {
                let widths = [n_latents / 4, n_latents / 2, n_latents].map(|w| w as u32);
                Matryoshka { batch: BatchTopK::new(sparsity), levels: Levels::new(&widths)? }.into()
            }
            Self::MatchingPursuit => MatchingPursuit { k }.into(),
        })
    }
}

/// The settings of a training run on [`SyntheticRows`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// The member.
    pub member: Member,
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
    /// Trains a dictionary and returns it with its log: one entry, for the last step.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] when the numbers of the recipe do not fit together, or training diverges.
    ///
    /// # Determinism
    /// A function of the recipe and the rows.
    pub fn train(&self, synthetic: &SyntheticRows) -> Result<Trained<Sae<f32>>, StudyError> {
        let Self { member, n_latents, sparsity, steps, bias_start, seed } = *self;
        let config = TrainingConfig {
            steps,
            batch: 256,
            l1: L1::sum_over_dims(if member.counts() { 0.0 } else { sparsity }),
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
        let sae = Sae::new(member.variant(n_latents, sparsity)?, size, &mut RngStream::named(seed, "start"))?;
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
        let evaluation = evaluate(sae, [synthetic.held_out.view()])?;
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
