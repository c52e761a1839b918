//! The files of a run: its reports, and the recorded verdicts it is compared with.

use super::options::Options;
use anyhow::{Result, ensure};
use collimate_claims::{Lock, Page, Run};
use collimate_output::{Existing, check, check_folder, write};
use collimate_tensor::CpuLevel;
use std::path::{Path, PathBuf};

/// The files of a run.
#[derive(Clone)]
pub(super) struct Places {
    /// The folder for the reports.
    pub(super) output: PathBuf,
    /// The file of recorded verdicts.
    pub(super) lock: PathBuf,
    /// The path of the JSON report if it was asked for; `-` is the standard output.
    json: Option<PathBuf>,
}

impl Places {
    /// Returns the files of a run in the current folder.
    pub(super) fn of(options: &Options) -> Result<Self> {
        let here = std::env::current_dir()?;
        let root = checkout(&here);
        // In the root of the checkout, and outside of any, paths are relative to the current folder.
        let base = root.filter(|&root| root != here).unwrap_or_else(|| Path::new(""));
        let reports = match (root.is_some(), &options.model) {
            (true, None) => "target/claims",
            (true, Some(_)) => "target/claims-of-a-model",
            (false, None) => "collimate-claims",
            (false, Some(_)) => "collimate-claims-of-a-model",
        };
        Ok(Self {
            output: options.output.clone().unwrap_or_else(|| base.join(reports)),
            lock: options.lock.clone().unwrap_or_else(|| base.join("claims.lock")),
            json: options.json.clone(),
        })
    }

    /// Checks that every report can be written, before any claim runs. Reports of an earlier run are replaced, and nothing else.
    pub(super) fn check(&self) -> Result<()> {
        check_folder(&self.output)?;
        if self.output.is_dir() {
            REPORTS.iter().try_for_each(|(name, rule)| check_report(&self.output.join(name), *rule))?;
        }
        self.json_file().map_or(Ok(()), |path| check_report(path, is_json_report))
    }

    /// Writes the reports of a run.
    pub(super) fn write(&self, run: &Run, lock: &Lock) -> Result<()> {
        let page = page(run, lock);
        page.write(&self.output)?;
        self.json_file().map_or(Ok(()), |path| write_or_print(path, &page.json()))
    }

    /// Prints the JSON report, if that was asked for.
    pub(super) fn print(&self, run: &Run, lock: &Lock) {
        if self.json.is_some() && self.json_file().is_none() {
            print!("{}", page(run, lock).json());
        }
    }

    /// Returns the file of the JSON report, if it goes to a file.
    fn json_file(&self) -> Option<&Path> {
        self.json.as_deref().filter(|path| path.as_os_str() != "-")
    }
}

fn page<'a>(run: &'a Run, lock: &'a Lock) -> Page<'a> {
    Page { run, lock, cpu_level: CpuLevel::current().name(), version: env!("CARGO_PKG_VERSION") }
}

/// The names of the reports, each with a rule that knows an earlier one.
const REPORTS: [(&str, fn(&str) -> bool); 3] = [
    ("claims.json", is_json_report),
    ("claims.md", |text| text.starts_with("# Claims")),
    ("report.html", |text| text.starts_with("<!doctype html>") && text.contains("<title>Claims")),
];

fn is_json_report(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value["claims"].is_array())
}

/// Returns an error unless a report can be written to a path. Only an earlier report is replaced. Devices and pipes are no files.
fn check_report(path: &Path, is_report: fn(&str) -> bool) -> Result<()> {
    check(path, Existing::Replace)?;
    ensure!(
        !path.is_file() || std::fs::read_to_string(path).is_ok_and(|text| is_report(&text)),
        "{} exists and is no report of an earlier run; choose another place, or move it away",
        path.display()
    );
    Ok(())
}

/// Returns the root of the checkout of Collimate that contains a folder.
fn checkout(folder: &Path) -> Option<&Path> {
    let is_root = |folder: &&Path| {
        folder.join("Cargo.toml").is_file() && folder.join("crates/studies/Cargo.toml").is_file()
    };
    folder.ancestors().find(is_root)
}

/// Writes a text to a file, or prints it if the path is `-`.
pub(super) fn write_or_print(path: &Path, text: &str) -> Result<()> {
    if path.as_os_str() == "-" {
        print!("{text}");
        return Ok(());
    }
    check_report(path, is_json_report)?;
    Ok(write(path, Existing::Replace, |out| out.write_all(text.as_bytes()))?)
}

#[cfg(test)]
mod tests {
    use super::checkout;
    use std::path::Path;

    #[test]
    fn a_checkout_is_found_from_its_inner_folders() {
        let inner = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = checkout(inner).expect("this package lies in a checkout");
        assert_eq!(root.join("crates/cli"), inner);
        let elsewhere = tempfile::tempdir().expect("a folder");
        assert_eq!(checkout(elsewhere.path()), None);
    }
}
