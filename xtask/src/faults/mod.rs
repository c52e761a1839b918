//! `cargo xtask faults`: every claim must notice a fault in the code that it is about.

mod list;
mod switch;
mod tree;

pub(crate) use list::Fault;

use crate::claims::{self, Claim};
use crate::process::{cargo_command, tracked_files};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tree::Tree;

/// The page with the table of all faults.
const PAGE: &str = "docs/faults.md";

/// Applies each fault and demands that the listed claims and tests catch it. With `--check` it only reads the lists.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let faults = read_all()?;
    if arguments.iter().any(|argument| argument == "--check") {
        let problems = check(&faults, &claims::list(None)?, |file| std::fs::read_to_string(file).ok());
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
        println!("{} faults: every line occurs exactly once, every claim exists", faults.len());
        return Ok(());
    }
    let before = std::fs::read_to_string(PAGE).unwrap_or_default();
    let (untried, words): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| *argument == "--untried");
    ensure!(
        words.len() < 2 && !words.iter().any(|word| word.starts_with('-')),
        "faults takes --check, --untried and one word"
    );
    let mut chosen: Vec<&Fault> = faults
        .iter()
        .filter(|fault| words.iter().all(|word| mentions(fault, word)))
        .filter(|fault| untried.is_empty() || known(fault, &[], &before).is_none())
        .collect();
    if words.is_empty() {
        // Nightly claims take hours in an unoptimised build. Their faults are tried only if the command names them.
        let nightly: Vec<Claim> =
            claims::list(None)?.into_iter().filter(|claim| claim.tier == "nightly").collect();
        let all = chosen.len();
        chosen.retain(|fault| !split(fault).0.iter().any(|id| nightly.iter().any(|claim| claim.id == *id)));
        println!(
            "{} faults of nightly claims are left out; give a word of one to try it",
            all - chosen.len()
        );
    }
    ensure!(!chosen.is_empty(), "no fault is chosen by {arguments:?}");
    let mut rows: Vec<String> = Vec::new();
    // The page is written after each fault, so that an interrupted run keeps what it found.
    let (results, failures) = try_all(&chosen, |results| {
        rows.extend(results.iter().map(row));
        std::fs::write(PAGE, page(&faults, &rows, &before)).with_context(|| format!("cannot write {PAGE}"))
    })?;
    print!("\n{HEAD}{}", rows.concat());
    println!("\n{PAGE} is up to date");
    let missed: Vec<&str> = results
        .iter()
        .filter(|(_, caught)| caught.iter().any(|(_, yes)| !yes))
        .map(|(fault, _)| &*fault.name)
        .collect();
    ensure!(failures.is_empty(), "could not be tried, see above: {}", failures.join(", "));
    ensure!(missed.is_empty(), "not caught as their lists say: {}", missed.join(", "));
    Ok(())
}

/// Reads all lists of the workspace.
pub(crate) fn read_all() -> Result<Vec<Fault>> {
    let mut faults = Vec::new();
    for file in tracked_files()? {
        if Path::new(&file).file_name().is_some_and(|name| name == "faults.toml") {
            let text = std::fs::read_to_string(&file)?;
            faults.extend(list::parse(&text).with_context(|| format!("in {file}"))?);
        }
    }
    Ok(faults)
}

/// Returns the problems of the lists themselves.
pub(crate) fn check(
    faults: &[Fault],
    claims: &[Claim],
    read: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for fault in faults {
        match read(&fault.file).map(|text| text.matches(&fault.find).count()) {
            Some(1) => {}
            Some(times) => problems
                .push(format!("fault {:?}: its line occurs {times} times in {}", fault.name, fault.file)),
            None => problems.push(format!("fault {:?}: {} cannot be read", fault.name, fault.file)),
        }
        for id in fault.caught_by.iter().filter(|id| !id.starts_with(TEST)) {
            if !claims.iter().any(|claim| claim.id == *id) {
                problems.push(format!("fault {:?}: there is no claim {id}", fault.name));
            }
        }
    }
    for claim in claims {
        if !faults.iter().any(|fault| fault.caught_by.contains(&claim.id)) {
            problems.push(format!("no fault is listed that {} catches", claim.id));
        }
    }
    problems
}

/// The mark of a test in `caught_by`.
const TEST: &str = "test: ";

fn mentions(fault: &Fault, word: &str) -> bool {
    fault.file.contains(word)
        || fault.name.contains(word)
        || fault.caught_by.iter().any(|id| id.contains(word))
}

/// Each fault with, for everything that should catch it, whether it did.
type Results<'a> = Vec<(&'a Fault, Vec<(&'a str, bool)>)>;

fn try_all<'a>(
    faults: &[&'a Fault],
    mut after_each: impl FnMut(&Results<'a>) -> Result<()>,
) -> Result<(Results<'a>, Vec<&'a str>)> {
    let (files, switched) = switch::switched(faults, |file| Ok(std::fs::read_to_string(file)?))?;
    let mut tree = Tree::new(&files)?;
    let claims = claims::list(None)?;
    let tiers: BTreeMap<String, String> = claims.iter().map(|c| (c.id.clone(), c.tier.clone())).collect();
    let named: BTreeSet<&str> = faults.iter().flat_map(|fault| split(fault).0).collect();
    println!(
        "{} faults, {} of them behind a switch; first the verdicts without a fault ({} claims)",
        faults.len(),
        switched.len(),
        named.len()
    );
    let sound = verdicts(&tree, named.into_iter(), &tiers, true)?;
    let (mut results, mut failures) = (Vec::new(), Vec::new());
    // Faults that need a build of their own come last.
    let (first, last): (Vec<usize>, Vec<usize>) = (1..=faults.len()).partition(|n| switched.contains(n));
    for (done, number) in first.into_iter().chain(last).enumerate() {
        let fault = faults[number - 1];
        let held = switched.contains(&number);
        tree.switch_on(if held { number } else { 0 });
        let applied = if held { None } else { Some(tree.apply(fault)?) };
        let result = try_one(&tree, fault, &tiers, &sound);
        drop(applied);
        println!("{} of {} faults are tried", done + 1, faults.len());
        match result {
            Ok(caught) => {
                let of_one = vec![(fault, caught)];
                after_each(&of_one)?;
                results.extend(of_one);
            }
            // After one wrong entry the other faults are still tried.
            Err(error) => {
                println!("  {error:#}");
                failures.push(fault.name.as_str());
            }
        }
    }
    Ok((results, failures))
}

/// Returns the claims and tests that should catch an applied fault, each with true if it does.
fn try_one<'a>(
    tree: &Tree,
    fault: &'a Fault,
    tiers: &BTreeMap<String, String>,
    sound: &BTreeMap<String, String>,
) -> Result<Vec<(&'a str, bool)>> {
    println!("fault: {}", fault.name);
    let (ids, tests) = split(fault);
    let broken = verdicts(tree, ids.iter().copied(), tiers, fault.keeps_dictionaries)?;
    let mut caught = Vec::new();
    for id in ids {
        let (before, after) = (sound.get(id), broken.get(id));
        println!("  {id}: {} -> {}", before.map_or("-", |v| v), after.map_or("-", |v| v));
        ensure!(before.is_some() && after.is_some(), "{id} gave no verdict");
        caught.push((id, before != after));
    }
    for test in tests {
        let failed = test_fails(tree, fault, test)?;
        println!("  test {test}: {}", if failed { "fails" } else { "passes" });
        caught.push((test, failed));
    }
    Ok(caught)
}

/// Returns the claims and the tests that should catch a fault.
fn split(fault: &Fault) -> (Vec<&str>, Vec<&str>) {
    let (tests, ids): (Vec<&str>, Vec<&str>) =
        fault.caught_by.iter().map(String::as_str).partition(|name| name.starts_with(TEST));
    (ids, tests.into_iter().map(|name| &name[TEST.len()..]).collect())
}

/// Runs the named claims in the copied tree, each in its own tier, and reads their verdicts.
fn verdicts<'a>(
    tree: &Tree,
    ids: impl Iterator<Item = &'a str>,
    tiers: &BTreeMap<String, String>,
    keep_dictionaries: bool,
) -> Result<BTreeMap<String, String>> {
    let mut by_tier: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for id in ids {
        let tier = tiers.get(id).with_context(|| format!("there is no claim {id}"))?;
        by_tier.entry(tier).or_default().push(id);
    }
    if by_tier.is_empty() {
        return Ok(BTreeMap::new());
    }
    tree.cargo(&["build", "--quiet", "--package", "collimate"])?;
    let mut verdicts = BTreeMap::new();
    for (tier, ids) in by_tier {
        let text = tree.claims(tier, &ids, keep_dictionaries)?;
        let report: Value = serde_json::from_str(&text).context("the report of the claims is not JSON")?;
        for claim in report["claims"].as_array().context("the report has no list `claims`")? {
            let word = |key: &str| {
                claim[key].as_str().map(str::to_owned).with_context(|| format!("no `{key}` in the report"))
            };
            verdicts.insert(word("id")?, word("verdict")?);
        }
    }
    Ok(verdicts)
}

/// Returns true if a test of the package that owns the file fails. The test must exist and compile.
fn test_fails(tree: &Tree, fault: &Fault, test: &str) -> Result<bool> {
    let manifest = Path::new(&fault.file)
        .ancestors()
        .map(|folder| folder.join("Cargo.toml"))
        .find(|manifest| manifest.is_file())
        .with_context(|| format!("{} belongs to no package", fault.file))?;
    let manifest = manifest.to_string_lossy().into_owned();
    let base = ["test", "--quiet", "--manifest-path", &manifest, "--all-features", "--lib", "--tests"];
    tree.cargo(&[&base[..], &["--no-run"]].concat())?;
    let mut command = cargo_command();
    let output = tree.prepare(&mut command).args(base).args(["--", "--exact", test]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let ran = text.contains("1 passed") || text.contains("1 failed");
    ensure!(ran, "there is no test {test} in {manifest}");
    Ok(!output.status.success())
}

/// The head of the table.
const HEAD: &str = "| fault | file | caught by | missed by |\n|---|---|---|---|\n";

/// Returns the beginning of the row of a fault.
fn row_start(fault: &Fault) -> String {
    format!("| {} | `{}` |", fault.name.replace('|', "\\|"), fault.file)
}

/// Returns the row of a fault that was tried.
fn row((fault, caught): &(&Fault, Vec<(&str, bool)>)) -> String {
    let names = |wanted: bool| {
        let names = caught.iter().filter(|(_, yes)| *yes == wanted).map(|(name, _)| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    };
    format!("{} {} | {} |\n", row_start(fault), names(true), names(false))
}

/// Returns the page of all listed faults. A row comes from this run, else from the page before it, else it says that the
/// fault was not tried.
fn page(faults: &[Fault], tried: &[String], before: &str) -> String {
    let mut text = format!(
        "# Faults and what catches them\n\n\
         Written by `cargo xtask faults`. Each fault is one line of the code put wrong in a copy of the tree; a claim catches\n\
         it when its verdict is no longer the one it gives on the sound code, a test when it fails. The lists are the\n\
         `faults.toml` of each crate; `cargo xtask faults --check` (part of `tidy`) keeps them in step with the code.\n\n{HEAD}"
    );
    for fault in faults {
        match known(fault, tried, before) {
            Some(row) => text.push_str(row.trim_end()),
            None => text.push_str(&format!("{} not tried yet | |", row_start(fault))),
        }
        text.push('\n');
    }
    text
}

/// Returns the row of a fault that was tried with its present list, in this run or when the page was written.
fn known<'a>(fault: &Fault, tried: &'a [String], before: &'a str) -> Option<&'a str> {
    let start = row_start(fault);
    let (ids, tests) = split(fault);
    let listed: BTreeSet<&str> = ids.into_iter().chain(tests).collect();
    let mut rows = tried.iter().map(String::as_str).chain(before.lines());
    rows.find(|row| {
        let names = row.strip_prefix(&start).map(|names| names.split('`').skip(1).step_by(2));
        names.is_some_and(|names| names.collect::<BTreeSet<_>>() == listed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::tests::named;

    fn fault() -> Fault {
        Fault {
            name: "sign".into(),
            file: "a.rs".into(),
            find: "x + y".into(),
            replace: "x - y".into(),
            caught_by: vec!["sae/x".into(), "test: it::sum".into()],
            keeps_dictionaries: false,
        }
    }

    #[test]
    fn the_page_keeps_rows_that_were_not_tried_again() {
        let other = Fault { name: "other".into(), ..fault() };
        let tried = row(&(&other, vec![("sae/x", true), ("it::sum", false)]));
        assert_eq!(tried, "| other | `a.rs` | `sae/x` | `it::sum` |\n");
        let first = page(&[fault(), other.clone()], std::slice::from_ref(&tried), "");
        assert!(first.contains("| sign | `a.rs` | not tried yet | |\n") && first.ends_with(&tried));
        let again = row(&(&fault(), vec![("sae/x", true)]));
        let second = page(&[fault(), other.clone()], std::slice::from_ref(&again), &first);
        assert!(
            second.contains("| sign | `a.rs` | not tried yet | |\n"),
            "a test of the list was not tried: {second}"
        );
        assert!(second.ends_with(&tried));
        let whole = row(&(&fault(), vec![("sae/x", true), ("it::sum", false)]));
        assert!(page(&[fault()], std::slice::from_ref(&whole), &first).ends_with(&whole));
        assert!(!page(&[other], &[], &second).contains("sign"), "a fault that is no longer listed goes");
    }

    #[test]
    fn sound_lists_have_no_problem() {
        assert_eq!(
            check(&[fault()], &[named("sae/x")], |_| Some("let z = x + y;".into())),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_problem_of_a_list_is_found() {
        let problems = |fault: Fault, text: Option<&str>, ids: &[&str]| {
            let claims: Vec<Claim> = ids.iter().map(|id| named(id)).collect();
            check(&[fault], &claims, |_| text.map(str::to_owned)).join("\n")
        };
        assert!(problems(fault(), Some("x + y, x + y"), &["sae/x"]).contains("2 times"));
        assert!(problems(fault(), Some("x - y"), &["sae/x"]).contains("0 times"));
        assert!(problems(fault(), None, &["sae/x"]).contains("cannot be read"));
        assert!(problems(fault(), Some("x + y"), &["sae/y"]).contains("there is no claim sae/x"));
        assert!(
            problems(fault(), Some("x + y"), &["sae/x", "slt/z"])
                .contains("no fault is listed that slt/z catches")
        );
    }
}
