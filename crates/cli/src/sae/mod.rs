//! `collimate sae`.

mod convert;
mod encode;
mod eval;
mod info;
mod metrics;
mod page;
mod rows;
mod top;
mod train;

use clap::Subcommand;

/// The options of `collimate sae`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a dictionary (or a transcoder, with --target) on activations; go on from a checkpoint if there is one.
    Train(train::Options),
    /// Measure a dictionary on activations, beside its null.
    Eval(eval::Options),
    /// Write the codes and reconstructions of some rows.
    Encode(encode::Options),
    /// Write a dictionary of any readable format in another, and prove that it does the same.
    Convert(convert::Options),
    /// Say what a file holds.
    Info(info::Options),
    /// The places in a text at which latents fire most; as a page with --html.
    Top(top::Options),
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Command::Train(options) => train::run(options),
        Command::Eval(options) => eval::run(options),
        Command::Encode(options) => encode::run(options),
        Command::Convert(options) => convert::run(options),
        Command::Info(options) => info::run(options),
        Command::Top(options) => top::run(options),
    }
}
