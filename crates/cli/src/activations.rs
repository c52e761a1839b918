//! `collimate activations`.

use crate::session::{Session, Steps, on_interrupt};
use crate::texts::Source;
use anyhow::{Context, ensure};
use collimate_studies::language_model::capture;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// The options of `collimate activations`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate activations --layer 9 --output activations
  collimate activations --layer 9 --site mlp-output --corpus texts --tokens 20000 --output mlp")]
pub(crate) struct Options {
    #[command(flatten)]
    source: Source,
    /// The folder to write the shards into. It must be empty or not exist, unless --force is given.
    #[arg(long, alias = "out", value_name = "FOLDER")]
    output: PathBuf,
    /// Replace the shards that the folder holds.
    #[arg(long)]
    force: bool,
}

/// Runs the model on the text and writes the activations of the site.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    options.source.check()?;
    let output = &options.output;
    check_folder(output, options.force)?;
    let setup = options.source.setup()?;
    let point = options.source.point(&setup)?;
    let sequences = options.source.sequences(&setup)?;
    let stop = on_interrupt("removing what was captured")?;
    let mut steps = Steps::new(session, "sequences", sequences.len() as u64);
    // The shards are written beside the folder, which is replaced only when the set is complete.
    let partial = output.with_file_name(format!(
        "{}.partial-{}",
        output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        std::process::id()
    ));
    let captured = capture(&setup.decoder, &sequences, &[(point, partial.clone())], &mut |done| {
        steps.at(done as u64, "");
        !stop.load(Ordering::SeqCst)
    });
    steps.finish();
    let shards = captured?.remove(0);
    if output.exists() {
        // Files that another program wrote into an empty folder meanwhile are not removed.
        let remove = if options.force { std::fs::remove_dir_all } else { std::fs::remove_dir };
        remove(output).with_context(|| format!("cannot replace {}", output.display()))?;
    }
    std::fs::rename(&partial, output)?;
    println!("{}: {} rows of width {}, {point}", output.display(), shards.rows(), shards.width());
    Ok(())
}

/// Returns an error unless shards may be written to the folder.
fn check_folder(folder: &Path, force: bool) -> anyhow::Result<()> {
    if !folder.exists() || folder.read_dir()?.next().is_none() {
        return Ok(());
    }
    ensure!(
        force,
        "the folder {} is not empty: choose another folder, or replace its shards with --force",
        folder.display()
    );
    ensure!(
        folder.join("index").is_file(),
        "the folder {} is not empty and holds no shards: --force replaces only shards; choose another folder",
        folder.display()
    );
    Ok(())
}
