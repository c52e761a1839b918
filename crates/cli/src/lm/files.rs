//! The files of a run: the folder of the model, and the checkpoint beside it.

use crate::session::say;
use anyhow::{Context, bail, ensure};
use collimate_output::{Existing, Lock, OutputError, check, check_folder, check_inputs, is_free, lock};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The files of a run, locked against other processes.
pub(super) struct RunFiles<'a> {
    pub(super) output: &'a Path,
    pub(super) checkpoint: PathBuf,
    force: bool,
    _lock: Lock,
}

impl<'a> RunFiles<'a> {
    /// Locks the output and tries every file, before any work. No file is changed.
    pub(super) fn claim<'b>(
        output: &'a Path,
        force: bool,
        inputs: impl Iterator<Item = &'b Path> + Clone,
    ) -> anyhow::Result<Self> {
        let mut name = OsString::from(output);
        name.push(".checkpoint");
        let checkpoint = PathBuf::from(name);
        check_inputs(output, inputs.clone())?;
        check_inputs(&checkpoint, inputs)?;
        // The lock of a folder that does not exist yet is that of the file beside it.
        let lock = match lock(&checkpoint) {
            Err(OutputError::Busy { .. }) => bail!(
                "another process trains {}; wait until it has ended, or choose another folder",
                output.display()
            ),
            lock => lock?,
        };
        check(&checkpoint, Existing::Replace)?;
        let ours = output.join("config.json").is_file() && output.join("model.safetensors").is_file();
        ensure!(
            is_free(output)? || (force && ours),
            "{} exists already; choose another folder, or replace a model in it with --force",
            output.display()
        );
        check_folder(output)?;
        Ok(Self { output, checkpoint, force, _lock: lock })
    }

    /// Returns true if a checkpoint is to be continued.
    pub(super) fn continues(&self) -> bool {
        if self.force && self.checkpoint.is_file() {
            say(&format!("--force: not continuing from {}", self.checkpoint.display()));
        }
        !self.force && self.checkpoint.is_file()
    }

    /// Removes the checkpoint of a run that is finished.
    pub(super) fn remove_checkpoint(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(&self.checkpoint) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let name = self.checkpoint.display();
                Err(error).with_context(|| format!("the model is complete, but {name} cannot be removed"))
            }
            _ => Ok(()),
        }
    }
}
