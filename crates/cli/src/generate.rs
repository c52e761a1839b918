//! `collimate generate`.

use crate::model::{self, Precision};
use anyhow::{Context, bail};
use collimate_transformer::{Choice, Model, Tokenizer};
use serde_json::json;
use std::path::PathBuf;

/// The options of `collimate generate`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate generate model.gguf --text \"The capital of France is\" --tokens 20 --greedy
  collimate generate some-folder --ids 5,3,8 --tokens 10 --greedy --precision f64 --json")]
pub(crate) struct Options {
    /// The model, a folder with config.json and safetensors files, or a GGUF file.
    #[arg(value_name = "MODEL")]
    place: PathBuf,
    /// The tokens to continue.
    #[arg(long, value_delimiter = ',', conflicts_with = "text", required_unless_present = "text")]
    ids: Vec<u32>,
    /// The text to continue; the model must have a tokenizer.
    #[arg(long)]
    text: Option<String>,
    /// The number of tokens to write.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    tokens: u32,
    /// Take the most likely token each time.
    #[arg(long, required = true)]
    greedy: bool,
    /// Compute every token again at each step, instead of keeping keys and values.
    #[arg(long)]
    no_cache: bool,
    /// The precision of the computation.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Print one JSON object with ids and text.
    #[arg(long)]
    json: bool,
}

/// Continues a text.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    match options.precision {
        Precision::F32 => run_in::<f32>(options),
        Precision::F64 => run_in::<f64>(options),
    }
}

fn run_in<F: collimate_transformer::Precision>(options: &Options) -> anyhow::Result<()> {
    let tokenizer = match Tokenizer::open(&options.place) {
        Ok(tokenizer) => Some(tokenizer),
        Err(error) if options.text.is_some() => {
            return Err(error).context("--text needs the tokenizer of the model");
        }
        Err(_) => None,
    };
    let prompt = match (&options.text, &tokenizer) {
        (Some(text), Some(tokenizer)) => tokenizer.encode(text)?,
        _ => options.ids.clone(),
    };
    if prompt.is_empty() {
        bail!("the prompt has no tokens; give a longer --text, or --ids");
    }
    let model: Model<F> = model::open(&options.place, None)?;
    let choice = Choice::Greedy;
    let ids = model.generate(&prompt, options.tokens as usize, choice, !options.no_cache)?;
    // A token may stand for a part of a character, so the whole is decoded at once.
    let text = tokenizer.as_ref().map(|tokenizer| tokenizer.decode(&ids)).transpose().ok().flatten();
    if options.json {
        println!("{}", json!({ "ids": ids, "text": text }));
        return Ok(());
    }
    match text {
        Some(text) => println!("{text}"),
        None => println!("{}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
    }
    Ok(())
}
