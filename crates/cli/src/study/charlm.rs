//! `collimate study charlm`.

use super::random::Random;
use super::steps::{Shown, take_steps};
use crate::model::Precision;
use crate::session::Session;
use collimate_studies::development::{CharacterConfig, CharacterTraining};
use serde_json::{Value, json};

/// The options of `collimate study charlm`.
#[derive(clap::Args)]
#[command(after_help = "\
The first 90 % of the bytes are for training. The schedule of the learning rate has 2,000 steps, whatever --until says. With --json each
step is a line: step, the loss and grad_norm before it, and the learning rate. The loss of the first 512 rows of held-out text is a line of
its own at steps 0, 50, 100 and 250, then every 250 steps, and at the end.

Examples:
  collimate study charlm --until 2000 --json > charlm.jsonl
  collimate study charlm --width 32 --layers 2 --heads 2 --context 16 --batch 4 --seed 3 --until 60 --precision f64 --random splitmix")]
pub(super) struct Options {
    /// The width of the residual stream.
    #[arg(long, default_value_t = 128)]
    width: usize,
    /// The number of layers.
    #[arg(long, default_value_t = 4)]
    layers: usize,
    /// The number of heads of each layer.
    #[arg(long, default_value_t = 4)]
    heads: usize,
    /// The number of bytes in a row that predict the next one.
    #[arg(long, default_value_t = 64)]
    context: usize,
    /// The number of rows of a batch.
    #[arg(long, default_value_t = 12)]
    batch: usize,
    /// The seed of weights and batches.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The number of steps.
    #[arg(long, value_name = "STEPS", default_value_t = 2000)]
    until: u64,
    /// The precision of the computation.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// The generator of weights and batches.
    #[arg(long, value_enum, default_value = "chacha")]
    random: Random,
    /// Print JSON lines.
    #[arg(long)]
    pub(super) json: bool,
}

/// Trains the model.
pub(super) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    match options.precision {
        Precision::F32 => train::<f32>(options, session),
        Precision::F64 => train::<f64>(options, session),
    }
}

fn train<F: collimate_transformer::Precision>(options: &Options, session: &Session) -> anyhow::Result<()> {
    let &Options { width, layers, heads, context, batch, seed, .. } = options;
    let numbers = options.random.into();
    let config = CharacterConfig { width, layers, heads, context, batch, seed, numbers };
    let mut training = CharacterTraining::<F>::new(&config)?;
    let due = |step: u64| step.is_multiple_of(250) || [50, 100].contains(&step);
    take_steps(&mut training, options.until, options.json, due, session)
}

impl<F: collimate_transformer::Precision> Shown for CharacterTraining<F> {
    fn done(&self) -> u64 {
        self.steps()
    }

    fn measure(&mut self) -> anyhow::Result<(Value, String)> {
        let loss = self.held_out_loss()?;
        Ok((json!({ "held_out_loss": loss }), format!("held-out loss {loss:.4}")))
    }

    fn step(&mut self) -> anyhow::Result<(Value, f64)> {
        let report = CharacterTraining::step(self)?;
        let (loss, norm, rate) = (report.loss, report.gradient_norm, report.rate);
        Ok((json!({ "loss": loss, "grad_norm": norm, "rate": rate }), loss))
    }
}
