//! `cargo xtask docs`.

use crate::claims;
use crate::process::{cargo, cargo_command, run as run_command, target_folder};
use crate::test::SELECTION;
use anyhow::{Context, Result, bail};

/// The generated list of claims.
pub(crate) const CLAIMS: &str = "docs/claims.md";

/// Builds the documentation, or rewrites the list of claims.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [option] if option == "--claims" => {
            std::fs::write(CLAIMS, claims::markdown()?).with_context(|| format!("cannot write {CLAIMS}"))?;
            println!("{CLAIMS} is rewritten");
            Ok(())
        }
        [] => build(false),
        [option] if option == "--open" => build(true),
        _ => bail!("docs takes --open or --claims"),
    }
}

fn build(open: bool) -> Result<()> {
    run_command(cargo_command().args(["doc", "--no-deps"]).args(SELECTION))?;
    println!("{}", target_folder()?.join("doc").join("collimate_studies").join("index.html").display());
    if open {
        cargo(&["doc", "--no-deps", "--open", "--package", "collimate-studies"], &[] as &[&str])?;
    }
    Ok(())
}
