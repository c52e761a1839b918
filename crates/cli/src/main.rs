#![doc = include_str!("../README.md")]

mod data;
mod terminal;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Research claims about what neural networks have learned, run as programs.
#[derive(Parser)]
#[command(name = "collimate", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Download the language model into the cache folder; with --full also the labelled corpus.
    Data(data::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Data(options) => data::run(&options).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(2)
    })
}
