//! `collimate lm train`.

use super::eval::mean_loss;
use super::files::RunFiles;
use super::options::Options;
use crate::model::{Precision, open};
use crate::session::{Interrupted, Session, Steps, on_interrupt, say};
use anyhow::{Context, bail, ensure};
use collimate_stream::RngStream;
use collimate_transformer::{Model, StepReport, Training};
use serde_json::json;
use std::sync::atomic::Ordering;

/// Trains a model.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    options.input.check()?;
    let files = match &options.output {
        Some(output) => Some(RunFiles::claim(output, options.force, options.paths())?),
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
    let tokenizer = options.input.tokenizer(options.start.as_deref())?;
    let rows = options.input.read(tokenizer.as_ref())?;
    let steps = options.steps(&rows)?;
    let held_out = options.input.read_held_out(options.held_out.as_deref(), tokenizer.as_ref())?;
    let model = start::<F>(options)?;
    let (vocabulary, layers) = (model.description().vocabulary, model.description().layers.len());
    [Some(&rows), held_out.as_ref()].into_iter().flatten().try_for_each(|rows| rows.check(vocabulary))?;
    if let Some(layer) = options.layers.iter().find(|&&layer| layer >= layers) {
        bail!("--layers {layer}: the model has {layers} layers, counted from 0");
    }
    let samples = options.samples.prepare(&model, tokenizer.as_ref(), &rows, options.seed)?;
    let mut training = Training::of_chosen(model, options.config(steps)?, |name| {
        options.layers.is_empty() || name.layer.is_some_and(|layer| options.layers.contains(&layer))
    })?;
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
    let mut order = rows.batches(options.seed);
    while training.steps() < steps {
        let first = training.steps() * options.accumulate;
        let batches: Vec<_> = (first..first + options.accumulate).map(|number| order.get(number)).collect();
        let views: Vec<_> = batches.iter().map(|batch| batch.view()).collect();
        let report = training.step(&views)?;
        println!("{}", line(&report));
        bar.at(report.step, &format!("loss {:.4}", report.loss));
        let last = report.step == steps;
        if let Some(rows) =
            held_out.as_ref().filter(|_| last || report.step.is_multiple_of(options.held_out_every))
        {
            let (loss, _) = mean_loss(training.model(), rows)?;
            println!("{}", json!({ "step": report.step, "held_out_loss": loss }));
        }
        if let Some(samples) = &samples
            && let Some(text) = samples.after(report.step, last, training.model())?
        {
            println!("{text}");
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
        if let Some(tokenizer) = &tokenizer {
            tokenizer.save(files.output)?;
        }
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

/// Returns the numbers of a step as a line of JSON.
fn line(report: &StepReport) -> String {
    let StepReport { step, loss, gradient_norm, rate, targets, .. } = *report;
    json!({ "step": step, "loss": loss, "gradient_norm": gradient_norm, "rate": rate, "targets": targets })
        .to_string()
}
