//! A small model with a tokenizer in a GGUF file, so that the commands that run a model need no download.

use collimate_stream::RngStream;
use std::path::Path;

/// The width of the residual stream.
pub(crate) const WIDTH: usize = 16;

const LAYERS: usize = 2;
const HIDDEN: usize = 24;
const HEADS: usize = 2;

/// Returns the letters of the bytes in byte-level pieces.
fn letters() -> Vec<String> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 256;
    let letter = |byte: u8| {
        if printable(byte) {
            return char::from(byte).to_string();
        }
        next += 1;
        char::from_u32(next - 1).unwrap().to_string()
    };
    (0..=255).map(letter).collect()
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn value(out: &mut Vec<u8>, key: &str, kind: u32, bytes: &[u8]) {
    text(out, key);
    out.extend(kind.to_le_bytes());
    out.extend(bytes);
}

fn texts(out: &mut Vec<u8>, key: &str, texts: &[String]) {
    let mut list = 8_u32.to_le_bytes().to_vec();
    list.extend((texts.len() as u64).to_le_bytes());
    texts.iter().for_each(|one| text(&mut list, one));
    value(out, key, 9, &list);
}

/// Writes the model: two layers, and one token for each byte after the start token.
pub(crate) fn write(path: &Path) {
    let pieces: Vec<String> = std::iter::once("<|endoftext|>".to_owned()).chain(letters()).collect();
    let mut stream = RngStream::new(6, 0);
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("token_embd.weight".to_owned(), vec![pieces.len(), WIDTH]),
        ("output_norm.weight".to_owned(), vec![WIDTH]),
    ];
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("attn_norm", vec![WIDTH]),
            ("attn_q", vec![WIDTH, WIDTH]),
            ("attn_k", vec![WIDTH, WIDTH]),
            ("attn_v", vec![WIDTH, WIDTH]),
            ("attn_output", vec![WIDTH, WIDTH]),
            ("ffn_norm", vec![WIDTH]),
            ("ffn_gate", vec![HIDDEN, WIDTH]),
            ("ffn_up", vec![HIDDEN, WIDTH]),
            ("ffn_down", vec![WIDTH, HIDDEN]),
        ] {
            tensors.push((format!("blk.{layer}.{name}.weight"), shape));
        }
    }
    let mut values = Vec::new();
    let mut word = Vec::new();
    for (key, given) in [
        ("general.architecture", "llama"),
        ("tokenizer.ggml.model", "gpt2"),
        ("tokenizer.ggml.pre", "smollm"),
    ] {
        word.clear();
        text(&mut word, given);
        value(&mut values, key, 8, &word);
    }
    let numbers = [
        ("llama.block_count", LAYERS),
        ("llama.context_length", 64),
        ("llama.embedding_length", WIDTH),
        ("llama.feed_forward_length", HIDDEN),
        ("llama.attention.head_count", HEADS),
        ("llama.vocab_size", pieces.len()),
    ];
    for (key, number) in numbers {
        value(&mut values, key, 4, &(number as u32).to_le_bytes());
    }
    value(&mut values, "llama.attention.layer_norm_rms_epsilon", 6, &1e-5_f32.to_le_bytes());
    texts(&mut values, "tokenizer.ggml.tokens", &pieces);
    texts(&mut values, "tokenizer.ggml.merges", &[]);

    let mut out = b"GGUF".to_vec();
    out.extend(3_u32.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((3 + numbers.len() as u64 + 3).to_le_bytes());
    out.extend(values);
    let mut data: Vec<u8> = Vec::new();
    for (name, shape) in &tensors {
        data.resize(data.len().next_multiple_of(32), 0);
        text(&mut out, name);
        out.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|&n| out.extend((n as u64).to_le_bytes()));
        out.extend(0_u32.to_le_bytes());
        out.extend((data.len() as u64).to_le_bytes());
        let gain = shape.len() == 1;
        for _ in 0..shape.iter().product() {
            let drawn = stream.normal() as f32;
            let weight = if gain { 1.0 + 0.1 * drawn } else { drawn / (shape[1] as f32).sqrt() };
            data.extend(weight.to_le_bytes());
        }
    }
    out.resize(out.len().next_multiple_of(32), 0);
    out.extend(data);
    std::fs::write(path, out).unwrap();
}
