//! `collimate activations`.

use crate::session::{Session, Steps, on_interrupt};
use crate::texts::Source;
use anyhow::{Context, bail, ensure};
use collimate_output::{NewFolder, OutputError, check_inputs, is_free};
use collimate_sae::shards::Shards;
use collimate_studies::language_model::{CaptureTarget, capture_into};
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
    /// Replace the shards that the folder holds. Other files in it stay.
    #[arg(long)]
    force: bool,
}

/// Runs the model on the text and writes the activations of the site.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    let (source, output) = (&options.source, &options.output);
    source.check()?;
    check_inputs(output, source.paths())?;
    let obsolete = obsolete(output, options.force)?;
    let folder = match NewFolder::begin(output) {
        Err(OutputError::Busy { .. }) => {
            bail!(
                "another process writes into {}; wait until it has ended, or choose another folder",
                output.display()
            )
        }
        folder => folder?,
    };
    let setup = source.setup()?;
    let point = source.point(&setup)?;
    let sequences = source.sequences(&setup)?;
    let leave_out = source.leave_out(&setup)?;
    let about = source.provenance(&setup, point, &leave_out).into_known();
    let target = CaptureTarget { point, folder, path: output.clone(), obsolete, about };
    let stop = on_interrupt("removing what was captured");
    let mut steps = Steps::new(session, "sequences", sequences.len() as u64);
    let captured = capture_into(&setup.model, &sequences, vec![target], &leave_out, &mut |done| {
        steps.at(done as u64, "");
        !stop.load(Ordering::SeqCst)
    });
    steps.finish();
    let shards = captured?.remove(0);
    println!("{}: {} rows of width {}, {point}", output.display(), shards.rows(), shards.width());
    Ok(())
}

/// Returns the files of an earlier set that the new one replaces, or an error unless shards may be written to the folder.
fn obsolete(folder: &Path, force: bool) -> anyhow::Result<Vec<String>> {
    if is_free(folder)? {
        return Ok(Vec::new());
    }
    ensure!(
        force,
        "the folder {} is not empty: choose another folder, or replace its shards with --force",
        folder.display()
    );
    let shards = Shards::open(folder).with_context(|| {
        format!(
            "the folder {} is not empty and holds no shards: --force replaces only shards; choose another folder",
            folder.display()
        )
    })?;
    Ok(shards.files())
}
