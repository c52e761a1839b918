//! A text to continue, and a place in the model that reads it.

use crate::texts::ModelPlace;
use anyhow::ensure;
use collimate_studies::language_model::LanguageModelSetup;
use collimate_studies::{LeaveOut, Provenance, width_at};
use collimate_transformer::HookPoint;

/// A place in a model, and a text to continue.
#[derive(clap::Args)]
pub(super) struct Prompt {
    #[command(flatten)]
    place: ModelPlace,
    /// The text to continue.
    #[arg(long, value_name = "TEXT")]
    prompt: String,
}

/// A model with the tokens of a prompt.
pub(super) struct Prompted {
    /// The model and its tokenizer.
    pub(super) setup: LanguageModelSetup,
    /// The place in the model.
    pub(super) point: HookPoint,
    /// The start token and the tokens of the prompt.
    pub(super) tokens: Vec<u32>,
    /// The provenance of rows of the place.
    pub(super) provenance: Provenance,
}

impl Prompt {
    /// Returns an error for a missing layer or an empty prompt, before anything is loaded.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        self.place.check()?;
        ensure!(!self.prompt.is_empty(), "--prompt must be a text of at least one letter");
        Ok(())
    }

    /// Opens the model, for rows of a width.
    pub(super) fn open(&self, width: usize) -> anyhow::Result<Prompted> {
        let setup = self.place.setup()?;
        let point = self.place.point(&setup)?;
        let given = width_at(&setup.model, point)?;
        ensure!(given == width, "{point} has width {given}, but the dictionary takes rows of width {width}");
        let mut tokens = vec![setup.start];
        tokens.extend(setup.tokenizer.encode(&self.prompt)?);
        let longest = setup.model.description().context;
        ensure!(
            tokens.len() <= longest,
            "the prompt has {} tokens with the start token, but the model takes at most {longest}",
            tokens.len()
        );
        let provenance = self.place.provenance(&setup, point, &LeaveOut::default());
        Ok(Prompted { setup, point, tokens, provenance })
    }
}
