//! `collimate sae`.

mod attribute;
mod axes;
mod convert;
mod dictionary;
mod encode;
mod eval;
mod info;
mod intervene;
mod own;
mod prompt;
mod rows;
mod top;
mod train;

use crate::session::Session;
use clap::Subcommand;

/// The options of `collimate sae`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate sae train --activations shards --variant topk --k 32 --latents 4096 --output sae.safetensors
  collimate sae eval sae.safetensors --activations shards
  collimate sae info sae.safetensors")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a dictionary, or with --target a transcoder, on activations; continue from a checkpoint if there is one.
    Train(train::Options),
    /// Measure a dictionary on activations, and beside it its null model.
    Eval(eval::Options),
    /// Write the codes and the reconstructions of rows.
    Encode(encode::Options),
    /// Write a dictionary of any readable format in another format, and compare the two on sample rows.
    Convert(convert::Options),
    /// Print the content of a dictionary file, and the decisions of its reader.
    Info(info::Options),
    /// Print the places in a text at which latents fire most strongly, and with --html write them as a page.
    Top(top::Options),
    /// Add to the codes of latents, or set them, and print the predictions of the model without and with the change.
    Steer(intervene::SteerOptions),
    /// Set latents to zero, and print the predictions of the model without and with them.
    Ablate(intervene::AblateOptions),
    /// Split the difference of two logits into the parts of the latents.
    Attribute(attribute::Options),
}

impl Options {
    /// Returns true if the command may compute for long.
    pub(crate) fn computes(&self) -> bool {
        !matches!(self.command, Command::Convert(_) | Command::Info(_))
    }

    /// Returns true if the command prints JSON.
    pub(crate) fn prints_json(&self) -> bool {
        match &self.command {
            Command::Eval(options) => options.prints_json(),
            Command::Steer(options) => options.prints_json(),
            Command::Ablate(options) => options.prints_json(),
            Command::Attribute(options) => options.prints_json(),
            Command::Train(_)
            | Command::Encode(_)
            | Command::Convert(_)
            | Command::Info(_)
            | Command::Top(_) => false,
        }
    }
}

/// Runs the command.
pub(crate) fn run(options: &Options, session: &Session) -> anyhow::Result<()> {
    match &options.command {
        Command::Train(options) => train::run(options, session),
        Command::Eval(options) => eval::run(options, session),
        Command::Encode(options) => encode::run(options),
        Command::Convert(options) => convert::run(options),
        Command::Info(options) => info::run(options),
        Command::Top(options) => top::run(options, session),
        Command::Steer(options) => intervene::steer(options),
        Command::Ablate(options) => intervene::ablate(options),
        Command::Attribute(options) => attribute::run(options),
    }
}
