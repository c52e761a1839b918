//! Dictionaries of any readable format.

use crate::session::say;
use anyhow::ensure;
use collimate_sae::Precision;
use collimate_sae::formats::{self, AnyCheckpoint, Checkpoint};
use collimate_studies::Provenance;
use std::path::Path;

/// Reads a dictionary from a file or folder, and prints the notes of its reader on the standard error stream.
pub(super) fn read<F: Precision>(path: &Path) -> anyhow::Result<Checkpoint<F>> {
    let checkpoint = formats::read::<F>(path)?;
    checkpoint.notes.iter().for_each(|note| say(&format!("note: {note}")));
    Ok(checkpoint)
}

/// Reads a dictionary of any architecture, and prints the notes of its reader on the standard error stream.
pub(super) fn read_any<F: Precision>(path: &Path) -> anyhow::Result<AnyCheckpoint<F>> {
    let checkpoint = formats::read_any::<F>(path)?;
    checkpoint.notes.iter().for_each(|note| say(&format!("note: {note}")));
    Ok(checkpoint)
}

/// Returns an error if a dictionary comes from another model, layer, site or selection of rows than the rows it is used on.
pub(super) fn check_origin<F>(
    checkpoint: &Checkpoint<F>,
    rows: &Provenance,
    allow_mismatch: bool,
) -> anyhow::Result<()> {
    let differences = rows.differences(&Provenance::new(checkpoint.about.clone()));
    ensure!(
        allow_mismatch || differences.is_empty(),
        "the dictionary belongs to other rows: {}; give the rows it was trained on, or use it all the same with --allow-mismatch",
        differences.join("; ")
    );
    Ok(())
}
