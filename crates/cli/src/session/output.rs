//! The standard output, and the files that a command writes.

use anyhow::{bail, ensure};
use collimate_output::{Existing, OutputError, check};
use std::path::Path;

/// Ends the program without a message when the reader of its output has ended, as in `collimate … | head`.
pub(crate) fn end_quietly_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload().downcast_ref::<String>().map_or("", String::as_str);
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        usual(panic);
    }));
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

/// Returns an error if an output is one of the inputs, or a file within an input that is a folder.
pub(crate) fn not_an_input(output: &Path, inputs: &[&Path]) -> anyhow::Result<()> {
    // A path that does not exist yet cannot be an input.
    let Ok(target) = output.canonicalize() else { return Ok(()) };
    for input in inputs {
        let Ok(source) = input.canonicalize() else { continue };
        ensure!(
            target != source && !(source.is_dir() && target.starts_with(&source)),
            "the output {} is or belongs to the input {}; choose another output",
            output.display(),
            input.display()
        );
    }
    Ok(())
}
