use super::setup::LanguageModelSetup;
use crate::error::StudyError;
use collimate_sae::presets::{Preset, Recipe};
use collimate_sae::shards::Shards;
use collimate_sae::{
    BiasStart, L1, Normalisation, Progress, Sae, SaeError, Size, Trained, Training, TrainingConfig,
};
use collimate_stream::RngStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The presets that are compared with each other, without the ablations.
pub const COMPARED: [Preset; 3] = [Preset::Relu, Preset::Gated, Preset::TopK];

/// Returns the training configuration of a recipe, with a log of 20 entries.
fn config(recipe: &Recipe) -> TrainingConfig {
    TrainingConfig { log_every: (recipe.steps / 20).max(1), ..recipe.config() }
}

/// Returns the dictionary of a recipe before training.
fn start(recipe: &Recipe, d_model: usize) -> Result<Sae<f32>, StudyError> {
    let mut stream = RngStream::named(recipe.seed, "dictionary start");
    let size = Size { d_model, n_latents: recipe.n_latents };
    Ok(Sae::new(recipe.variant()?, size, &mut stream)?)
}

impl LanguageModelSetup {
    /// Returns the dictionary of a recipe on these activations: from the cache, or trained and then stored there.
    ///
    /// The key is a fingerprint of the start, the configuration, the trainer and the activations. When `stop` is set, training ends
    /// before its next step and leaves a checkpoint in the cache; the next call continues from it.
    ///
    /// # Errors
    /// [`StudyError::Interrupted`] after `stop`, [`StudyError::Dictionary`] when training diverges, with the step and
    /// the tensor.
    pub fn dictionary(
        &self,
        shards: &Shards,
        recipe: &Recipe,
        stop: Arc<AtomicBool>,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Sae<f32>, StudyError> {
        Ok(self.trained(shards, recipe, stop, progress)?.model)
    }

    /// Returns the dictionary like [`LanguageModelSetup::dictionary`], with the log of its training and the scale of its inputs.
    ///
    /// # Errors
    /// As [`LanguageModelSetup::dictionary`].
    pub fn trained(
        &self,
        shards: &Shards,
        recipe: &Recipe,
        stop: Arc<AtomicBool>,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Trained<Sae<f32>>, StudyError> {
        stored_or_trained(
            &self.dictionaries(),
            shards,
            start(recipe, shards.width())?,
            config(recipe),
            stop,
            progress,
        )
    }

    /// Returns the rescale-and-shift baseline of a trained ReLU dictionary. It is trained with the batch, the steps, the learning rate and
    /// the seed of `recipe`, in the units in which the dictionary was trained, and is stored like [`LanguageModelSetup::dictionary`].
    ///
    /// # Errors
    /// As [`LanguageModelSetup::dictionary`].
    pub fn rescaled(
        &self,
        shards: &Shards,
        relu: &Trained<Sae<f32>>,
        recipe: &Recipe,
        stop: Arc<AtomicBool>,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<Trained<Sae<f32>>, StudyError> {
        let start = relu.model.with_input_scale(1.0 / relu.input_scale)?.to_rescale_and_shift()?;
        let config = TrainingConfig {
            l1: L1::sum_over_dims(0.0),
            normalisation: Normalisation::Fixed(relu.input_scale),
            bias_start: BiasStart::Given,
            resampling: None,
            ..config(recipe)
        };
        stored_or_trained(&self.dictionaries(), shards, start, config, stop, progress)
    }

    fn dictionaries(&self) -> PathBuf {
        self.cache.derived().join("dictionaries")
    }

    /// Returns the dictionary of a recipe before its first update: the decoder bias is the mean activation, and the inputs are scaled.
    ///
    /// # Errors
    /// As [`LanguageModelSetup::dictionary`].
    pub fn untrained(&self, shards: &Shards, recipe: &Recipe) -> Result<Sae<f32>, StudyError> {
        let mut training = Training::new(start(recipe, shards.width())?, config(recipe))?;
        let rows = shards.shuffled(
            1 << 16,
            recipe.batch,
            &mut RngStream::named(recipe.seed, "order of the rows"),
        )?;
        training.advance(rows, 0, &mut |_| ())?;
        Ok(training.finish()?.model)
    }
}

/// Returns a dictionary from its file, or trains it and writes the file.
fn stored_or_trained(
    folder: &Path,
    shards: &Shards,
    start: Sae<f32>,
    config: TrainingConfig,
    stop: Arc<AtomicBool>,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Trained<Sae<f32>>, StudyError> {
    let (seed, batch, steps) = (config.seed, config.batch, config.steps);
    let mut training = Training::new(start, config)?.on_data(shards.fingerprint()).stop_on(stop);
    let path = folder.join(format!("{}.safetensors", training.origin()));
    // A damaged file, or a file of another run, does not stop the study: the dictionary is trained again.
    if let Some(trained) = training.finished(&path).ok().flatten() {
        return Ok(trained);
    }
    std::fs::create_dir_all(folder).map_err(|source| StudyError::Io { path: folder.to_owned(), source })?;
    let unfinished = path.with_extension("unfinished");
    let _ = training.load_checkpoint(&unfinished);
    let mut order = RngStream::named(seed, "order of the rows");
    let rows = shards.shuffled(1 << 16, batch, &mut order)?;
    match training.advance(rows, steps, progress) {
        Err(SaeError::Interrupted { .. }) => {
            training.save_checkpoint(&unfinished)?;
            return Err(StudyError::Interrupted);
        }
        outcome => outcome?,
    }
    let trained = training.finish()?;
    trained.save(&path)?;
    // The checkpoint is not needed any more. If it cannot be deleted, it only takes up space.
    let _ = std::fs::remove_file(&unfinished);
    Ok(trained)
}

#[cfg(test)]
mod tests {
    use super::*;
    use collimate_measure::Fingerprint;
    use collimate_sae::shards::ShardWriter;
    use std::sync::atomic::Ordering;

    #[test]
    fn an_interrupted_training_continues_to_the_same_bits_and_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let shards = folder.path().join("shards");
        let mut writer = ShardWriter::create(&shards, 6, 512, Fingerprint::of(b"normal rows")).unwrap();
        let mut stream = RngStream::new(5, 0);
        for row in 0..2048 {
            let x: Vec<f32> = (0..6).map(|_| stream.normal() as f32).collect();
            writer.push_row(row / 64, row % 64, &x).unwrap();
        }
        writer.finish().unwrap();
        let shards = Shards::open(&shards).unwrap();
        let recipe = Recipe {
            preset: Preset::Gated,
            sparsity: 0.1,
            seed: 3,
            n_latents: 12,
            steps: 80,
            batch: 64,
            learning_rate: 1e-3,
        };
        let of = |folder: &Path, stop, progress: &mut dyn FnMut(&Progress)| {
            let start = super::start(&recipe, 6).unwrap();
            stored_or_trained(folder, &shards, start, config(&recipe), stop, progress)
        };
        let (once, twice) = (folder.path().join("once"), folder.path().join("twice"));
        let never = || Arc::new(AtomicBool::new(false));
        let whole = of(&once, never(), &mut |_| ()).unwrap().model;

        let stop = never();
        let flag = Arc::clone(&stop);
        // The log is written every 4 steps, so this stops the run in the middle.
        let mut at_half = |now: &Progress| flag.store(now.step >= 40, Ordering::Relaxed);
        let stopped = of(&twice, stop, &mut at_half);
        assert!(matches!(stopped, Err(StudyError::Interrupted)));
        let mut first = None;
        let mut note = |now: &Progress| {
            first.get_or_insert(now.step);
        };
        let resumed = of(&twice, never(), &mut note).unwrap().model;
        assert_eq!(first, Some(44), "it began again");
        assert_eq!(resumed.weights(), whole.weights());
        let mut asked = 0;
        let kept = of(&twice, never(), &mut |_| asked += 1).unwrap().model;
        assert_eq!(
            (kept.weights(), asked),
            (whole.weights(), 0),
            "a finished dictionary is not trained again"
        );
        assert_eq!(std::fs::read_dir(&twice).unwrap().count(), 1, "the checkpoint is gone");
    }
}
