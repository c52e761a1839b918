//! Starting other programs.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// Returns the folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), Path::to_owned)
}

/// Returns the folder into which cargo builds.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let metadata = metadata(&["--no-deps"])?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    Ok(folder.into())
}

/// Returns the output of `cargo metadata`.
pub(crate) fn metadata(options: &[&str]) -> Result<serde_json::Value> {
    let text = output(cargo_command().args(["metadata", "--format-version", "1"]).args(options))?;
    serde_json::from_str(&text).context("cargo metadata did not print JSON")
}

/// Returns a command for the cargo that runs this program.
pub(crate) fn cargo_command() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs cargo with fixed and given arguments, and fails if it fails.
pub(crate) fn cargo<S: AsRef<OsStr>>(fixed: &[&str], given: &[S]) -> Result<()> {
    run(cargo_command().args(fixed).args(given))
}

/// Runs a command that prints to the terminal, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    expect_success(command, status)
}

/// Runs a command and returns its standard output. Its error stream goes to the terminal.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", line(command)))?;
    expect_success(command, output.status)?;
    String::from_utf8(output.stdout)
        .with_context(|| format!("{} printed something that is not UTF-8", line(command)))
}

/// Runs a command, shows its two streams while it runs, and returns them.
pub(crate) fn tee(command: &mut Command) -> Result<(ExitStatus, String)> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let copies = std::thread::scope(|scope| {
        let first = scope.spawn(|| out.map_or(Ok(String::new()), |stream| copy(stream, std::io::stdout())));
        let second = scope.spawn(|| err.map_or(Ok(String::new()), |stream| copy(stream, std::io::stderr())));
        [first, second].map(|handle| handle.join().unwrap_or_else(|_| Ok(String::new())))
    });
    let status = child.wait()?;
    let [first, second] = copies;
    Ok((status, first? + &second?))
}

/// Returns the option that keeps the colours of a program whose output goes through [`tee`].
pub(crate) fn colour() -> &'static str {
    if std::io::stderr().is_terminal() { "--color=always" } else { "--color=auto" }
}

fn copy(from: impl Read, mut to: impl Write) -> Result<String> {
    let mut reader = BufReader::new(from);
    let mut all = String::new();
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        to.write_all(&bytes)?;
        all.push_str(&String::from_utf8_lossy(&bytes));
        bytes.clear();
    }
    Ok(all)
}

fn expect_success(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// Returns the command as a user would type it, without the folders of programs.
pub(crate) fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Returns the files that git tracks or would track, relative to the workspace folder.
pub(crate) fn tracked_files() -> Result<Vec<String>> {
    let text =
        output(Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    let mut files: Vec<String> =
        text.split('\0').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    files.retain(|name| Path::new(name).is_file());
    Ok(files)
}
