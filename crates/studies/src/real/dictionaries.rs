use super::{Laboratory, StudyError};
use collimate_grad::{Decay, WarmUp};
use collimate_sae::shards::Shards;
use collimate_sae::{
    Gated, L1, Progress, Relu, Resampling, Sae, Size, TopK, Training, TrainingConfig, Variant,
};
use collimate_stream::Stream;

/// The members of the family that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// ReLU with an L1 penalty and unit-norm decoder rows.
    Relu,
    /// Gated, as in the paper.
    Gated,
    /// TopK.
    TopK,
}

impl Family {
    /// The three of them.
    pub const ALL: [Family; 3] = [Family::Relu, Family::Gated, Family::TopK];

    /// The name for tables and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "ReLU-L1",
            Self::Gated => "Gated",
            Self::TopK => "TopK",
        }
    }
}

/// Everything that makes a dictionary, besides the activations it is trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Which member.
    pub family: Family,
    /// λ of a loss that sums over dimensions, for inputs with E‖x‖ = √d; k for TopK.
    pub sparsity: f64,
    /// Seed of the start and of the order of the rows.
    pub seed: u64,
    /// Latents.
    pub n_latents: usize,
    /// Updates.
    pub steps: u64,
    /// Rows in a batch.
    pub batch: usize,
    /// The highest learning rate.
    pub learning_rate: f64,
}

impl Recipe {
    fn variant(&self) -> Variant {
        match self.family {
            Family::Relu => Relu::unit_norm().into(),
            Family::Gated => Gated::paper().into(),
            Family::TopK => TopK::new(self.sparsity as usize).with_aux(self.n_latents / 8).into(),
        }
    }

    fn config(&self) -> TrainingConfig {
        let l1 = if self.family == Family::TopK { 0.0 } else { self.sparsity };
        let resampling = Resampling {
            every: self.steps / 4,
            until: self.steps / 2,
            encoder_scale: 0.2,
            rewarm_steps: self.steps / 20,
        };
        TrainingConfig {
            steps: self.steps,
            batch: self.batch,
            l1: L1::sum_over_dims(l1),
            learning_rate: self.learning_rate,
            warm_up: WarmUp::Linear { steps: self.steps / 20, from: 0.0 },
            decay: Decay::LinearOverLast { share: 0.2, to: 0.0 },
            sparsity_warm_up: self.steps / 5,
            dead_after_rows: self.steps * self.batch as u64 / 8,
            resampling: (self.family != Family::TopK).then_some(resampling),
            log_every: (self.steps / 20).max(1),
            seed: self.seed,
            ..TrainingConfig::default()
        }
    }

    /// The dictionary before training.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] for numbers that make no dictionary.
    pub fn untrained(&self, d_model: usize) -> Result<Sae<f32>, StudyError> {
        let mut stream = Stream::named(self.seed, "dictionary start");
        Ok(Sae::new(self.variant(), Size { d_model, n_latents: self.n_latents }, &mut stream)?)
    }
}

impl Laboratory {
    /// The dictionary of a recipe on these activations: from the cache, or trained and put there.
    ///
    /// The key is a fingerprint of the start, the configuration, the trainer and the activations.
    ///
    /// # Errors
    /// [`StudyError::Dictionary`] when training diverges, with the step and the tensor.
    pub fn dictionary(
        &self,
        shards: &Shards,
        recipe: &Recipe,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Sae<f32>, StudyError> {
        let training =
            Training::new(recipe.untrained(shards.width())?, recipe.config())?.on_data(shards.fingerprint());
        let folder = self.cache.derived().join("dictionaries");
        let path = folder.join(format!("{}.safetensors", training.origin()));
        // A file that is damaged or of another run is no reason to stop: it is made again.
        if let Some(trained) = training.finished(&path).ok().flatten() {
            return Ok(trained.sae);
        }
        let mut order = Stream::named(recipe.seed, "order of the rows");
        let rows = shards.shuffled(1 << 16, recipe.batch, &mut order)?;
        let trained = training.run(rows, &mut progress)?;
        std::fs::create_dir_all(&folder).map_err(|source| StudyError::Io { path: folder, source })?;
        trained.save(&path)?;
        Ok(trained.sae)
    }

    /// The dictionary of a recipe before its first update: its decoder bias at the mean activation, its inputs scaled.
    ///
    /// # Errors
    /// As [`Laboratory::dictionary`].
    pub fn untrained(&self, shards: &Shards, recipe: &Recipe) -> Result<Sae<f32>, StudyError> {
        let mut training = Training::new(recipe.untrained(shards.width())?, recipe.config())?;
        let rows =
            shards.shuffled(1 << 16, recipe.batch, &mut Stream::named(recipe.seed, "order of the rows"))?;
        training.advance(rows, 0, &mut |_| ())?;
        Ok(training.finish()?.sae)
    }
}
