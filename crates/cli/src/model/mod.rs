//! `collimate model`.

mod tokenize;

use clap::Subcommand;

/// The options of `collimate model`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate model tokenize model.gguf
  collimate model tokenize model.gguf --json")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Split the lines of the standard input into tokens, and print each token with its id and its place in the line.
    Tokenize(tokenize::Options),
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Command::Tokenize(options) => tokenize::run(options),
    }
}
