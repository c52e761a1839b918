//! The options of `collimate lm train`.

use super::input::InputOptions;
use super::rows::Rows;
use super::samples::SampleOptions;
use crate::model::Precision;
use anyhow::{Context, ensure};
use collimate_transformer::{Activations, Decay, Schedule, ScheduleConfig, TrainingConfig, WarmUp};
use std::path::{Path, PathBuf};

/// The options of `collimate lm train`.
#[derive(clap::Args)]
#[command(after_help = "\
Each step is a line of JSON on the standard output: step, loss, gradient_norm, rate and targets. Ctrl-C, SIGTERM and SIGHUP write a
checkpoint; the same command continues from it, to the same result bit for bit. The folder that is written holds the tokenizer too, and
the library transformers opens it.

Examples:
  collimate lm train --description config.json --corpus texts --part train --tokenizer bytes --context 64 --steps 2000 --output small
  collimate lm train --description config.json --tokens tokens.npy --context 64 --batch 12 --steps 2000 --output small
  collimate lm train --start some-folder --corpus text.txt --context 128 --steps 500 --layers 2,3 --sample-every 100 --output further
  collimate lm train --start some-folder --batches batches.npy --precision f64 > steps.jsonl")]
pub(crate) struct Options {
    /// The model to train further, a folder with config.json and safetensors files.
    #[arg(
        long,
        value_name = "FOLDER",
        conflicts_with = "description",
        required_unless_present = "description"
    )]
    pub(super) start: Option<PathBuf>,
    /// The configuration of a model to train from random weights, a file like config.json.
    #[arg(long, value_name = "FILE")]
    pub(super) description: Option<PathBuf>,
    #[command(flatten)]
    pub(super) input: InputOptions,
    /// The number of steps; with --batches it is the number of batches in the file.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) steps: Option<u64>,
    /// The folder to write the model to. Its checkpoint is kept beside it until the run is finished; `.checkpoint` is appended to the
    /// name. Without this option nothing is written.
    #[arg(long, value_name = "FOLDER")]
    pub(super) output: Option<PathBuf>,
    /// Start from the beginning, and replace an existing model and checkpoint.
    #[arg(long)]
    pub(super) force: bool,
    /// The precision of the computation.
    #[arg(long, value_enum, default_value = "f32")]
    pub(super) precision: Precision,
    /// The largest learning rate of AdamW.
    #[arg(long, default_value_t = 1e-3)]
    pub(super) learning_rate: f64,
    /// The number of steps in which the learning rate rises from 0.
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    pub(super) warm_up: u64,
    /// The course of the learning rate after the warm-up.
    #[arg(long, value_enum, default_value = "none")]
    pub(super) decay: Fall,
    /// The decoupled weight decay of matrices; gains, biases and other vectors are not decayed.
    #[arg(long, default_value_t = 0.01)]
    pub(super) weight_decay: f64,
    /// The factors β₁ and β₂ of Adam.
    #[arg(long, value_delimiter = ',', num_args = 1, default_values_t = [0.9, 0.999])]
    pub(super) betas: Vec<f64>,
    /// The number ε of Adam.
    #[arg(long, default_value_t = 1e-8)]
    pub(super) epsilon: f64,
    /// The largest norm of the gradient. A longer gradient is shortened to this norm.
    #[arg(long, value_name = "NORM")]
    pub(super) clip: Option<f64>,
    /// Keep only the residual stream before each layer, and compute each layer again before its backward pass. Takes more
    /// time, and much less memory for long contexts.
    #[arg(long)]
    pub(super) recompute: bool,
    /// Train only these layers, counted from 0, as in 2,3. The embedding, the head and the other layers stay as they are.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(super) layers: Vec<usize>,
    #[command(flatten)]
    pub(super) samples: SampleOptions,
    /// The number of batches whose gradients make one step.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) accumulate: u64,
    /// The seed of the weights and of the order of the rows.
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Measure the loss on this file too: tokens in the format of --tokens, or a text in the format of --corpus. With --part train the loss is
    /// measured on the other part of the text without it.
    #[arg(long, value_name = "FILE", requires = "context")]
    pub(super) held_out: Option<PathBuf>,
    /// The number of steps between two measurements of the held-out loss.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) held_out_every: u64,
    /// The number of steps between two checkpoints.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) checkpoint_every: u64,
}

/// The course of the learning rate.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(super) enum Fall {
    /// The learning rate stays as it is.
    None,
    /// The learning rate falls linearly to 0 at the last step.
    Linear,
    /// The learning rate falls along half a cosine to 0 at the last step.
    Cosine,
}

impl Options {
    /// Returns the files and folders that are read.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> + Clone {
        let others = [&self.start, &self.description, &self.held_out];
        self.input.paths().chain(others.into_iter().flatten().map(PathBuf::as_path))
    }

    /// Returns the number of steps.
    pub(super) fn steps(&self, rows: &Rows) -> anyhow::Result<u64> {
        match (self.steps, rows.steps()) {
            (Some(steps), Some(most)) => {
                let most = most / self.accumulate;
                ensure!(steps <= most, "--steps {steps}: the file of --batches has only {most} steps");
                Ok(steps)
            }
            (Some(steps), None) => Ok(steps),
            (None, Some(batches)) => {
                let steps = batches / self.accumulate;
                ensure!(
                    steps > 0,
                    "--accumulate {}: the file of --batches has only {batches} batches",
                    self.accumulate
                );
                Ok(steps)
            }
            (None, None) => anyhow::bail!("give --steps, the number of steps"),
        }
    }

    /// Returns the settings of a run of this number of steps.
    pub(super) fn config(&self, steps: u64) -> anyhow::Result<TrainingConfig> {
        let warm_up = match self.warm_up {
            0 => WarmUp::None,
            steps => WarmUp::Linear { steps, from: 0.0 },
        };
        let decay = match self.decay {
            Fall::None => Decay::None,
            Fall::Linear => Decay::LinearOverLast { share: 1.0, to: 0.0 },
            Fall::Cosine => Decay::Cosine { to: 0.0 },
        };
        let schedule =
            Schedule::new(ScheduleConfig { peak: self.learning_rate, total_steps: steps, warm_up, decay })
                .context("the learning rate")?;
        let &[beta1, beta2] = self.betas.as_slice() else {
            anyhow::bail!("--betas takes two numbers, as in 0.9,0.999")
        };
        let mut config =
            TrainingConfig::new(schedule).weight_decay(self.weight_decay).context("--weight-decay")?;
        (config.adam.beta1, config.adam.beta2, config.adam.epsilon) = (beta1, beta2, self.epsilon);
        if self.recompute {
            config = config.activations(Activations::Recomputed);
        }
        match self.clip {
            Some(clip) => Ok(config.clip(clip).context("--clip")?),
            None => Ok(config),
        }
    }
}
