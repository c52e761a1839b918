use anyhow::{Result, bail};

/// Hands each `--name value` of the command line to `set`, which says whether it knows the name.
///
/// # Errors
/// Of `set`; and, with the names in `known`, when a name is unknown or lacks its value.
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
