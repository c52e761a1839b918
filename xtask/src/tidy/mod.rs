//! `cargo xtask tidy`: the rules of the house that no compiler checks. `CONTRIBUTING.md` says why each exists.

mod edges;
mod pages;
mod single;
mod source;
mod words;

use crate::{claims, faults, process};
use anyhow::{Result, bail};
use std::path::Path;

/// Something that breaks a rule: where, and which.
pub(crate) type Problem = String;

/// Reads the arguments and checks.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => check(None),
        [option] if option == "--no-claims" => report(static_rules()?),
        _ => bail!("tidy takes only --no-claims"),
    }
}

/// Checks everything; the claims are asked of the given binary, or of the one cargo builds.
pub(crate) fn check(binary: Option<&Path>) -> Result<()> {
    let mut problems = static_rules()?;
    let claims = claims::list(binary)?;
    let texts = texts()?;
    problems.extend(pages::ids(&texts, &claims));
    problems.extend(pages::listed(&texts, &claims));
    problems.extend(faults::check(&faults::read_all()?, &claims, |file| std::fs::read_to_string(file).ok()));
    report(problems)
}

/// What can be checked without building a member.
fn static_rules() -> Result<Vec<Problem>> {
    let mut problems = edges::check(&process::metadata(&["--no-deps"])?);
    problems.extend(single::check(&process::metadata(&[])?));
    for (file, text) in texts()? {
        if file.ends_with(".rs") {
            problems.extend(source::check(&file, &text));
        }
        if file.ends_with("Cargo.toml") {
            problems.extend(source::check_manifest(&file, &text));
        }
        if file == "README.md" {
            problems.extend(pages::readme(&text));
        }
        problems.extend(words::check(&file, &text));
    }
    Ok(problems)
}

/// The files that are text.
fn texts() -> Result<Vec<(String, String)>> {
    let files = process::tracked_files()?;
    Ok(files
        .into_iter()
        .filter_map(|file| std::fs::read_to_string(&file).ok().map(|text| (file, text)))
        .collect())
}

fn report(problems: Vec<Problem>) -> Result<()> {
    if problems.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    bail!("tidy: {} problems", problems.len())
}
