#![doc = include_str!("../README.md")]

mod activations;
mod claims;
mod data;
mod llc;
mod rlct;
mod sae;
mod stop;
mod terminal;
mod texts;
mod tms;

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
    /// Run the registered claims; write report.html, claims.json and claims.md.
    Claims(claims::Options),
    /// Download the language model into the cache folder; with --full also the labelled corpus.
    Data(data::Options),
    /// The local learning coefficient of a built-in model by sampling, beside what is known exactly; or of a trace from elsewhere.
    Llc(Box<llc::Options>),
    /// The exact learning coefficient (real log canonical threshold) of a polynomial or a model, with its multiplicity.
    Rlct(rlct::Options),
    /// Train and measure toy models of superposition, and draw their phase diagram.
    Tms(tms::Options),
    /// Capture a model's activations on a text, as shards on disk.
    Activations(activations::Options),
    /// Sparse autoencoders: train, evaluate, encode, convert, describe, look at what latents fire on.
    Sae(sae::Options),
}

fn main() -> ExitCode {
    terminal::end_quietly_with_the_reader();
    let result = match Arguments::parse().command {
        Command::Claims(options) => claims::run(&options),
        Command::Data(options) => data::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Llc(options) => llc::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Rlct(options) => rlct::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Tms(options) => tms::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Activations(options) => activations::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Sae(options) => sae::run(&options).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", said(&error));
        ExitCode::from(2)
    })
}

/// An error with its causes, without those that its own text ends with already.
fn said(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(|cause| cause.to_string()) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
