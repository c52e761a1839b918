//! The files of a training run: the dictionary, its checkpoint, and the log.

use super::metrics::is_log;
use crate::sae::own::{Own, own};
use crate::session::say;
use anyhow::{Context, bail, ensure};
use collimate_output::{Existing, Lock, OutputError, check, check_inputs, lock};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The files of a run, which no other process writes meanwhile.
pub(super) struct RunFiles<'a> {
    /// The file of the dictionary.
    pub(super) output: &'a Path,
    /// The file of the checkpoint.
    pub(super) checkpoint: PathBuf,
    /// The file of the log.
    pub(super) metrics: Option<&'a Path>,
    force: bool,
    _lock: Lock,
}

/// Returns the path of the checkpoint of an output: its whole name, and `.checkpoint`.
fn checkpoint_of(output: &Path) -> PathBuf {
    let mut name = OsString::from(output);
    name.push(".checkpoint");
    PathBuf::from(name)
}

impl<'a> RunFiles<'a> {
    /// Locks the output and tries every file, before any work. No file is changed.
    pub(super) fn claim<'b>(
        output: &'a Path,
        metrics: Option<&'a Path>,
        force: bool,
        inputs: impl Iterator<Item = &'b Path> + Clone,
    ) -> anyhow::Result<Self> {
        let checkpoint = checkpoint_of(output);
        for path in [output, checkpoint.as_path()].into_iter().chain(metrics) {
            check_inputs(path, inputs.clone())?;
        }
        let lock = match lock(output) {
            Err(OutputError::Busy { .. }) => bail!(
                "another process trains {}; wait until it has ended, or choose another file",
                output.display()
            ),
            lock => lock?,
        };
        check(output, Existing::Replace)?;
        check(&checkpoint, Existing::Replace)?;
        if let Some(metrics) = metrics {
            ensure!(
                !same_place(metrics, output) && !same_place(metrics, &checkpoint),
                "--metrics {} is also the file of the dictionary or of its checkpoint; choose another file",
                metrics.display()
            );
            check(metrics, Existing::Replace)?;
            ensure!(
                force || is_log(metrics),
                "{} exists already and is no log of a run; choose another file, or replace it with --force",
                metrics.display()
            );
        }
        Ok(Self { output, checkpoint, metrics, force, _lock: lock })
    }

    /// Returns an error unless the present files may be replaced by those of a new run.
    pub(super) fn allow_replacing(&self) -> anyhow::Result<()> {
        let (output, checkpoint) = (self.output, &self.checkpoint);
        ensure!(
            self.force || !output.is_file(),
            "{} exists already and is not the result of this run; choose another file, or replace it with --force",
            output.display()
        );
        ensure!(
            !output.is_file() || matches!(own(output), Some(Own::Dictionary | Own::Checkpoint)),
            "{} is no dictionary of Collimate: --force replaces only dictionaries; choose another file",
            output.display()
        );
        ensure!(
            !checkpoint.is_file() || own(checkpoint) == Some(Own::Checkpoint),
            "{} is no checkpoint and would be replaced; choose another file for the dictionary, or move it away",
            checkpoint.display()
        );
        Ok(())
    }

    /// Removes the checkpoint of a run that is finished.
    pub(super) fn remove_checkpoint(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(&self.checkpoint) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let name = self.checkpoint.display();
                Err(error)
                    .with_context(|| format!("the dictionary is complete, but {name} cannot be removed"))
            }
            _ => Ok(()),
        }
    }

    /// Returns true if a checkpoint is to be continued.
    pub(super) fn continues(&self) -> bool {
        let continues = !self.force && self.checkpoint.is_file();
        if self.force && self.checkpoint.is_file() {
            say(&format!("--force: not continuing from {}", self.checkpoint.display()));
        }
        continues
    }
}

/// Returns true if two paths lead to one place, present or not.
fn same_place(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| {
        path.canonicalize().ok().or_else(|| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            Some(folder.unwrap_or(Path::new(".")).canonicalize().ok()?.join(path.file_name()?))
        })
    };
    place(a).is_some_and(|a| place(b) == Some(a))
}
