use anyhow::{Result, bail};

/// Passes each `--name value` of the command line to `set`, which returns true if the name is known.
///
/// # Errors
/// The errors of `set`; an error that lists `known` if a name is unknown or has no value.
pub fn options(known: &str, mut set: impl FnMut(&str, &str) -> Result<bool>) -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        match arguments.next() {
            Some(value) if set(&name, &value)? => {}
            Some(_) => bail!("unknown option {name}; known: {known}"),
            None => bail!("{name} needs a value; known: {known}"),
        }
    }
    Ok(())
}
