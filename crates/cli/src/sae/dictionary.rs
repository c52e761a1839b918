//! Dictionaries of any readable format.

use crate::session::say;
use anyhow::{Context, ensure};
use collimate_circuits::ReadSite;
use collimate_sae::formats::{self, AnyCheckpoint, Checkpoint, Given};
use collimate_sae::{AnyDictionary, Precision};
use collimate_studies::{Provenance, row_sites, site_name};
use collimate_transformer::Site;
use std::collections::BTreeMap;
use std::path::Path;

/// The facts about a dictionary that some files do not hold.
#[derive(clap::Args)]
pub(super) struct Facts {
    /// The number of active latents in a row, for a dictionary whose file does not hold it: Qwen Scope outside a folder of its original
    /// name.
    #[arg(long, value_name = "N")]
    k: Option<usize>,
    /// Read the dictionary as one of embeddings, whose inputs were divided by √d: a params.npz of Gemma Scope outside its original folder.
    #[arg(long)]
    embedding: bool,
}

impl Facts {
    /// Returns the facts as the reader takes them.
    pub(super) fn given(&self) -> Given {
        let Self { k, embedding } = *self;
        Given { k, embedding }
    }
}

/// Reads a dictionary from a file or folder, and prints the notes of its reader on the standard error stream.
pub(super) fn read<F: Precision>(path: &Path, given: &Given) -> anyhow::Result<Checkpoint<F>> {
    let checkpoint = formats::read_given::<F>(path, given)?;
    checkpoint.notes.iter().for_each(|note| say(&format!("note: {note}")));
    Ok(checkpoint)
}

/// Reads a dictionary of any architecture, and prints the notes of its reader on the standard error stream.
pub(super) fn read_any<F: Precision>(path: &Path, given: &Given) -> anyhow::Result<AnyCheckpoint<F>> {
    let checkpoint = formats::read_any_given::<F>(path, given)?;
    checkpoint.notes.iter().for_each(|note| say(&format!("note: {note}")));
    Ok(checkpoint)
}

/// Returns the dictionary of single rows of a checkpoint, which for a crosscoder is that of its concatenated layers, if there is one.
pub(super) fn concatenated<F: Precision>(
    mut checkpoint: AnyCheckpoint<F>,
    path: &Path,
) -> anyhow::Result<Checkpoint<F>> {
    if let AnyDictionary::Crosscoder(crosscoder) = &checkpoint.dictionary {
        let concatenated = crosscoder.to_dictionary().with_context(|| {
            format!(
                "{} cannot be measured; `collimate sae encode` writes its codes and reconstructions",
                path.display()
            )
        })?;
        checkpoint.dictionary = concatenated.into();
    }
    Ok(checkpoint.into_rows(path)?)
}

/// Returns what the file of a transcoder of several layers says, with the site that it reads among it, if it names one.
pub(super) fn with_read_site(mut about: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if let Some(read) = about.get("feature_input_hook").and_then(|hook| ReadSite::named(hook)) {
        about.entry("site".to_owned()).or_insert(site_name(read.site()));
    }
    about
}

/// Returns the site that the transcoders of several layers read: the given one, or else the one of their file.
pub(super) fn read_site(given: Option<Site>, about: &BTreeMap<String, String>) -> anyhow::Result<Site> {
    let named = about.get("site").and_then(|name| row_sites().find(|&site| site_name(site) == *name));
    given.or(named).context(
        "the file does not say which activation the transcoders read; name it with --site, such as --site mlp-input",
    )
}

/// Returns an error if a dictionary comes from another model, layer, site or selection of rows than the rows it is used on.
///
/// `about` is what the file of the dictionary says.
pub(super) fn check_origin(
    about: &BTreeMap<String, String>,
    rows: &Provenance,
    allow_mismatch: bool,
) -> anyhow::Result<()> {
    let differences = rows.differences(&Provenance::new(about.clone()));
    ensure!(
        allow_mismatch || differences.is_empty(),
        "the dictionary belongs to other rows: {}; give the rows it was trained on, or use it all the same with --allow-mismatch",
        differences.join("; ")
    );
    Ok(())
}
