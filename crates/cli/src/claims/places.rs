//! The files of a run: its reports, and the recorded verdicts it is compared with.

use super::options::Options;
use anyhow::Result;
use collimate_claims::{Lock, Page, Run};
use collimate_output::{Existing, write};
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
        let reports = if root.is_some() { "target/claims" } else { "collimate-claims" };
        Ok(Self {
            output: options.output.clone().unwrap_or_else(|| base.join(reports)),
            lock: options.lock.clone().unwrap_or_else(|| base.join("claims.lock")),
            json: options.json.clone(),
        })
    }

    /// Writes the reports of a run.
    pub(super) fn write(&self, run: &Run, lock: &Lock) -> Result<()> {
        let page =
            Page { run, lock, cpu_level: CpuLevel::current().name(), version: env!("CARGO_PKG_VERSION") };
        page.write(&self.output)?;
        self.json.as_deref().map_or(Ok(()), |path| write_or_print(path, &page.json()))
    }
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
