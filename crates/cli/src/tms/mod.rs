//! `collimate tms`: toy models of superposition.

mod arrangement;
mod diagnose;
mod files;
mod geometry;
mod numbers;
mod phase;
mod staircase;
mod train;

/// The options of `collimate tms`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate tms train --models 8 --output figures
  collimate tms phase --models 0
  collimate tms geometry matrix.npy")]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Train many toy models at once, each on features of another sparsity, and print their geometry.
    Train(train::Options),
    /// Compute phase diagrams of two features in one dimension: by candidates, at the optimum, and as trained.
    Phase(phase::Options),
    /// Train on one active feature in two dimensions, and print the exact levels at which the loss rests, each a polygon.
    Staircase(staircase::Options),
    /// Name the arrangement that the columns of a matrix in an npy file form, with every reading that fits.
    Geometry(geometry::Options),
    /// Print the explanations of polysemantic neurons that activations and labels allow, with the evidence.
    Diagnose(diagnose::Options),
}

impl Options {
    /// Returns true if the command may compute for long.
    pub(crate) fn computes(&self) -> bool {
        matches!(self.command, Command::Train(_) | Command::Phase(_) | Command::Staircase(_))
    }
}

/// Runs the command.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match &options.command {
        Command::Train(options) => train::run(options),
        Command::Phase(options) => phase::run(options),
        Command::Staircase(options) => staircase::run(options),
        Command::Geometry(options) => geometry::run(options),
        Command::Diagnose(options) => diagnose::run(options),
    }
}
