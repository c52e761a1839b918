//! A model, its transcoders and a prompt, as options.

use crate::circuits::given::{Float, Place};
use anyhow::Context;
use collimate_circuits::{FirstPosition, Transcoders};
use collimate_transformer::Model;
use std::path::{Path, PathBuf};

/// A model, its transcoders and a prompt.
#[derive(clap::Args)]
pub(super) struct Source {
    #[command(flatten)]
    pub(super) place: Place,
    /// The folder with a transcoder for each layer of the model.
    #[arg(long, value_name = "FOLDER", required = true)]
    transcoders: Option<PathBuf>,
    /// A .safetensors file with the skips of a cross-layer set, W_skip [layer, in, out], where its own files leave them out.
    #[arg(long, value_name = "FILE")]
    skip: Option<PathBuf>,
    /// The token ids of the prompt.
    #[arg(long, value_name = "IDS", value_delimiter = ',', required = true)]
    pub(super) ids: Vec<u32>,
    /// Treat the first position like every other one. By default no feature and no error there is a node.
    #[arg(long)]
    pub(super) keep_first: bool,
}

impl Source {
    /// Returns the inputs beside the model.
    pub(super) fn inputs(&self) -> Vec<&Path> {
        [self.transcoders.as_deref(), self.skip.as_deref()].into_iter().flatten().collect()
    }

    /// Opens the model and the transcoders.
    pub(super) fn open<F: Float>(&self) -> anyhow::Result<(Model<F>, Transcoders<F>)> {
        let folder = self.transcoders.as_deref().context("--transcoders is needed")?;
        Ok((self.place.open()?, Transcoders::open(folder, self.skip.as_deref())?))
    }

    /// Returns the treatment of the first position.
    pub(super) fn first(&self) -> FirstPosition {
        if self.keep_first { FirstPosition::Kept } else { FirstPosition::Cut }
    }
}
