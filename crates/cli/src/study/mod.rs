//! `collimate study`.

mod charlm;
mod grokking;
mod random;
mod steps;

use crate::session::Session;
use clap::Subcommand;

/// The options of `collimate study`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate study charlm --until 500 --json
  collimate study grokking --model transformer --prime 59 --width 64 --train-fraction 0.5 --until 1000 --json")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a small transformer on the bytes of the Jargon File.
    Charlm(charlm::Options),
    /// Train a small network on addition modulo a number, until it generalises.
    Grokking(grokking::Options),
}

impl Options {
    /// Returns true if the command prints JSON.
    pub(crate) fn prints_json(&self) -> bool {
        match &self.command {
            Command::Charlm(options) => options.json,
            Command::Grokking(options) => options.json,
        }
    }
}

/// Runs the command.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    match &options.command {
        Command::Charlm(options) => charlm::run(options, session),
        Command::Grokking(options) => grokking::run(options, session),
    }
}
