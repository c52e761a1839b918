//! `collimate generate`.

use crate::model::{self, Precision};
use anyhow::{Context, bail};
use collimate_stream::RngStream;
use collimate_transformer::{Choice, Generation, Model, Sampling, Tokenizer};
use serde_json::json;
use std::path::PathBuf;

/// The options of `collimate generate`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate generate model.gguf --text \"The capital of France is\" --tokens 20 --greedy
  collimate generate model.gguf --text \"Once upon a time\" --tokens 50 --temperature 0.8 --top-p 0.95 --seed 1
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
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "min_p"])]
    greedy: bool,
    /// Draw each token from softmax(logits / temperature).
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
    /// Draw among the K most likely tokens.
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw among the most likely tokens, as few as have the probability P together.
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Draw among the tokens whose probability is at least this share of the largest one.
    #[arg(long, value_name = "SHARE")]
    min_p: Option<f64>,
    /// The seed of the drawn tokens.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Stop after one of these tokens.
    #[arg(long, value_delimiter = ',')]
    stop: Vec<u32>,
    /// Compute every token again at each step, instead of keeping keys and values.
    #[arg(long)]
    no_cache: bool,
    /// Keep the weights as the file stores them, in half precision or in quantised blocks, and expand them tile by tile. The memory is
    /// that of the file.
    #[arg(long)]
    as_stored: bool,
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
    let model: Model<F> = model::open(&options.place, None, options.as_stored)?;
    let choice = match options.greedy {
        true => Choice::Greedy,
        false => Choice::Sampled(Sampling {
            temperature: options.temperature,
            top_k: options.top_k,
            top_p: options.top_p,
            min_p: options.min_p,
        }),
    };
    let stop = options.stop.clone();
    let generation = Generation {
        tokens: options.tokens as usize,
        choice,
        stop,
        beyond_context: true,
        cached: !options.no_cache,
    };
    let mut stream = RngStream::named(options.seed, "tokens of a text");
    let ids = model.generate(&prompt, &generation, &mut stream, &mut ())?;
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
