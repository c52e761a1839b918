//! Texts that a model writes while it is trained.

use super::rows::Rows;
use anyhow::{Context, ensure};
use collimate_stream::RngStream;
use collimate_transformer::{Choice, Generation, Model, Precision, Sampling, Tokenizer};
use serde_json::{Value, json};

/// The options of the texts that a model writes during its training.
#[derive(clap::Args)]
pub(crate) struct SampleOptions {
    /// The number of steps between two texts that the model writes. By default it writes none.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sample_every: Option<u64>,
    /// The number of tokens in each of these texts.
    #[arg(long, value_name = "M", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..), requires = "sample_every")]
    sample_tokens: u32,
    /// The beginning of these texts; by default the token for the end of a text, or the first token of the input.
    #[arg(long, value_name = "TEXT", requires = "sample_every")]
    sample_prompt: Option<String>,
}

/// Texts that continue a prompt.
pub(super) struct Samples<'a> {
    every: u64,
    prompt: Vec<u32>,
    generation: Generation,
    tokenizer: Option<&'a Tokenizer>,
    seed: u64,
}

impl SampleOptions {
    /// Prepares the texts, and tries the length of one, before any work.
    pub(super) fn prepare<'a, F: Precision>(
        &self,
        model: &Model<F>,
        tokenizer: Option<&'a Tokenizer>,
        rows: &Rows,
        seed: u64,
    ) -> anyhow::Result<Option<Samples<'a>>> {
        let Some(every) = self.sample_every else { return Ok(None) };
        let prompt = match (&self.sample_prompt, tokenizer) {
            (Some(text), Some(tokenizer)) => tokenizer.encode(text).context("--sample-prompt")?,
            (Some(_), None) => anyhow::bail!("--sample-prompt needs a tokenizer, but tokens are given"),
            (None, _) => {
                let end = tokenizer.and_then(|tokenizer| tokenizer.special_ids().eos);
                end.or(rows.first()).into_iter().collect()
            }
        };
        ensure!(!prompt.is_empty(), "--sample-prompt has no tokens; give a longer text");
        let (d, length) = (model.description(), prompt.len() + self.sample_tokens as usize);
        let vocabulary = d.vocabulary;
        ensure!(
            prompt.iter().all(|&id| (id as usize) < vocabulary),
            "the vocabulary of the model has {vocabulary} words, but the text to continue is the tokens {prompt:?}"
        );
        ensure!(
            length <= d.context,
            "--sample-tokens {}: the model has only {} positions; write fewer tokens",
            self.sample_tokens,
            d.context
        );
        let choice = Choice::Sampled(Sampling::default());
        let generation = Generation { choice, ..Generation::greedy(self.sample_tokens as usize) };
        Ok(Some(Samples { every, prompt, generation, tokenizer, seed }))
    }
}

impl Samples<'_> {
    /// Writes a text after a step, if one is due. It depends on the seed, the step and the model alone.
    pub(super) fn after<F: Precision>(
        &self,
        step: u64,
        last: bool,
        model: &Model<F>,
    ) -> anyhow::Result<Option<Value>> {
        if !last && !step.is_multiple_of(self.every) {
            return Ok(None);
        }
        let mut stream = RngStream::named(self.seed, "texts of a training").child(step);
        let ids = model.generate(&self.prompt, &self.generation, &mut stream, &mut ())?;
        // Ids beyond the tokenizer have no text: a vocabulary may be larger than its tokenizer.
        let text = self.tokenizer.and_then(|tokenizer| tokenizer.decode(&ids).ok());
        Ok(Some(json!({ "step": step, "sample": text, "sample_ids": ids })))
    }
}
