//! The output of the selection: active latents, row by row.

use crate::members::rule::{Entry, Scratch};

/// An entry by its score and its place in the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranked<F> {
    pub(crate) score: F,
    pub(crate) place: u32,
}

/// The active latents of one block of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeBlock<F> {
    pub(crate) entries: Vec<Entry<F>>,
    /// The end of the entries of each row.
    pub(crate) ends: Vec<u32>,
    /// The start of the entries of each row and latent block: `cuts[row * (blocks + 1) + block]`.
    pub(crate) cuts: Vec<u32>,
    /// The entries of the dead latents, if there is an auxiliary loss.
    pub(crate) dead_entries: Vec<Entry<F>>,
    pub(crate) dead_ends: Vec<u32>,
    pub(crate) dead_cuts: Vec<u32>,
    pub(crate) scratch: Scratch<F>,
}

/// The active latents of all rows of a batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Codes<F> {
    pub(crate) blocks: Vec<CodeBlock<F>>,
    /// Σ q of each row.
    pub(crate) penalties: Vec<F>,
    pub(crate) ranked: Vec<Ranked<F>>,
}
