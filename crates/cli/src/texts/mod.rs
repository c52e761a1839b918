//! The model that a command runs, and the text it runs the model on.

mod corpus;
mod documents;
mod place;

pub(crate) use documents::{Documents, Part};
pub(crate) use place::{ModelPlace, has_point, named_token};

use anyhow::ensure;
use collimate_studies::language_model::{CONTEXT, LanguageModelSetup, Pieces};
use collimate_studies::{LeaveOut, Provenance, Sequence};
use collimate_transformer::{HookPoint, Site};
use std::path::{Path, PathBuf};

/// The largest number of tokens that is taken by default.
const TOKENS: usize = 100_000;

/// A place in a model, and a text.
#[derive(clap::Args)]
pub(crate) struct Source {
    #[command(flatten)]
    place: ModelPlace,
    #[command(flatten)]
    documents: Documents,
    /// The largest number of tokens to take from the text; by default 100000.
    #[arg(long, value_name = "N")]
    tokens: Option<usize>,
    /// The length of the longest sequence, with the start token; by default 256.
    #[arg(long, value_name = "N")]
    context_length: Option<usize>,
    /// Leave out the rows of a token: its number, or its text. The option may be given several times.
    #[arg(long, value_name = "TOKEN")]
    leave_out: Vec<String>,
    /// Leave out rows longer than this many times the median length.
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    max_norm: Option<f64>,
}

impl Source {
    /// Opens the model and its tokenizer.
    pub(crate) fn setup(&self) -> anyhow::Result<LanguageModelSetup> {
        self.place.setup()
    }

    /// Returns the site in the layer.
    pub(crate) fn point(&self, setup: &LanguageModelSetup) -> anyhow::Result<HookPoint> {
        self.place.point(setup)
    }

    /// Returns the site in the layer, by default `otherwise`.
    pub(crate) fn point_or(&self, setup: &LanguageModelSetup, otherwise: Site) -> anyhow::Result<HookPoint> {
        self.place.point_or(setup, otherwise)
    }

    /// Returns the layer and the site that were given.
    pub(crate) fn given_place(&self) -> (Option<usize>, Option<Site>) {
        (self.place.layer, self.place.site)
    }

    /// Returns the files and folders that are read.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> + Clone {
        self.place.model.iter().map(PathBuf::as_path).chain(self.documents.path())
    }

    /// Returns an error for a missing layer, option or corpus, before anything is loaded.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.place.check()?;
        self.check_text()
    }

    /// Returns an error for wrong options of the text or a missing corpus, before anything is loaded.
    pub(crate) fn check_text(&self) -> anyhow::Result<()> {
        if let Some(factor) = self.max_norm {
            ensure!(
                factor > 0.0 && factor.is_finite(),
                "--max-norm must be a positive number, but is {factor}"
            );
        }
        ensure!(self.tokens != Some(0), "--tokens must be at least 1, but is 0");
        ensure!(
            self.context_length.is_none_or(|length| length >= 2),
            "--context-length must be at least 2, for the start token and one more"
        );
        self.documents.check()
    }

    /// Returns the names of the options of the model and its text that were given, apart from --max-norm.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let others = [
            (self.place.layer.is_some(), "--layer"),
            (self.place.site.is_some(), "--site"),
            (self.place.model.is_some(), "--model"),
            (self.tokens.is_some(), "--tokens"),
            (self.context_length.is_some(), "--context-length"),
            (!self.leave_out.is_empty(), "--leave-out"),
            (self.place.cache.is_some(), "--cache"),
        ];
        let others = others.into_iter().filter_map(|(given, name)| given.then_some(name));
        others.chain(self.documents.given()).collect()
    }

    /// Returns true if rows are left out by their tokens.
    pub(crate) fn leaves_out_tokens(&self) -> bool {
        !self.leave_out.is_empty()
    }

    /// Returns the largest norm of a row that is kept, in multiples of the median.
    pub(crate) fn max_norm(&self) -> Option<f64> {
        self.max_norm
    }

    /// Returns the rows to leave out.
    pub(crate) fn leave_out(&self, setup: &LanguageModelSetup) -> anyhow::Result<LeaveOut> {
        let token = |name: &String| named_token(&setup.tokenizer, "--leave-out", name);
        let tokens = self.leave_out.iter().map(token).collect::<anyhow::Result<_>>()?;
        Ok(LeaveOut { tokens, max_norm: self.max_norm })
    }

    /// Returns the provenance of rows captured with these options.
    pub(crate) fn provenance(
        &self,
        setup: &LanguageModelSetup,
        point: HookPoint,
        leave_out: &LeaveOut,
    ) -> Provenance {
        let part = match self.documents.part() {
            Part::All => "",
            Part::Train => ", training part",
            Part::HeldOut => ", held-out part",
        };
        self.place
            .provenance(setup, point, leave_out)
            .with("text", format!("{}{part}", self.documents.name()))
            .with("context_size", self.context_length.unwrap_or(CONTEXT).to_string())
    }

    /// Returns the text as sequences of tokens.
    pub(crate) fn sequences(&self, setup: &LanguageModelSetup) -> anyhow::Result<Vec<Sequence>> {
        let texts = self.documents.read(|| Ok(setup.cache.clone()))?;
        let chosen = self.documents.part().of(texts.len());
        let pieces = Pieces {
            context: self.context_length.unwrap_or(CONTEXT.min(setup.model.description().context)),
            tokens: self.tokens.unwrap_or(TOKENS),
        };
        ensure!(
            pieces.context <= setup.model.description().context,
            "--context-length must be at most {}, the context length of the model, but is {}",
            setup.model.description().context,
            pieces.context
        );
        let numbered = chosen.into_iter().map(|i| (i as u32, texts[i].as_str()));
        let sequences = setup.pieces(numbered, pieces)?;
        ensure!(
            !sequences.is_empty(),
            "the corpus '{}' has no text in the chosen part; choose a longer text",
            self.documents.name()
        );
        Ok(sequences)
    }
}
