//! `collimate model tokenize`.

use anyhow::Context;
use collimate_transformer::{
    EncodeOptions, Encoding, RunError, SpecialText, SpecialTokens, Tokenizer, Unspelt,
};
use serde_json::{Value, json};
use std::ops::Range;
use std::path::PathBuf;

/// The options of `collimate model tokenize`.
#[derive(clap::Args)]
#[command(after_help = "\
The texts are the lines of the standard input. With --json each line is a JSON string, or a JSON list of two strings
for a pair of texts.

Examples:
  collimate model tokenize model.gguf
  collimate model tokenize model/tokenizer.json --names-as-text
  collimate model tokenize model --json > tokens.jsonl")]
pub(crate) struct Options {
    /// The tokenizer: a tokenizer.json, a folder with one, or a GGUF file.
    #[arg(value_name = "TOKENIZER")]
    tokenizer: PathBuf,
    /// Treat names of special tokens in a text, such as <|endoftext|>, as text. By default they become the tokens.
    #[arg(long)]
    names_as_text: bool,
    /// Leave out text that the vocabulary cannot spell, as other programs do. By default such text is an error.
    #[arg(long)]
    drop_unspelt: bool,
    /// Read one JSON string a line, and print one JSON object a line: ids without and with special tokens, pieces, ranges in bytes and in
    /// characters, and the decoded text.
    #[arg(long)]
    json: bool,
}

/// The text or the two texts of one line.
enum Input {
    One(String),
    Two(String, String),
}

impl Input {
    /// Reads a JSON string, or a JSON list of two.
    fn from_json(line: &str) -> anyhow::Result<Self> {
        let what = "expected a JSON string, or a JSON list of two";
        match serde_json::from_str(line).context(what)? {
            Value::String(text) => Ok(Self::One(text)),
            pair @ Value::Array(_) => {
                let (first, second) = serde_json::from_value(pair).context(what)?;
                Ok(Self::Two(first, second))
            }
            other => anyhow::bail!("{what}, but found {other}"),
        }
    }

    fn encode(&self, tokenizer: &Tokenizer, options: EncodeOptions) -> Result<Encoding, RunError> {
        match self {
            Self::One(text) => tokenizer.encode_with(text, options),
            Self::Two(first, second) => tokenizer.encode_pair(first, second, options),
        }
    }
}

/// Splits the lines of the standard input into tokens.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let tokenizer = Tokenizer::open(&options.tokenizer)?;
    let special_text = if options.names_as_text { SpecialText::Text } else { SpecialText::Tokens };
    let unspelt = if options.drop_unspelt { Unspelt::Dropped } else { Unspelt::Refused };
    let choices = EncodeOptions { special_tokens: SpecialTokens::Added, special_text, unspelt };
    for (index, line) in std::io::stdin().lines().enumerate() {
        let place = || format!("standard input, line {}", index + 1);
        let line = line.with_context(place)?;
        if options.json {
            let input = Input::from_json(&line).with_context(place)?;
            println!("{}", described(&tokenizer, &input, choices).with_context(place)?);
        } else {
            let found = Input::One(line).encode(&tokenizer, choices).with_context(place)?;
            println!("line {}: {} tokens", index + 1, found.ids.len());
            table(&found);
        }
    }
    Ok(())
}

/// Prints the tokens of a text, one a line.
fn table(found: &Encoding) {
    for (index, id) in found.ids.iter().enumerate() {
        let bytes = &found.byte_ranges[index];
        let place = match found.special[index] {
            true => "special".into(),
            false => format!("{}..{}", bytes.start, bytes.end),
        };
        println!("{id:>8}  {place:>13}  {}", found.pieces[index]);
    }
}

/// Returns the tokens of a text or of a pair as a JSON object.
fn described(tokenizer: &Tokenizer, input: &Input, choices: EncodeOptions) -> Result<Value, RunError> {
    let whole = input.encode(tokenizer, choices)?;
    let plain =
        input.encode(tokenizer, EncodeOptions { special_tokens: SpecialTokens::Omitted, ..choices })?;
    let pairs = |ranges: &[Range<usize>]| -> Value {
        ranges.iter().map(|range| json!([range.start, range.end])).collect()
    };
    let mask: Vec<u8> = whole.special.iter().map(|&special| special.into()).collect();
    Ok(json!({
        "ids": plain.ids,
        "tokens": plain.pieces,
        "byte_offsets": pairs(&plain.byte_ranges),
        "char_offsets": pairs(&plain.character_ranges),
        "ids_with_special": whole.ids,
        "special_tokens_mask": mask,
        "type_ids": whole.type_ids,
        "decoded": tokenizer.decode(&plain.ids)?,
        "decoded_skip_special": tokenizer.decode_without_special(&plain.ids)?,
    }))
}
