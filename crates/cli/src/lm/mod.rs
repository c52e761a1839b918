//! `collimate lm`.

mod eval;
mod files;
mod rows;
mod train;

use crate::session::Session;
use clap::Subcommand;

/// The options of `collimate lm`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate lm train --description config.json --tokens tokens.npy --context 64 --batch 12 --steps 2000 --output small
  collimate lm eval small --tokens held-out.npy --context 64")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a language model from scratch, or train one further.
    Train(Box<train::Options>),
    /// Measure the loss of a language model on tokens.
    Eval(eval::Options),
}

/// Runs the command.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    match &options.command {
        Command::Train(options) => train::run(options, session),
        Command::Eval(options) => eval::run(options),
    }
}
