//! `collimate data`.

use crate::session::{Downloads, Session, on_interrupt, say};
use collimate_studies::data::{self, BROWN, Cache, DataError, MINILM, SMOLLM2};
use std::path::PathBuf;
use std::sync::Arc;

/// The options of `collimate data`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate data
  collimate data --encoder
  collimate data --full
  collimate data --full --verify")]
pub(crate) struct Options {
    /// Also download the Brown corpus (2.9 MB), which may be restricted to non-commercial use.
    #[arg(long)]
    full: bool,
    /// Also download the encoder all-MiniLM-L6-v2 (83.5 MB), a second model for the claims about a model.
    #[arg(long)]
    encoder: bool,
    /// The cache folder; by default that of the variable COLLIMATE_CACHE, or else the user's cache folder.
    #[arg(long, value_name = "FOLDER")]
    cache: Option<PathBuf>,
    /// Only check the files in the cache, and download nothing.
    #[arg(long)]
    verify: bool,
}

/// Downloads the items, or only checks them with `--verify`.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    let cache = match &options.cache {
        Some(folder) => Cache::at(folder),
        None => Cache::user()?,
    };
    let mut items = vec![&SMOLLM2];
    items.extend(options.encoder.then_some(&MINILM));
    items.extend(options.full.then_some(&BROWN));
    // A check has nothing to save, so that a signal ends it at once.
    let stop = if options.verify { Arc::default() } else { on_interrupt("ending the download") };
    let mut failed = None;
    for item in items {
        // The other items are still downloaded when one fails.
        let result = if options.verify {
            data::locate(item, &cache).inspect(|path| println!("{}: complete: {}", item.name, path.display()))
        } else {
            Downloads::new(session).install(item, &cache, &stop)
        };
        if let Err(error @ DataError::Interrupted { .. }) = result {
            return Err(error.into());
        }
        if let Err(error) = result
            && let Some(earlier) = failed.replace(error)
        {
            say(&format!("error: {earlier}"));
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
