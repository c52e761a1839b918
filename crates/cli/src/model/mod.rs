//! `collimate model`.

mod info;
mod run;
mod tokenize;

use anyhow::Context;
use clap::Subcommand;
use collimate_transformer::Model;
use std::path::Path;

/// The options of `collimate model`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate model info some-folder
  collimate model run some-folder --input ids.safetensors --output out.safetensors
  collimate model tokenize model.gguf --json")]
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

/// The precision of a computation.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Precision {
    /// 32-bit floating point.
    F32,
    /// 64-bit floating point.
    F64,
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Command::Info(options) => info::run(options),
        Command::Run(options) => run::run(options),
        Command::Tokenize(options) => tokenize::run(options),
    }
}

/// Opens a model, with another configuration where one is given.
pub(crate) fn open<F: collimate_transformer::Precision>(
    place: &Path,
    configuration: Option<&Path>,
) -> anyhow::Result<Model<F>> {
    let model = match configuration {
        Some(configuration) => Model::open_with_configuration(place, configuration),
        None => Model::open(place),
    };
    model.with_context(|| format!("the model {}", place.display()))
}
