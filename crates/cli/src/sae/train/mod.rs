//! `collimate sae train`.

mod files;
mod held_out;
mod metrics;
mod recipe;
mod start;

use super::own::{Own, own};
use super::rows::{Places, Rows};
use crate::session::{Interrupted, Session, Steps, affordable, on_interrupt, say};
use anyhow::Context;
use collimate_sae::{InputBias, Model, Progress, Sae, SaeError, Size, Skip, Training, Transcoder};
use collimate_stream::RngStream;
use files::RunFiles;
use held_out::{HeldOut, HeldOutOptions};
use metrics::Metrics;
use recipe::Recipe;
use start::StartOptions;
use std::cell::RefCell;
use std::path::PathBuf;

/// The options of `collimate sae train`.
#[derive(clap::Args)]
#[command(after_help = "\
Ctrl-C, SIGTERM and SIGHUP write a checkpoint. The same command continues from it, to the same result bit for bit.

Examples:
  collimate sae train --activations shards --variant topk --k 32 --latents 4096 --output sae.safetensors
  collimate sae train --activations rows.npy --variant gated --l1 0.4 --latents 512 --steps 2000 --output sae.safetensors
  collimate sae train --activations mid --target mlp --skip --variant topk --k 32 --latents 1152 --output transcoder.safetensors
  collimate sae train --activations shards --variant topk --k 32 --latents 4096 --start-from sae.safetensors --output further.safetensors
  collimate sae train --activations layer3 --activations layer4 --variant crosscoder --k 32 --latents 2048 --output crosscoder.safetensors")]
pub(crate) struct Options {
    #[command(flatten)]
    places: Places,
    /// The file to write the dictionary to. Its checkpoint is kept beside it until the run is finished; `.checkpoint` is appended to
    /// the whole name.
    #[arg(long, alias = "out", value_name = "FILE")]
    output: PathBuf,
    /// Start from the beginning, and replace an existing dictionary, checkpoint and log.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    recipe: Recipe,
    #[command(flatten)]
    held_out: HeldOutOptions,
    /// Give a transcoder (--target) a linear path from input to output beside its latents.
    #[arg(long, requires = "target")]
    skip: bool,
    #[command(flatten)]
    start: StartOptions,
    /// The number of updates between two checkpoints.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: u64,
    /// Also write the log to this file, one JSON object in each line, while the run goes on. The log of an earlier run
    /// is replaced; another file only with --force.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

/// Trains a dictionary or a transcoder, or continues an interrupted run.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    let (recipe, places) = (&options.recipe, &options.places);
    let metrics = options.metrics.as_deref();
    let inputs = places.paths().chain(options.start.start_from.as_deref()).chain(options.held_out.place());
    let files = RunFiles::claim(&options.output, metrics, options.force, inputs)?;
    let rows = places.open()?;
    let target = rows.target()?;
    recipe.check(rows.widths(), target.is_some())?;
    check_memory(recipe, rows.width(), target)?;
    let held_out = options.held_out.open(&rows)?;
    let (variant, config) = recipe.preset(rows.widths().len(), target.is_some())?;
    let idle = config.without_effect(&variant)?;
    idle.iter().for_each(|note| say(&format!("note: {note}")));
    let mut stream = RngStream::named(recipe.seed, "dictionary start");
    let (d_model, n_latents) = (rows.width(), recipe.latents);
    match target {
        None => {
            let (start, config) = match &options.start.start_from {
                Some(path) => {
                    start::further(path, &options.start.given(), &rows, n_latents, variant, config)?
                }
                None => (Sae::<f32>::new(variant, Size { d_model, n_latents }, &mut stream)?, config),
            };
            train(options, session, &files, (&rows, held_out.as_ref()), Training::new(start, config)?)
        }
        Some(d_out) => {
            let variant = variant.with_input_bias(InputBias::NotSubtracted);
            let skip = if options.skip { Skip::Zero } else { Skip::None };
            let start = Transcoder::<f32>::new(variant, d_model, d_out, n_latents, skip, &mut stream)?;
            train(options, session, &files, (&rows, held_out.as_ref()), Training::new(start, config)?)
        }
    }
}

/// Returns an error if the run would not fit into the memory: the weights with their moments, a copy for the file, and the rows
/// of a batch.
fn check_memory(recipe: &Recipe, width: usize, target: Option<usize>) -> anyhow::Result<()> {
    const COPIES: usize = 6;
    let widths = width.saturating_add(target.unwrap_or(width));
    affordable("--latents", &[recipe.latents, widths.saturating_add(4), COPIES, size_of::<f32>()])?;
    affordable("--batch", &[recipe.batch, widths, COPIES, size_of::<f32>()])
}

fn train<M: Model<Precision = f32>>(
    options: &Options,
    session: &Session,
    files: &RunFiles<'_>,
    (rows, held_out): (&Rows, Option<&HeldOut>),
    training: Training<M>,
) -> anyhow::Result<()> {
    let (recipe, output, checkpoint) = (&options.recipe, files.output, &files.checkpoint);
    let stop = on_interrupt("writing a checkpoint; the same command continues from it");
    let mut training = training.on_data(rows.fingerprint()).stop_on(stop);
    if !options.force
        && own(output) == Some(Own::Dictionary)
        && let Some(done) = training.finished(output)?
    {
        Metrics::start(files.metrics, &done.log, recipe.steps)?;
        println!("{}: this run is finished already ({} rows)", output.display(), done.rows);
        return Ok(());
    }
    files.allow_replacing()?;
    if files.continues() {
        training.load_checkpoint(checkpoint).with_context(|| {
            format!(
                "cannot continue from {}; give the options with which the run was started, or start from the beginning with --force",
                checkpoint.display()
            )
        })?;
        say(&format!("continuing from step {} ({})", training.step(), checkpoint.display()));
    }
    // Log lines after the last checkpoint are written again.
    let metrics = RefCell::new(Metrics::start(files.metrics, training.log(), training.step())?);
    let steps = RefCell::new(Steps::new(session, "updates", recipe.steps));
    let mut show = |progress: &Progress| {
        metrics.borrow_mut().push(&progress.json_line());
        steps.borrow_mut().at(progress.step, &note(progress));
    };
    let mut watch = |run: &Training<M>| -> Result<(), SaeError> {
        if let Some(measured) = held_out.map_or(Ok(None), |held_out| held_out.measure(run))? {
            metrics.borrow_mut().push(&measured.json_line());
            steps.borrow().line(&measured.line());
        }
        Ok(())
    };
    // The order of the rows depends on the seed alone. A continued run skips the rows that were used already.
    let mut order = RngStream::named(recipe.seed, "order of the rows");
    let about = rows.provenance().into_known();
    let rows = rows.shuffled(recipe.batch, &mut order)?;
    let every = options.checkpoint_every;
    match training.advance_watched(rows, recipe.steps, checkpoint, every, &mut show, &mut watch) {
        Ok(()) => {}
        Err(SaeError::Interrupted { step }) => {
            training.save_checkpoint(checkpoint)?;
            let said = format!("interrupted at step {step}; {} holds the checkpoint", checkpoint.display());
            return Err(Interrupted(said).into());
        }
        Err(error) => return Err(error.into()),
    }
    steps.borrow().finish();
    // If the dictionary cannot be written, the same command writes it from the checkpoint.
    training.save_checkpoint(checkpoint)?;
    let trained = training.finish()?;
    trained.save_about(output, &about).with_context(|| {
        format!("the same command writes the dictionary from the checkpoint {}", checkpoint.display())
    })?;
    files.remove_checkpoint()?;
    println!(
        "{}: {} latents, {} rows, {} dead",
        output.display(),
        recipe.latents,
        trained.rows,
        trained.dead.len()
    );
    metrics.into_inner().finish()
}

/// Returns the state of a run in a few words.
fn note(progress: &Progress) -> String {
    let ratio = |value: f64| if value.is_nan() { "undefined".to_owned() } else { format!("{value:.4}") };
    format!(
        "loss {:.4}, L0 {:.1}, explained {}, γ {}, dead {:.1} %",
        progress.losses.total,
        progress.losses.l0,
        ratio(progress.explained_variance),
        ratio(progress.gamma),
        100.0 * progress.dead_fraction
    )
}
