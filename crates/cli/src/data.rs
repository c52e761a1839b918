//! `collimate data`.

use crate::terminal::Downloads;
use collimate_studies::data::{self, BROWN, Cache, SMOLLM2};
use std::path::PathBuf;

/// The options of `collimate data`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also the Brown corpus (2.9 MB), which may be restricted to non-commercial use.
    #[arg(long)]
    full: bool,
    /// The cache folder, instead of the user's (or of the variable COLLIMATE_CACHE).
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Only check what is in the cache; download nothing.
    #[arg(long)]
    verify: bool,
}

/// Brings the items, or with `--verify` only checks them.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let cache = match &options.cache {
        Some(folder) => Cache::at(folder),
        None => Cache::user()?,
    };
    let items = if options.full { vec![&SMOLLM2, &BROWN] } else { vec![&SMOLLM2] };
    let mut failed = None;
    for item in items {
        // One item that fails does not keep the others from being brought.
        let result = if options.verify {
            data::locate(item, &cache).inspect(|path| println!("{}: whole: {}", item.name, path.display()))
        } else {
            let mut downloads = Downloads::new();
            data::install(item, &cache, &data::Clients::default(), &mut |event| downloads.show(&event))
        };
        if let Err(error) = result
            && let Some(earlier) = failed.replace(error)
        {
            eprintln!("error: {earlier}");
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
