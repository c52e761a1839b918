//! The log of a run as JSON lines.

use anyhow::Context;
use collimate_output::{Existing, write};
use collimate_sae::Progress;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The longest beginning of a file that is read to see if it is a log.
const LOOKED_AT: u64 = 1 << 16;

/// Returns true unless a file is there that is no log of a run.
pub(super) fn is_log(path: &Path) -> bool {
    if !path.is_file() {
        return true;
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    let entry =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok_and(|v| v["step"].is_u64());
    // A line may be cut off at the end of what was read.
    let whole = text.rsplit_once('\n').map_or(text.is_empty(), |(whole, _)| whole.lines().all(entry));
    read.is_ok() && whole
}

/// Returns the lines of a log, with the measurements on held-out rows that an earlier part of the run wrote. The state of a run holds
/// only the log.
fn with_held_out(path: &Path, log: &[Progress], done: u64) -> String {
    let mut lines: Vec<(u64, u8, String)> = log.iter().map(|e| (e.step, 0, e.json_line())).collect();
    let text = if path.is_file() { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        if let Some(step) =
            value["step"].as_u64().filter(|&step| value["held_out"].is_object() && step <= done)
        {
            lines.push((step, 1, line.to_owned()));
        }
    }
    lines.sort();
    lines.into_iter().map(|(_, _, line)| line + "\n").collect()
}

/// A file to which each entry of the log is added as a line, or no file.
pub(super) struct Metrics {
    file: Option<(PathBuf, File)>,
    /// The first error. It does not end the run.
    failed: Option<io::Error>,
}

impl Metrics {
    /// Writes the existing entries of the log of a run that has done a number of steps, and replaces an existing file. A device or a
    /// pipe is opened once.
    pub(super) fn start(path: Option<&Path>, log: &[Progress], done: u64) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self { file: None, failed: None }) };
        let lines = with_held_out(path, log, done);
        let stream = std::fs::metadata(path).is_ok_and(|found| !found.is_file());
        if !stream {
            write(path, Existing::Replace, |out| out.write_all(lines.as_bytes()))?;
        }
        let open = || format!("cannot append to {}", path.display());
        let mut file = OpenOptions::new().append(true).open(path).with_context(open)?;
        if stream {
            file.write_all(lines.as_bytes()).with_context(open)?;
        }
        Ok(Self { file: Some((path.to_owned(), file)), failed: None })
    }

    /// Adds an entry.
    pub(super) fn push(&mut self, line: &str) {
        if let Some((_, file)) = &mut self.file
            && let Err(error) = file.write_all(format!("{line}\n").as_bytes())
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
