//! `collimate sae train`.

use super::metrics::Metrics;
use super::recipe::Recipe;
use super::rows::{Places, Rows};
use crate::session::{Session, Steps, on_interrupt};
use anyhow::{Context, bail, ensure};
use collimate_output::{Existing, check};
use collimate_sae::{InputBias, Model, Progress, Sae, SaeError, Size, Skip, Training, Transcoder};
use collimate_stream::RngStream;
use std::path::{Path, PathBuf};

/// The options of `collimate sae train`.
#[derive(clap::Args)]
#[command(after_help = "\
Ctrl-C writes a checkpoint. The same command continues from it, to the same result bit for bit.

Examples:
  collimate sae train --activations shards --variant topk --k 32 --latents 4096 --output sae.safetensors
  collimate sae train --activations rows.npy --variant gated --l1 0.4 --latents 512 --steps 2000 --output sae.safetensors
  collimate sae train --activations mid --target mlp --skip --variant topk --k 32 --latents 1152 --output transcoder.safetensors
  collimate sae train --activations layer3 --activations layer4 --variant crosscoder --k 32 --latents 2048 --output crosscoder.safetensors")]
pub(crate) struct Options {
    #[command(flatten)]
    places: Places,
    /// The file to write the dictionary to. Its checkpoint is kept beside it, with the extension `checkpoint`, until the run is
    /// finished.
    #[arg(long, alias = "out", value_name = "FILE")]
    output: PathBuf,
    /// Start from the beginning, and replace an existing dictionary and checkpoint.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    recipe: Recipe,
    /// Give a transcoder (--target) a linear path from input to output beside its latents.
    #[arg(long, requires = "target")]
    skip: bool,
    /// The number of updates between two checkpoints.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: u64,
    /// Also write the log to this file, one JSON object in each line, while the run goes on. An existing file is replaced.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
}

/// Trains a dictionary or a transcoder, or continues an interrupted run.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    let (recipe, rows) = (&options.recipe, options.places.open()?);
    recipe.check(rows.widths(), rows.target().is_some())?;
    let (variant, config) = recipe.preset(rows.widths().len(), rows.target().is_some())?;
    let mut stream = RngStream::named(recipe.seed, "dictionary start");
    let (d_model, n_latents) = (rows.width(), recipe.latents);
    match rows.target() {
        None => {
            let start = Sae::<f32>::new(variant, Size { d_model, n_latents }, &mut stream)?;
            train(options, session, &rows, Training::new(start, config)?)
        }
        Some(d_out) => {
            let variant = variant.with_input_bias(InputBias::NotSubtracted);
            let skip = if options.skip { Skip::Zero } else { Skip::None };
            let start = Transcoder::<f32>::new(variant, d_model, d_out, n_latents, skip, &mut stream)?;
            train(options, session, &rows, Training::new(start, config)?)
        }
    }
}

fn train<M: Model>(
    options: &Options,
    session: &Session,
    rows: &Rows,
    training: Training<M>,
) -> anyhow::Result<()> {
    let (recipe, output) = (&options.recipe, &options.output);
    let stop = on_interrupt("writing a checkpoint; the same command continues from it")?;
    let mut training = training.on_data(rows.fingerprint()).stop_on(stop);
    let checkpoint = output.with_extension("checkpoint");
    if options.force {
        remove_if_present(&checkpoint)?;
    } else if let Some(done) = training.finished(output)? {
        Metrics::start(options.metrics.as_deref(), &done.log)?;
        println!("{}: this run is finished already ({} rows)", output.display(), done.rows);
        return Ok(());
    } else {
        ensure!(
            !output.exists(),
            "{} exists already and is not the result of this run; choose another file, or replace it with --force",
            output.display()
        );
    }
    check(output, Existing::Replace)?;
    if checkpoint.exists() {
        training.load_checkpoint(&checkpoint).with_context(|| {
            format!(
                "cannot continue from {}; give the options with which the run was started, or start from the beginning with --force",
                checkpoint.display()
            )
        })?;
        eprintln!("continuing from step {} ({})", training.step(), checkpoint.display());
    }
    // Log lines after the last checkpoint are written again.
    let mut metrics = Metrics::start(options.metrics.as_deref(), training.log())?;
    let mut steps = Steps::new(session, "updates", recipe.steps);
    let mut show = |progress: &Progress| {
        metrics.push(progress);
        steps.at(progress.step, &note(progress));
    };
    // The order of the rows depends on the seed alone. A continued run skips the rows that were used already.
    let mut order = RngStream::named(recipe.seed, "order of the rows");
    let rows = rows.shuffled(recipe.batch, &mut order)?;
    match training.advance_saving(rows, recipe.steps, &checkpoint, options.checkpoint_every, &mut show) {
        Ok(()) => {}
        Err(SaeError::Interrupted { step }) => {
            training.save_checkpoint(&checkpoint)?;
            bail!("interrupted at step {step}; {} holds the checkpoint", checkpoint.display());
        }
        Err(error) => return Err(error.into()),
    }
    steps.finish();
    let trained = training.finish()?;
    trained.save(output)?;
    remove_if_present(&checkpoint)?;
    println!(
        "{}: {} latents, {} rows, {} dead",
        output.display(),
        recipe.latents,
        trained.rows,
        trained.dead.len()
    );
    metrics.finish()
}

/// Returns the state of a run in a few words.
fn note(progress: &Progress) -> String {
    format!(
        "loss {:.4}, L0 {:.1}, explained {:.4}, γ {:.3}, dead {:.1} %",
        progress.losses.total,
        progress.losses.l0,
        progress.explained_variance,
        progress.gamma,
        100.0 * progress.dead_fraction
    )
}

fn remove_if_present(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        std::fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}
