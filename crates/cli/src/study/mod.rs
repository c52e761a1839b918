//! `collimate study`.

mod charlm;
mod grokking;

use crate::session::Session;
use clap::Subcommand;
use collimate_studies::development::Numbers;

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

/// The generators of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Random {
    /// The streams of every other command, ChaCha8.
    Chacha,
    /// The counter SplitMix64 with the Box-Muller transform, which other programs can repeat.
    Splitmix,
}

impl From<Random> for Numbers {
    fn from(random: Random) -> Self {
        match random {
            Random::Chacha => Self::ChaCha,
            Random::Splitmix => Self::SplitMix,
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
