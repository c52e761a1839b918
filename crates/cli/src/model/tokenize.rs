//! `collimate model tokenize`.

use anyhow::Context;
use collimate_tensor::files::Gguf;
use collimate_transformer::Tokenizer;
use serde_json::json;
use std::path::PathBuf;

/// The options of `collimate model tokenize`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  collimate model tokenize model.gguf
  collimate model tokenize model.gguf --json > tokens.jsonl")]
pub(crate) struct Options {
    /// The model, a GGUF file with a tokenizer.
    #[arg(value_name = "TOKENIZER")]
    tokenizer: PathBuf,
    /// Read one JSON string a line, and print one JSON object a line: ids, tokens, offsets in bytes and the decoded text.
    #[arg(long)]
    json: bool,
}

/// Splits the lines of the standard input into tokens.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let file = Gguf::open(&options.tokenizer)?;
    let tokenizer = Tokenizer::from_gguf(&file)
        .with_context(|| format!("reading the tokenizer of {}", options.tokenizer.display()))?;
    for (index, line) in std::io::stdin().lines().enumerate() {
        let place = || format!("standard input, line {}", index + 1);
        let line = line.with_context(place)?;
        if options.json {
            let text: String =
                serde_json::from_str(&line).with_context(|| format!("{}: not a JSON string", place()))?;
            println!("{}", described(&tokenizer, &text).with_context(place)?);
        } else {
            for (id, range) in tokenizer.encode_with_ranges(&line).with_context(place)? {
                let piece = tokenizer.piece(id).unwrap_or_default();
                println!("{id:>8}  {:>6}..{:<6}  {piece}", range.start, range.end);
            }
        }
    }
    Ok(())
}

/// Returns the tokens of a text as a JSON object.
fn described(tokenizer: &Tokenizer, text: &str) -> anyhow::Result<serde_json::Value> {
    let found = tokenizer.encode_with_ranges(text)?;
    let ids: Vec<u32> = found.iter().map(|(id, _)| *id).collect();
    let tokens: Vec<_> = ids.iter().map(|&id| tokenizer.piece(id)).collect();
    let offsets: Vec<_> = found.iter().map(|(_, range)| [range.start, range.end]).collect();
    let decoded = tokenizer.decode(&ids)?;
    Ok(json!({ "ids": ids, "tokens": tokens, "byte_offsets": offsets, "decoded": decoded }))
}
