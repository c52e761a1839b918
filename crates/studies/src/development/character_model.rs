use super::numbers::Numbers;
use crate::StudyError;
use crate::text::jargon_file;
use collimate_measure::{OutOfRange, ensure};
use collimate_transformer::{
    Activation, AttentionDescription, Decay, Description, LayerDescription, LearnedPositions, MlpDescription,
    Model, Norm, ParameterName, Part, Precision, Schedule, ScheduleConfig, StepReport, Training,
    TrainingConfig, WarmUp,
};
use ndarray::{Array2, s};

/// The sizes and the randomness of a run of the character model.
///
/// The defaults are those of a well-known setting for one CPU: 4 layers, 4 heads, width 128, context 64, batches of 12 rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CharacterConfig {
    /// The width of the residual stream.
    pub width: usize,
    /// The number of layers.
    pub layers: usize,
    /// The number of heads of each layer; it divides the width.
    pub heads: usize,
    /// The number of characters in a row that predict the next one.
    pub context: usize,
    /// The number of rows of a batch.
    pub batch: usize,
    /// The seed of weights and batches.
    pub seed: u64,
    /// The generator of weights and batches.
    pub numbers: Numbers,
}

impl Default for CharacterConfig {
    fn default() -> Self {
        Self { width: 128, layers: 4, heads: 4, context: 64, batch: 12, seed: 0, numbers: Numbers::ChaCha }
    }
}

/// The largest learning rate.
const RATE: f64 = 1e-3;
/// The number of steps of the schedule, whatever the number of steps that are taken.
const SCHEDULED: u64 = 2000;
/// The number of steps in which the learning rate rises.
const RISE: u64 = 100;
/// The largest number of rows of held-out text that are measured.
const HELD_OUT_ROWS: usize = 512;

/// A transformer on its way to predict the bytes of the Jargon File.
///
/// The first 90 % of the text are for training. Blocks are `x += attention(norm x)` and `x += W₂ gelu(W₁ norm x)`, without biases, with
/// learned positions and a head that is tied to the embedding. AdamW has β = (0.9, 0.99) and decays matrices by 0.1; the gradient is
/// clipped to norm 1; the rate rises for 100 steps to 1e-3 and falls along half a cosine to 1e-4 at step 2000.
///
/// # Determinism
/// The bits depend on the settings alone, and not on the number of threads.
///
/// # Examples
/// ```
/// use collimate_studies::development::{CharacterConfig, CharacterTraining, Numbers};
/// let numbers = Numbers::SplitMix;
/// let config = CharacterConfig { width: 8, layers: 1, heads: 2, context: 8, batch: 2, seed: 3, numbers };
/// let mut training = CharacterTraining::<f64>::new(&config)?;
/// let first = training.step()?;
/// assert!((first.loss - 146f64.ln()).abs() < 0.1); // 146 different bytes, all about equally likely
/// # Ok::<(), collimate_studies::StudyError>(())
/// ```
pub struct CharacterTraining<F> {
    config: CharacterConfig,
    training: Training<F>,
    /// The text as tokens.
    tokens: Vec<u32>,
    /// The number of tokens for training.
    cut: usize,
}

impl<F: Precision> CharacterTraining<F> {
    /// Begins a run.
    ///
    /// # Errors
    /// [`StudyError::OutOfRange`] for a size of 0, for heads that do not divide the width, and for a model of more than 10⁹ numbers in a
    /// tensor or in the activations of a batch.
    pub fn new(config: &CharacterConfig) -> Result<Self, StudyError> {
        let text = jargon_file();
        let mut vocabulary: Vec<u8> = text.bytes().collect();
        vocabulary.sort_unstable();
        vocabulary.dedup();
        let mut places = [0; 256];
        for (place, byte) in vocabulary.iter().enumerate() {
            places[usize::from(*byte)] = place as u32;
        }
        let tokens: Vec<u32> = text.bytes().map(|byte| places[usize::from(byte)]).collect();
        let cut = (0.9 * tokens.len() as f64) as usize;
        check(config, tokens.len() - cut)?;
        let model = model(config, vocabulary.len())?;
        let schedule = Schedule::new(ScheduleConfig {
            peak: RATE,
            total_steps: SCHEDULED + 1,
            warm_up: WarmUp::Linear { steps: RISE + 1, from: 0.0 },
            decay: Decay::Cosine { to: 0.1 },
        })?;
        let mut settings = TrainingConfig::new(schedule).weight_decay(0.1)?.clip(1.0)?;
        settings.adam.beta2 = 0.99;
        settings.clip_margin = 1e-6;
        Ok(Self { config: *config, training: Training::new(model, settings)?, tokens, cut })
    }

    /// Takes one step on a batch of rows from random places of the text.
    ///
    /// # Errors
    /// [`StudyError::Step`] if the loss or the gradient is not finite.
    pub fn step(&mut self) -> Result<StepReport, StudyError> {
        let CharacterConfig { context, batch, seed, numbers, .. } = self.config;
        let first = self.training.steps() * batch as u64;
        let places = numbers.below(
            seed.wrapping_mul(7919).wrapping_add(17),
            first..first + batch as u64,
            self.cut - context,
        );
        let rows = Array2::from_shape_fn((batch, context + 1), |(row, t)| self.tokens[places[row] + t]);
        Ok(self.training.step(&[rows.view()])?)
    }

    /// Computes the mean loss of the first 512 rows of the held-out text, in nats.
    ///
    /// # Errors
    /// [`StudyError::Step`] if the model cannot be run.
    pub fn held_out_loss(&self) -> Result<f64, StudyError> {
        let context = self.config.context;
        let text = &self.tokens[self.cut..];
        let count = HELD_OUT_ROWS.min((text.len() - 1) / context);
        let rows = Array2::from_shape_fn((count, context + 1), |(row, t)| text[row * context + t]);
        let batches: Vec<_> =
            (0..count).step_by(64).map(|at| rows.slice(s![at..count.min(at + 64), ..])).collect();
        Ok(self.training.loss(&batches)?)
    }

    /// Returns the number of steps that were taken.
    pub fn steps(&self) -> u64 {
        self.training.steps()
    }

    /// Returns the model as it is now.
    pub fn model(&self) -> &Model<F> {
        self.training.model()
    }
}

/// Returns an error for sizes that cannot be trained.
fn check(config: &CharacterConfig, held_out: usize) -> Result<(), OutOfRange> {
    let CharacterConfig { width, layers, heads, context, batch, .. } = *config;
    for (argument, size) in [("the width", width), ("the number of layers", layers), ("the batch", batch)] {
        ensure(size > 0, argument, "at least 1", size as f64)?;
    }
    ensure(
        heads > 0 && width.is_multiple_of(heads),
        "the number of heads",
        "a divisor of the width",
        heads as f64,
    )?;
    ensure(
        (1..held_out).contains(&context),
        "the context",
        "positive and shorter than the held-out text",
        context as f64,
    )?;
    let numbers = [
        width.saturating_mul(width).saturating_mul(4 * layers.min(1 << 40)),
        batch.saturating_mul(context).saturating_mul(width.saturating_mul(4)),
    ];
    for size in numbers {
        ensure(
            size <= 1_000_000_000,
            "the size of the model or of a batch",
            "at most 10⁹ numbers",
            size as f64,
        )?;
    }
    Ok(())
}

/// Returns the model with its first weights.
fn model<F: Precision>(config: &CharacterConfig, vocabulary: usize) -> Result<Model<F>, StudyError> {
    let CharacterConfig { width, layers, heads, context, seed, numbers, .. } = *config;
    let norm = Norm::layer(1e-5).with_bias(false);
    let attention = AttentionDescription::new(heads, heads, width / heads);
    let mlp = MlpDescription::new(4 * width, false, Activation::GeluErf);
    let mut description = Description::new("characters", vocabulary, width, context);
    description.embedding.positions = Some(LearnedPositions::new(context));
    description.layers = vec![LayerDescription::new(attention, mlp, norm); layers];
    description.final_norm = Some(norm);
    if let Some(head) = &mut description.head {
        head.tied = true;
    }
    let shape = Model::<F>::random(description, &collimate_stream::RngStream::new(seed, 0));
    let first = seed.wrapping_mul(1_000_003);
    let to_residual = 0.02 / (2.0 * layers as f64).sqrt();
    let tensor = |number: u64, shape: (usize, usize), deviation: f64| {
        numbers.normals::<F>(first.wrapping_add(number), shape, deviation)
    };
    let weights = shape.parameters().map(|(ParameterName { layer, part }, old)| {
        // Two tables, then six tensors for each layer: gain, fused queries, keys and values, output, gain, up, down.
        let number = 2 + 6 * layer.unwrap_or(0) as u64;
        let fused = |third: usize| {
            let all = tensor(number + 1, (3 * width, width), 0.02);
            all.slice(s![third * width..(third + 1) * width, ..]).to_owned()
        };
        match part {
            Part::TokenEmbedding => tensor(0, old.dim(), 0.02),
            Part::PositionEmbedding => tensor(1, old.dim(), 0.02),
            Part::Query => fused(0),
            Part::Key => fused(1),
            Part::Value => fused(2),
            Part::AttentionOutput => tensor(number + 2, old.dim(), to_residual),
            Part::Up => tensor(number + 4, old.dim(), 0.02),
            Part::Down => tensor(number + 5, old.dim(), to_residual),
            _ => Array2::ones(old.dim()),
        }
    });
    let weights = weights.collect();
    Ok(shape.with_parameters(weights)?)
}
