//! `collimate manual`.

use crate::session::{check_file, existing};
use clap_mangen::Man;
use collimate_output::{check_folder, create_folder, write};
use std::path::{Path, PathBuf};

/// The options of `collimate manual`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate manual --output ~/.local/share/man/man1")]
pub(crate) struct Options {
    /// The folder to write the pages into. It is created if needed.
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
    /// Replace existing pages.
    #[arg(long)]
    force: bool,
}

/// Writes a manual page for `command` and for each command in it.
pub(crate) fn run(options: &Options, command: clap::Command) -> anyhow::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut all = Vec::new();
    pages(&command, &options.output, &mut all);
    check_folder(&options.output)?;
    if options.output.is_dir() {
        all.iter().try_for_each(|(path, _)| check_file(path, options.force))?;
    }
    create_folder(&options.output)?;
    for (path, page) in &all {
        write(path, existing(options.force), |mut out| page.render(&mut out))?;
    }
    // The paths come last, because a reader that has ended (`| head`) ends the program.
    all.iter().for_each(|(path, _)| println!("{}", path.display()));
    Ok(())
}

/// Adds the page of a command and of each command in it, with its path.
fn pages(command: &clap::Command, folder: &Path, all: &mut Vec<(PathBuf, Man)>) {
    let page = Man::new(command.clone());
    all.push((folder.join(page.get_filename()), page));
    command.get_subcommands().for_each(|inner| pages(inner, folder, all));
}
