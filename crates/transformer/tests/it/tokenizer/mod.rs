//! Tokenizers of every kind, from both kinds of file, against the `tokenizers` library of Python and against llama.cpp.
//!
//! `tests/tokenizers/NAME` holds a small tokenizer as `tokenizer.json`, the same vocabulary as `tokenizer.gguf` (written with the Python
//! package gguf), the tokens of 25 texts by the library (`cases.json`), and their ids by llama.cpp (`llama_cpp.json`).

mod choices;
mod library;
mod llama_cpp;
mod metadata;
mod refusals;
mod saved;

use collimate_transformer::Tokenizer;
use serde_json::Value;
use std::path::PathBuf;

const NAMES: [&str; 5] =
    ["bytelevel_gpt2", "bytelevel_split", "bpe_byte_fallback", "wordpiece_bert", "unigram_metaspace"];

fn path(name: &str, file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/tokenizers", name, file].iter().collect()
}

fn from_json(name: &str) -> Tokenizer {
    Tokenizer::open(path(name, "tokenizer.json")).unwrap()
}

fn from_gguf(name: &str) -> Tokenizer {
    Tokenizer::open(path(name, "tokenizer.gguf")).unwrap()
}

fn recorded(name: &str, file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name, file)).unwrap()).unwrap()
}

/// Returns the ids in one field of a recorded case.
fn ids(case: &Value, key: impl serde_json::value::Index) -> Vec<u32> {
    serde_json::from_value(case[key].clone()).unwrap_or_else(|error| panic!("{case}: {error}"))
}

/// Returns the text in one field of a recorded case.
fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("{key}: {case}"))
}
