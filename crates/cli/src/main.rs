//! The binary `collimate`: each command calls the functions of a crate and prints the results.

mod activations;
mod arguments;
mod circuits;
mod claims;
mod completions;
mod data;
mod generate;
mod llc;
mod lm;
mod manual;
mod model;
mod replay;
mod rlct;
mod sae;
mod session;
mod study;
mod texts;
mod tms;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

fn main() -> ExitCode {
    session::end_quietly_with_the_reader();
    collimate_tensor::keep_freed_memory();
    run(&Arguments::parse()).unwrap_or_else(|error| {
        let interrupted = session::is_interruption(&error);
        session::say(&format!("{}{}", if interrupted { "" } else { "error: " }, message(&error)));
        ExitCode::from(if interrupted { session::INTERRUPTED } else { 2 })
    })
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let session = &arguments.session;
    session::listen()?;
    session.start_threads()?;
    if !session.quiet && arguments.command.computes() && !arguments.command.prints_json() {
        session::note_slow_build();
    }
    match &arguments.command {
        Command::Claims(options) => return claims::run(options, session),
        Command::Data(options) => data::run(options, session),
        Command::Llc(options) => llc::run(options),
        Command::Susceptibilities(options) => replay::run_susceptibilities(options),
        Command::Influence(options) => replay::run_influence(options),
        Command::Rlct(options) => rlct::run(options),
        Command::Tms(options) => tms::run(options),
        Command::Activations(options) => activations::run(options, session),
        Command::Model(options) => model::run(options),
        Command::Generate(options) => generate::run(options),
        Command::Lm(options) => lm::run(options, session),
        Command::Sae(options) => sae::run(options, session),
        Command::Study(options) => study::run(options, session),
        Command::Patch(options) => circuits::patch::run(options),
        Command::Path(options) => circuits::path::run(options),
        Command::Attribute(options) => circuits::attribute::run(options),
        Command::Dla(options) => circuits::dla::run(options),
        Command::Lens(options) => circuits::lens::run(options),
        Command::Trace(options) => circuits::trace::run(options),
        Command::Completions(options) => completions::run(options, Arguments::command()),
        Command::Manual(options) => manual::run(options, Arguments::command()),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Returns the text of an error and its causes, without causes that the text already contains.
fn message(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(|cause| cause.to_string()) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
