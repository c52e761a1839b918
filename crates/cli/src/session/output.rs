//! The two output streams, and the files that a command writes.

use anyhow::bail;
use collimate_output::{Existing, OutputError, check, remove_unfinished};
use std::io::Write;
use std::path::Path;

/// Ends the program without a message when the reader of its output has ended, as in `collimate … | head`.
pub(crate) fn end_quietly_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            remove_unfinished();
            std::process::exit(0);
        }
        usual(panic);
    }));
}

/// Prints a line on the standard error stream. A terminal that was closed is no reason to lose the work.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says that a build without optimisation is slow, and how to make a fast one.
pub(crate) fn note_slow_build() {
    if cfg!(debug_assertions) {
        say(
            "note: this is a debug build, which may be many times slower; `cargo build --release` makes a fast one",
        );
    }
}

/// Returns the treatment of an existing file: it is replaced with `--force` only.
pub(crate) fn existing(force: bool) -> Existing {
    if force { Existing::Replace } else { Existing::Refuse }
}

/// Checks that a file can be written, before the work whose result it will hold.
pub(crate) fn check_file(path: &Path, force: bool) -> anyhow::Result<()> {
    match check(path, existing(force)) {
        Err(OutputError::Exists { .. }) => {
            bail!("{} exists already; choose another name, or replace it with --force", path.display())
        }
        result => Ok(result?),
    }
}
