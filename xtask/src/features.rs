//! `cargo xtask features`: every library crate compiles with no feature, with each feature alone and with all.

use crate::process::{cargo_command, metadata, run as run_command};
use anyhow::{Result, bail};
use serde_json::Value;
use std::time::Instant;

/// The features that are left out, and why.
const LEFT_OUT: [(&str, &str, &str); 2] = [
    (
        "collimate-slt",
        "nuts",
        "its linear algebra takes minutes to build; `cargo xtask test --slow` builds it",
    ),
    (
        "collimate-attention",
        "decompositions",
        "its linear algebra takes a minute to check; `cargo xtask test --slow` builds it",
    ),
];

/// One choice of features of one crate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Combination {
    package: String,
    features: Vec<String>,
}

impl Combination {
    /// Returns the arguments that choose the crate and the features.
    fn arguments(&self) -> Vec<String> {
        let mut arguments =
            vec!["--package".to_owned(), self.package.clone(), "--no-default-features".to_owned()];
        if !self.features.is_empty() {
            arguments.extend(["--features".to_owned(), self.features.join(",")]);
        }
        arguments
    }

    fn describe(&self) -> String {
        format!("{} [{}]", self.package, self.features.join(", "))
    }
}

/// Reads the arguments and checks.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (options, crates): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| argument.starts_with('-'));
    let crates: Vec<&str> = crates.into_iter().map(String::as_str).collect();
    match options.as_slice() {
        [] => check(&crates),
        [option] if *option == "--test" => test(&crates),
        _ => bail!("features takes --test and names of crates"),
    }
}

/// Checks every combination of the named crates, or of all library crates if none is named, with all their targets.
pub(crate) fn check(crates: &[&str]) -> Result<()> {
    let mut failed = Vec::new();
    for combination in combinations(&metadata(&["--no-deps"])?, crates)? {
        let started = Instant::now();
        let mut command = cargo_command();
        command.args(["check", "--quiet", "--all-targets"]).args(combination.arguments());
        let fine = run_command(&mut command).is_ok();
        let seconds = started.elapsed().as_secs_f64();
        println!("{:<60} {seconds:>6.1} s{}", combination.describe(), if fine { "" } else { "  FAILED" });
        if !fine {
            failed.push(combination.describe());
        }
    }
    if !failed.is_empty() {
        bail!("does not compile with these features alone: {}", failed.join("; "));
    }
    Ok(())
}

/// Runs the tests of the named crates, or of all library crates, each alone and with its default features.
fn test(crates: &[&str]) -> Result<()> {
    for (package, _) in libraries(&metadata(&["--no-deps"])?, crates)? {
        println!("\n{package}");
        run_command(cargo_command().args(["test", "--quiet", "--package", &package]))?;
    }
    Ok(())
}

/// Returns the library crates with their features.
fn libraries(metadata: &Value, wanted: &[&str]) -> Result<Vec<(String, Vec<String>)>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let is_library = |package: &Value| {
        list(&package["targets"]).iter().flat_map(|target| list(&target["kind"])).any(|kind| kind == "lib")
    };
    let chosen = |name: &str| {
        let short = name.trim_start_matches("collimate-");
        wanted.is_empty() && name != "collimate-benches"
            || wanted.iter().any(|wanted| *wanted == name || *wanted == short)
    };
    let mut libraries: Vec<(String, Vec<String>)> = list(&metadata["packages"])
        .iter()
        .filter(|package| is_library(package) && chosen(&word(&package["name"])))
        .map(|package| {
            let features = package["features"].as_object().into_iter().flatten();
            (word(&package["name"]), features.map(|(name, _)| name.clone()).collect())
        })
        .collect();
    if libraries.is_empty() {
        bail!("no library crate is named {}", wanted.join(" or "));
    }
    libraries.sort();
    Ok(libraries)
}

/// Returns every combination to check: none, each alone, all. Equal combinations occur once.
fn combinations(metadata: &Value, wanted: &[&str]) -> Result<Vec<Combination>> {
    let mut combinations = Vec::new();
    for (package, features) in libraries(metadata, wanted)? {
        let left_out =
            |feature: &str| LEFT_OUT.iter().any(|(name, part, _)| *name == package && *part == feature);
        let features: Vec<String> = features.into_iter().filter(|feature| !left_out(feature)).collect();
        let real: Vec<String> = features.iter().filter(|feature| *feature != "default").cloned().collect();
        let alone = features.iter().map(|feature| vec![feature.clone()]);
        for features in std::iter::once(Vec::new()).chain(alone).chain([real.clone()]) {
            let combination = Combination { package: package.clone(), features };
            if !combinations.contains(&combination) {
                combinations.push(combination);
            }
        }
    }
    Ok(combinations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn workspace() -> Value {
        let package = |name: &str, kind: &str, features: Value| json!({ "name": name, "targets": [{ "kind": [kind] }], "features": features });
        json!({ "packages": [
            package("collimate-slt", "lib", json!({ "claims": [], "nuts": [] })),
            package("collimate-sae", "lib", json!({ "default": ["files"], "files": [], "claims": [] })),
            package("collimate-stream", "lib", json!({})),
            package("collimate-benches", "lib", json!({})),
            package("xtask", "bin", json!({})),
        ]})
    }

    #[test]
    fn none_each_alone_and_all_are_checked_once() {
        let found = combinations(&workspace(), &[]).unwrap();
        let names: Vec<String> = found.iter().map(Combination::describe).collect();
        let expected = [
            "collimate-sae []",
            "collimate-sae [claims]",
            "collimate-sae [default]",
            "collimate-sae [files]",
            "collimate-sae [claims, files]",
            "collimate-slt []",
            "collimate-slt [claims]",
            "collimate-stream []",
        ];
        assert_eq!(names, expected);
        let arguments = ["--package", "collimate-sae", "--no-default-features", "--features", "claims,files"];
        assert_eq!(found[4].arguments(), arguments);
    }

    #[test]
    fn crates_are_chosen_by_name() {
        assert_eq!(combinations(&workspace(), &["stream"]).unwrap().len(), 1);
        assert_eq!(combinations(&workspace(), &["collimate-slt"]).unwrap().len(), 2);
        assert!(combinations(&workspace(), &["nothing"]).is_err());
    }
}
