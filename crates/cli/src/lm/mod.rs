//! `collimate lm`.

mod eval;
mod files;
mod input;
mod options;
mod rows;
mod samples;
mod train;

use crate::session::Session;
use clap::Subcommand;

/// The options of `collimate lm`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate lm train --description config.json --corpus texts --part train --tokenizer bytes --context 64 --steps 2000 --output small
  collimate lm eval small --corpus texts --part held-out --context 64")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a language model from scratch, or train one further.
    Train(Box<options::Options>),
    /// Measure the loss of a language model on a text.
    Eval(eval::Options),
}

/// Runs the command.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    match &options.command {
        Command::Train(options) => train::run(options, session),
        Command::Eval(options) => eval::run(options),
    }
}
