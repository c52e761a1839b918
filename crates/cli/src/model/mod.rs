//! `collimate model`.

mod info;
mod open;
mod run;
mod tokenize;

pub(crate) use open::{Precision, open};

use clap::Subcommand;

/// The options of `collimate model`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate model info some-folder
  collimate model run some-folder --input ids.safetensors --output out.safetensors
  collimate model tokenize model/tokenizer.json --json")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the sizes of a model, and the activations that can be read and changed.
    Info(info::Options),
    /// Run a model on tokens, and write logits, activations, gradients and derivatives.
    Run(run::Options),
    /// Split the lines of the standard input into tokens, and print each token with its id and its place in the line.
    Tokenize(tokenize::Options),
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Command::Info(options) => info::run(options),
        Command::Run(options) => run::run(options),
        Command::Tokenize(options) => tokenize::run(options),
    }
}
