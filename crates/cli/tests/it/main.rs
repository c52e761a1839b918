//! The binary, run as a user runs it.

mod captures;
mod claims;
mod data;
mod definition;
mod encode;
mod interruption;
mod layered;
mod llc;
mod lm;
mod model;
mod outputs;
mod replay;
mod rlct;
mod sae;
mod session;
mod study;
mod tms;
mod tokenize;

use std::path::Path;
use std::process::{Command, Output};

/// Returns the binary with a private cache and working folder, and without any client for downloads.
fn collimate(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collimate"));
    command.current_dir(folder).env("COLLIMATE_CACHE", folder.join("cache")).env("PATH", folder);
    command
}

/// Runs the binary, and returns its exit status, its standard output and its standard error stream.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = collimate(folder).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}
