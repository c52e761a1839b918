//! The commands of the project. This program depends on no member of the workspace, so it builds in seconds. Where it
//! needs a member, it runs the binary.

mod bench;
mod ci;
mod claims;
mod docs;
mod faults;
mod features;
mod process;
mod test;
mod tidy;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  test [--slow] [--no-real] [--no-nextest] [--no-data] [FILTER…]
                          unit, integration and documentation tests
  ci                      everything that must hold before a change lands, in order, with times
  tidy [--no-claims]      the rules that no compiler checks; `tidy --circles` lists import circles,
                          `tidy --words [PATH]` lists phrases that are hard to read, with counts
  features [--test] [CRATE…]  check each library crate with no feature, with each alone and with all;
                          with --test, run its tests with the default features
  data [--full] …         download the language model, with --full also the labelled corpus
  bench [NAME] [ARGS…]    criterion benchmarks; `bench debug-caller` compares the profiles
  docs [--open]           build the documentation; `docs --claims` rewrites docs/claims.md
  faults [--check|--untried] [WORD]  break the code one line at a time; every claim must notice
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match command(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    std::env::set_current_dir(process::root())?;
    match name.as_str() {
        "test" => test::run(&test::Options::parse(rest)?).map(|_| ()),
        "ci" => ci::run(rest),
        "tidy" => tidy::run(rest),
        "data" => process::cargo(&["run", "--quiet", "--package", "collimate", "--", "data"], rest),
        "bench" => bench::run(rest),
        "docs" => docs::run(rest),
        "features" => features::run(rest),
        "faults" => faults::run(rest),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("unknown command {other:?}\n\n{HELP}"),
    }
}
