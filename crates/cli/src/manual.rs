//! `collimate manual`.

use anyhow::Context;
use collimate_output::{Existing, write};
use std::path::{Path, PathBuf};

/// The options of `collimate manual`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate manual --output ~/.local/share/man/man1")]
pub(crate) struct Options {
    /// The folder to write the pages into. It is created if needed; earlier pages are replaced.
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
}

/// Writes a manual page for `command` and for each command in it.
pub(crate) fn run(options: &Options, command: clap::Command) -> anyhow::Result<()> {
    let folder = &options.output;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    pages(&command, folder)
}

fn pages(command: &clap::Command, folder: &Path) -> anyhow::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    let path = folder.join(page.get_filename());
    write(&path, Existing::Replace, |mut out| page.render(&mut out))?;
    println!("{}", path.display());
    command.get_subcommands().try_for_each(|inner| pages(inner, folder))
}
