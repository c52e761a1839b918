//! `cargo xtask tidy`: the rules that no compiler checks. `CONTRIBUTING.md` gives the reason of each.

mod architecture;
mod chapters;
mod circles;
mod edges;
mod pages;
mod places;
mod problem;
mod prose;
mod scan;
mod single;
mod source;

use crate::{claims, faults, process};
use anyhow::{Result, bail};
use problem::Problem;
use prose::Rule;
use std::path::Path;

/// The rules of words that fail. [`Rule::Verb`] is only reported: it cannot tell verbs from plurals.
const WORDS: [Rule; 3] = [Rule::Phrase, Rule::Beginning, Rule::Shape];

/// Reads the arguments and checks.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => check(None),
        [option] if option == "--no-claims" => report(static_rules()?),
        [option] if option == "--circles" => report(circles::check(&texts()?)),
        [option, below @ ..] if option == "--words" && below.len() < 2 => {
            print!("{}", prose::report(&texts()?, below.first().map_or("", String::as_str)));
            Ok(())
        }
        _ => bail!("tidy takes --no-claims, --circles or --words [PATH]"),
    }
}

/// Checks everything. The claims are those of the given binary, or of the one that cargo builds.
pub(crate) fn check(binary: Option<&Path>) -> Result<()> {
    let mut problems = static_rules()?;
    let claims = claims::list(binary)?;
    let texts = texts()?;
    problems.extend(pages::ids(&texts, &claims));
    problems.extend(pages::listed(&texts, &claims));
    problems.extend(faults::check(&faults::read_all()?, &claims, |file| std::fs::read_to_string(file).ok()));
    report(problems)
}

/// Checks the rules that need no build of a member.
fn static_rules() -> Result<Vec<Problem>> {
    let mut problems = edges::check(&process::metadata(&["--no-deps"])?);
    problems.extend(single::check(&process::metadata(&[])?));
    let texts = texts()?;
    for (file, text) in &texts {
        if file.ends_with(".rs") {
            problems.extend(source::check(file, text));
            problems.extend(architecture::check(file, text));
        }
        if file.ends_with("Cargo.toml") {
            problems.extend(source::check_manifest(file, text));
        }
        if file == "README.md" {
            problems.extend(pages::readme(text));
        }
        problems.extend(places::check(file, text));
    }
    let files: Vec<&str> = texts.iter().map(|(file, _)| file.as_str()).collect();
    problems.extend(chapters::check(&files));
    problems.extend(circles::check(&texts));
    problems.extend(prose::check(&texts, &WORDS));
    Ok(problems)
}

/// Returns the files that are text, with their texts.
fn texts() -> Result<Vec<(String, String)>> {
    let files = process::tracked_files()?;
    Ok(files
        .into_iter()
        .filter_map(|file| std::fs::read_to_string(&file).ok().map(|text| (file, text)))
        .collect())
}

/// Prints the problems, and fails if there are any.
fn report(problems: Vec<Problem>) -> Result<()> {
    if problems.is_empty() {
        println!("tidy: no problem");
        return Ok(());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    bail!("tidy: {} problems", problems.len())
}
