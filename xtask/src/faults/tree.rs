//! A copy of the tracked tree in which faults are applied.

use super::{Fault, switch};
use crate::process::{cargo_command, line, target_folder, tracked_files};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The copy and its own target folder, in which the dependencies are built once.
pub(crate) struct Tree {
    folder: PathBuf,
    target: PathBuf,
    /// The number of the active fault, 0 for none.
    number: usize,
}

/// An applied fault. Dropping this value restores the file.
pub(crate) struct Applied {
    path: PathBuf,
    before: String,
}

impl Drop for Applied {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.before) {
            eprintln!("xtask: cannot restore {}: {error}", self.path.display());
        }
    }
}

impl Tree {
    /// Copies the tracked files, with other texts for the files in `instead`. A file that did not change since the last copy keeps
    /// its time, so cargo builds little.
    pub(crate) fn new(instead: &BTreeMap<String, String>) -> Result<Self> {
        let base = target_folder()?.join("faults");
        let tree = Self { folder: base.join("tree"), target: base.join("target"), number: 0 };
        let files = tracked_files()?;
        tree.delete_strangers(&tree.folder, &files)?;
        for file in &files {
            let (from, to) = (Path::new(file), tree.folder.join(file));
            let bytes = match instead.get(file) {
                Some(text) => text.clone().into_bytes(),
                None => fs::read(from).with_context(|| format!("cannot read {file}"))?,
            };
            if fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            fs::create_dir_all(to.parent().unwrap_or(&tree.folder))?;
            fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
        }
        Ok(tree)
    }

    /// Deletes the files of an earlier copy that this one does not have.
    fn delete_strangers(&self, folder: &Path, files: &[String]) -> Result<()> {
        let Ok(entries) = folder.read_dir() else { return Ok(()) };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                self.delete_strangers(&path, files)?;
            } else {
                let name = path.strip_prefix(&self.folder)?.to_string_lossy().replace('\\', "/");
                if !files.contains(&name) {
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Activates the fault of that number in the programs that run from now on; 0 for none.
    pub(crate) fn switch_on(&mut self, number: usize) {
        self.number = number;
    }

    /// Writes a fault into its file, after which another build is needed.
    pub(crate) fn apply(&self, fault: &Fault) -> Result<Applied> {
        let path = self.folder.join(&fault.file);
        let before = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let sound = fs::read_to_string(&fault.file).with_context(|| format!("cannot read {}", fault.file))?;
        let times = sound.matches(&fault.find).count();
        ensure!(times == 1, "the line of {:?} occurs {times} times in {}", fault.name, fault.file);
        fs::write(&path, sound.replacen(&fault.find, &fault.replace, 1))?;
        Ok(Applied { path, before })
    }

    /// Returns the command set up to run in the copy.
    pub(crate) fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .current_dir(&self.folder)
            .env("CARGO_TARGET_DIR", &self.target)
            .env(switch::VARIABLE, self.number.to_string())
            // A change of one line builds little.
            .env("CARGO_INCREMENTAL", "1")
            // A test that a fault breaks must leave no regression file in the copy.
            .env("PROPTEST_FAILURE_PERSISTENCE", "off")
    }

    /// Runs cargo in the copy. A failure is an error, because a fault must compile.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Result<()> {
        let mut command = cargo_command();
        let output = self.prepare(&mut command).args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{} ended with {} in the copy:\n{said}",
            line(&command),
            output.status
        );
        Ok(())
    }

    /// Runs claims with the binary of the copy and returns their report as JSON, whatever the verdicts.
    pub(crate) fn claims(&self, tier: &str, ids: &[&str], keep_dictionaries: bool) -> Result<String> {
        let report = self.target.join("faults.json");
        let _ = fs::remove_file(&report);
        let mut command = Command::new(self.target.join("debug").join("collimate"));
        self.prepare(&mut command)
            .args(["claims", "--no-lock", "--tier", tier, "--out"])
            .arg(self.target.join("report"));
        if !keep_dictionaries {
            // Results of faulty code must not be found by sound code, nor results of sound code by faulty code.
            let derived = self.target.join("derived");
            let _ = fs::remove_dir_all(&derived);
            command.env("COLLIMATE_DERIVED", &derived);
        }
        let output = command.arg("--json").arg(&report).args(ids).output()?;
        fs::read_to_string(&report).with_context(|| {
            format!(
                "{} wrote no report and said: {}",
                line(&command),
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }
}
