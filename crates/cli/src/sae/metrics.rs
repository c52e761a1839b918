//! The log of a run as JSON lines.

use anyhow::Context;
use collimate_output::{Existing, write};
use collimate_sae::Progress;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file to which each entry of the log is added as a line, or no file.
pub(super) struct Metrics {
    file: Option<(PathBuf, File)>,
    /// The first error. It does not end the run.
    failed: Option<io::Error>,
}

impl Metrics {
    /// Writes the existing entries of the log, and replaces an existing file.
    pub(super) fn start(path: Option<&Path>, log: &[Progress]) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self { file: None, failed: None }) };
        let lines: String = log.iter().map(|entry| entry.json_line() + "\n").collect();
        write(path, Existing::Replace, |out| out.write_all(lines.as_bytes()))?;
        let open = || format!("cannot append to {}", path.display());
        let file = OpenOptions::new().append(true).open(path).with_context(open)?;
        Ok(Self { file: Some((path.to_owned(), file)), failed: None })
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, entry: &Progress) {
        if let Some((_, file)) = &mut self.file
            && let Err(error) = file.write_all((entry.json_line() + "\n").as_bytes())
        {
            self.failed.get_or_insert(error);
        }
    }

    /// Returns the first error.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match (self.failed, self.file) {
            (Some(error), Some((path, _))) => Err(error).with_context(|| {
                format!("the dictionary is complete, but its metrics in {} are not", path.display())
            }),
            _ => Ok(()),
        }
    }
}
