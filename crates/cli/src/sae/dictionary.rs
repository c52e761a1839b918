//! Dictionaries of any readable format.

use collimate_sae::Precision;
use collimate_sae::formats::{self, AnyCheckpoint, Checkpoint};
use std::path::Path;

/// Reads a dictionary from a file or folder, and prints the notes of its reader on the standard error stream.
pub(super) fn read<F: Precision>(path: &Path) -> anyhow::Result<Checkpoint<F>> {
    let checkpoint = formats::read::<F>(path)?;
    checkpoint.notes.iter().for_each(|note| eprintln!("note: {note}"));
    Ok(checkpoint)
}

/// Reads a dictionary of any architecture, and prints the notes of its reader on the standard error stream.
pub(super) fn read_any<F: Precision>(path: &Path) -> anyhow::Result<AnyCheckpoint<F>> {
    let checkpoint = formats::read_any::<F>(path)?;
    checkpoint.notes.iter().for_each(|note| eprintln!("note: {note}"));
    Ok(checkpoint)
}
