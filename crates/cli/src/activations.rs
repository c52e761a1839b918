//! `collimate activations`.

use crate::stop::on_interrupt;
use crate::terminal::Steps;
use crate::texts::Source;
use anyhow::ensure;
use collimate_studies::model::capture;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// The options of `collimate activations`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    source: Source,
    /// The folder to write the shards into; it must be empty or not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the model on the text and writes what passes the site.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    options.source.check()?;
    let out = &options.out;
    let empty = !out.exists() || out.read_dir()?.next().is_none();
    ensure!(empty, "the folder {} is not empty: name another, or remove it first", out.display());
    let laboratory = options.source.laboratory()?;
    let point = options.source.point(&laboratory)?;
    let sequences = options.source.sequences(&laboratory)?;
    let stop = on_interrupt("removing what was captured")?;
    let mut steps = Steps::new("sequences", sequences.len() as u64);
    // Written beside its place, so that no folder ever holds half of the set.
    let partial = out.with_file_name(format!(
        "{}.partial-{}",
        out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        std::process::id()
    ));
    let captured = capture(&laboratory.decoder, &sequences, point, &partial, |done| {
        steps.at(done as u64, "");
        !stop.load(Ordering::SeqCst)
    });
    steps.finish();
    let shards = match captured {
        Ok(shards) => shards,
        Err(error) => {
            // Of no use without the rest.
            let _ = std::fs::remove_dir_all(&partial);
            return Err(error.into());
        }
    };
    if out.exists() {
        std::fs::remove_dir(out)?;
    }
    std::fs::rename(&partial, out)?;
    println!("{}: {} rows of width {}, {point}", out.display(), shards.rows(), shards.width());
    Ok(())
}
