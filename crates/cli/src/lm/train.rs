//! `collimate lm train`.

use super::files::RunFiles;
use super::rows::{RowOptions, Rows};
use crate::model::{Precision, open};
use crate::session::{Interrupted, Session, Steps, on_interrupt, say};
use anyhow::{Context, ensure};
use collimate_stream::RngStream;
use collimate_transformer::{
    Decay, Model, Schedule, ScheduleConfig, StepReport, Training, TrainingConfig, WarmUp,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// The options of `collimate lm train`.
#[derive(clap::Args)]
#[command(after_help = "\
Each step is a line of JSON on the standard output: step, loss, gradient_norm, rate and targets. Ctrl-C, SIGTERM and SIGHUP write a
checkpoint; the same command continues from it, to the same result bit for bit.

Examples:
  collimate lm train --description config.json --tokens tokens.npy --context 64 --batch 12 --steps 2000 --output small
  collimate lm train --start some-folder --tokens tokens.npy --context 128 --steps 500 --learning-rate 1e-4 --output further
  collimate lm train --start some-folder --batches batches.npy --precision f64 > steps.jsonl")]
pub(crate) struct Options {
    /// The model to train further, a folder with config.json and safetensors files.
    #[arg(
        long,
        value_name = "FOLDER",
        conflicts_with = "description",
        required_unless_present = "description"
    )]
    start: Option<PathBuf>,
    /// The configuration of a model to train from random weights, a file like config.json.
    #[arg(long, value_name = "FILE")]
    description: Option<PathBuf>,
    #[command(flatten)]
    rows: RowOptions,
    /// The number of steps; with --batches, that of the file.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// The folder to write the model to. Its checkpoint is kept beside it until the run is finished; `.checkpoint` is appended to the
    /// name. Without it, nothing is written.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Start from the beginning, and replace an existing model and checkpoint.
    #[arg(long)]
    force: bool,
    /// The precision of the computation.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// The largest learning rate of AdamW.
    #[arg(long, default_value_t = 1e-3)]
    learning_rate: f64,
    /// The number of steps in which the learning rate rises from 0.
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    warm_up: u64,
    /// The fall of the learning rate after that.
    #[arg(long, value_enum, default_value = "none")]
    decay: Fall,
    /// The decoupled weight decay of matrices; gains, biases and other vectors are not decayed.
    #[arg(long, default_value_t = 0.01)]
    weight_decay: f64,
    /// The factors β₁ and β₂ of Adam.
    #[arg(long, value_delimiter = ',', num_args = 1, default_values_t = [0.9, 0.999])]
    betas: Vec<f64>,
    /// The number ε of Adam.
    #[arg(long, default_value_t = 1e-8)]
    epsilon: f64,
    /// The largest norm of the gradient; longer ones are shortened to it.
    #[arg(long, value_name = "NORM")]
    clip: Option<f64>,
    /// The number of batches whose gradients make one step.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    accumulate: u64,
    /// The seed of the weights and of the order of the rows.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Measure the loss on these tokens too, a .npy file like that of --tokens.
    #[arg(long, value_name = "FILE", requires = "context")]
    held_out: Option<PathBuf>,
    /// The number of steps between two measurements on --held-out.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    held_out_every: u64,
    /// The number of steps between two checkpoints.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: u64,
}

/// The fall of the learning rate.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Fall {
    /// No fall.
    None,
    /// Linear, to 0 at the last step.
    Linear,
    /// Half a cosine, to 0 at the last step.
    Cosine,
}

/// Trains a model.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    let inputs = options.rows.paths();
    let inputs = inputs.chain(
        [&options.start, &options.description, &options.held_out].into_iter().flatten().map(PathBuf::as_path),
    );
    let files = match &options.output {
        Some(output) => Some(RunFiles::claim(output, options.force, inputs)?),
        None => None,
    };
    match options.precision {
        Precision::F32 => train::<f32>(options, session, files.as_ref()),
        Precision::F64 => train::<f64>(options, session, files.as_ref()),
    }
}

fn train<F: collimate_transformer::Precision>(
    options: &Options,
    session: &Session,
    files: Option<&RunFiles<'_>>,
) -> anyhow::Result<()> {
    let rows = options.rows.read()?;
    let steps = steps(options, &rows)?;
    let held_out = options.held_out.as_deref().map(|path| held_out(path, options)).transpose()?;
    let model = start::<F>(options)?;
    let mut training = Training::new(model, config(options, steps)?)?;
    if let Some(files) = files.filter(|files| files.continues()) {
        training.load_checkpoint(&files.checkpoint).with_context(|| {
            let name = files.checkpoint.display();
            format!("cannot continue from {name}; give the options with which the run was started, or begin again with --force")
        })?;
        say(&format!("continuing from step {} ({})", training.steps(), files.checkpoint.display()));
    }
    let stop = on_interrupt(match files {
        Some(_) => "writing a checkpoint; the same command continues from it",
        None => "ending after this step; nothing is written without --output",
    });
    let mut bar = Steps::new(session, "steps", steps);
    while training.steps() < steps {
        let first = training.steps() * options.accumulate;
        let batches: Vec<_> =
            (first..first + options.accumulate).map(|number| rows.batch(number, options.seed)).collect();
        let views: Vec<_> = batches.iter().map(|batch| batch.view()).collect();
        let report = training.step(&views)?;
        println!("{}", line(&report));
        bar.at(report.step, &format!("loss {:.4}", report.loss));
        if let Some(held_out) =
            held_out.as_ref().filter(|_| report.step % options.held_out_every == 0 || report.step == steps)
        {
            let loss = training.loss(&held_out.iter().map(|batch| batch.view()).collect::<Vec<_>>())?;
            println!("{}", json!({ "step": report.step, "held_out_loss": loss }));
        }
        let stopped = stop.load(Ordering::SeqCst);
        if let Some(files) = files.filter(|_| stopped || report.step % options.checkpoint_every == 0) {
            training.save_checkpoint(&files.checkpoint)?;
        }
        if stopped && training.steps() < steps {
            let said = match files {
                Some(files) => format!(
                    "interrupted at step {}; {} holds the checkpoint",
                    report.step,
                    files.checkpoint.display()
                ),
                None => format!("interrupted at step {}", report.step),
            };
            return Err(Interrupted(said).into());
        }
    }
    bar.finish();
    if let Some(files) = files {
        // If the model cannot be written, the same command writes it from the checkpoint.
        training.save_checkpoint(&files.checkpoint)?;
        training.model().save(files.output)?;
        files.remove_checkpoint()?;
        say(&format!(
            "{}: {} parameters after {steps} steps",
            files.output.display(),
            training.model().n_parameters()
        ));
    }
    Ok(())
}

/// Returns the model that the run starts from.
fn start<F: collimate_transformer::Precision>(options: &Options) -> anyhow::Result<Model<F>> {
    if let Some(folder) = &options.start {
        ensure!(
            folder.is_dir(),
            "--start {}: no folder with config.json and safetensors files",
            folder.display()
        );
        return open(folder, None, false);
    }
    let path = options.description.as_ref().context("give --start or --description")?;
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let stream = RngStream::named(options.seed, "weights of a language model");
    Model::random_of_configuration(&text, &stream).with_context(|| path.display().to_string())
}

/// Returns the number of steps.
fn steps(options: &Options, rows: &Rows) -> anyhow::Result<u64> {
    match (options.steps, rows.steps()) {
        (Some(steps), Some(most)) => {
            let most = most / options.accumulate;
            ensure!(steps <= most, "--steps {steps}: the file of --batches has only {most} steps");
            Ok(steps)
        }
        (Some(steps), None) => Ok(steps),
        (None, Some(batches)) => {
            let steps = batches / options.accumulate;
            ensure!(
                steps > 0,
                "--accumulate {}: the file of --batches has only {batches} batches",
                options.accumulate
            );
            Ok(steps)
        }
        (None, None) => anyhow::bail!("--tokens needs --steps, the number of steps"),
    }
}

fn config(options: &Options, steps: u64) -> anyhow::Result<TrainingConfig> {
    let warm_up = match options.warm_up {
        0 => WarmUp::None,
        steps => WarmUp::Linear { steps, from: 0.0 },
    };
    let decay = match options.decay {
        Fall::None => Decay::None,
        Fall::Linear => Decay::LinearOverLast { share: 1.0, to: 0.0 },
        Fall::Cosine => Decay::Cosine { to: 0.0 },
    };
    let schedule =
        Schedule::new(ScheduleConfig { peak: options.learning_rate, total_steps: steps, warm_up, decay })
            .context("the learning rate")?;
    let &[beta1, beta2] = options.betas.as_slice() else {
        anyhow::bail!("--betas takes two numbers, as in 0.9,0.999")
    };
    let mut config =
        TrainingConfig::new(schedule).weight_decay(options.weight_decay).context("--weight-decay")?;
    (config.adam.beta1, config.adam.beta2, config.adam.epsilon) = (beta1, beta2, options.epsilon);
    match options.clip {
        Some(clip) => Ok(config.clip(clip).context("--clip")?),
        None => Ok(config),
    }
}

/// Reads the tokens of --held-out as rows of the length of the run.
fn held_out(path: &Path, options: &Options) -> anyhow::Result<Vec<ndarray::Array2<u32>>> {
    let rows = options.rows.with_tokens(path).read()?;
    let mut batches = Vec::new();
    rows.each(|batch| {
        batches.push(batch.to_owned());
        Ok(())
    })?;
    Ok(batches)
}

/// Returns the numbers of a step as a line of JSON.
fn line(report: &StepReport) -> String {
    let StepReport { step, loss, gradient_norm, rate, targets, .. } = *report;
    json!({ "step": step, "loss": loss, "gradient_norm": gradient_norm, "rate": rate, "targets": targets })
        .to_string()
}
