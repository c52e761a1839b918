//! The architectures as GGUF files name them. Their metadata are translated into the keys of a configuration, so that one reader
//! describes both kinds of file.

use super::architecture::Architecture;
use super::gguf_neutral::check_neutral;
use super::keys::Keys;
use super::parts::{Fused, fused, whole};
use super::{gemma, gpt2, llama, phi3, qwen};
use crate::description::{Description, Frequencies, GainForm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Piece, Source};
use collimate_tensor::files::{Gguf, GgufValue};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An architecture in GGUF files.
struct Known {
    /// The value of `general.architecture`.
    name: &'static str,
    /// The architecture under its name in folders.
    architecture: &'static Architecture,
    /// True if the rows of queries and keys are stored so that neighbouring pairs are turned.
    pairs: bool,
    /// True if one is added to the gains of the norms before they are stored.
    shifted_gains: bool,
    place: fn(ParameterName, &Description) -> Source,
}

const KNOWN: [Known; 7] = [
    Known { name: "llama", architecture: &llama::ARCHITECTURE, pairs: true, shifted_gains: false, place },
    Known { name: "qwen2", architecture: &qwen::ARCHITECTURE, pairs: false, shifted_gains: false, place },
    Known { name: "qwen3", architecture: &qwen::ARCHITECTURE, pairs: false, shifted_gains: false, place },
    Known { name: "gemma", architecture: &gemma::ARCHITECTURE, pairs: false, shifted_gains: true, place },
    Known { name: "gemma2", architecture: &gemma::ARCHITECTURE, pairs: false, shifted_gains: true, place },
    Known {
        name: "gpt2",
        architecture: &gpt2::ARCHITECTURE,
        pairs: false,
        shifted_gains: false,
        place: fused_queries,
    },
    Known {
        name: "phi3",
        architecture: &phi3::ARCHITECTURE,
        pairs: false,
        shifted_gains: false,
        place: all_fused,
    },
];

/// The entries that are taken over, with their names in a configuration (without the name of the architecture).
const ENTRIES: [(&str, &[&str]); 14] = [
    ("block_count", &["num_hidden_layers"]),
    ("context_length", &["max_position_embeddings"]),
    ("embedding_length", &["hidden_size"]),
    ("feed_forward_length", &["intermediate_size"]),
    ("vocab_size", &["vocab_size"]),
    ("attention.head_count", &["num_attention_heads"]),
    ("attention.head_count_kv", &["num_key_value_heads"]),
    ("attention.key_length", &["head_dim"]),
    ("attention.layer_norm_rms_epsilon", &["rms_norm_eps"]),
    ("attention.layer_norm_epsilon", &["layer_norm_epsilon"]),
    ("rope.freq_base", &["rope_theta"]),
    ("attention.sliding_window", &["sliding_window"]),
    ("attn_logit_softcapping", &["attn_logit_softcapping"]),
    ("final_logit_softcapping", &["final_logit_softcapping"]),
];

/// The entries that only this file reads.
const OWN: [&str; 8] = [
    "attention.scale",
    "attention.value_length",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.attn_factor",
    "rope.scaling.finetuned",
];

/// A model in a GGUF file: its description and the places of its parameters.
pub(crate) struct FromGguf {
    pub(crate) description: Description,
    pub(crate) sources: Box<dyn Fn(ParameterName, &Description) -> Source>,
    /// The tensors that were read for the description.
    pub(crate) read: Vec<String>,
}

/// Reads the description of the model in a GGUF file.
pub(crate) fn describe(file: &Gguf) -> Result<FromGguf, ModelFileError> {
    let key = "general.architecture";
    let name = file.value(key).and_then(GgufValue::as_text).unwrap_or_default();
    let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
    let known = KNOWN
        .iter()
        .find(|known| known.name == name)
        .ok_or_else(|| crate::metadata::unusable(file, key, &format!("one of {}", names.join(", "))))?;
    let shapes: BTreeMap<String, Vec<usize>> =
        file.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect();
    let values = translate(file, known, &shapes)?;
    let mut alike = shapes.clone();
    // The names by which tied heads are recognised.
    for (from, to) in [("output.weight", "lm_head.weight"), ("token_embd.weight", "embed_tokens.weight")] {
        if let Some(shape) = shapes.get(from) {
            alike.insert(to.into(), shape.clone());
        }
    }
    let keys = Keys::new(values, alike);
    let described = (known.architecture.describe)(&keys).and_then(|d| keys.check_all_used().map(|()| d));
    let mut description = described.map_err(|error| under_its_entry(error, name))?;
    let mut read = Vec::new();
    if let Some(divisors) = factors(file, "rope_freqs.weight", &mut read)? {
        each_rotary(&mut description, |width| {
            divided(file, &divisors, &divisors, width, (f64::INFINITY, 1.0))
        })?;
    }
    let short = factors(file, "rope_factors_short.weight", &mut read)?;
    let long = factors(file, "rope_factors_long.weight", &mut read)?;
    if let (Some(short), Some(long)) = (short, long) {
        let number = |key: &str, default: f64| {
            file.value(&format!("{name}.{key}")).and_then(GgufValue::as_f64).unwrap_or(default)
        };
        let original = whole_number(file, &format!("{name}.rope.scaling.original_context_length"))
            .unwrap_or(description.context) as f64;
        let amplitude = number("rope.scaling.attn_factor", 1.0);
        each_rotary(&mut description, |width| divided(file, &short, &long, width, (original, amplitude)))?;
    }
    if known.shifted_gains {
        plain_gains(&mut description);
    }
    if name == "gemma2" {
        // The scale is not stored: 1/√e, but 1/√(d/h) in the model of 46 layers.
        let layers = description.layers.len();
        let width = description.width as f64;
        for layer in &mut description.layers {
            let a = &mut layer.attention;
            let per_head = if layers == 46 { width / a.heads as f64 } else { a.head_width as f64 };
            a.scale = per_head.powf(-0.5);
        }
    }
    let (place, pairs) = (known.place, known.pairs);
    let sources = Box::new(move |name: ParameterName, d: &Description| {
        let mut source = place(name, d);
        let a = name.layer.map(|layer| &d.layers[layer].attention);
        if let (true, Some(a)) = (pairs, a) {
            let heads = match name.part {
                Part::Query | Part::QueryBias => a.heads,
                Part::Key | Part::KeyBias => a.key_heads,
                _ => return source,
            };
            source.iter_mut().for_each(|piece| (piece.pairs, piece.groups) = (true, heads));
        }
        source
    });
    Ok(FromGguf { description, sources, read })
}

/// Names the entry of the file in an error that names a key of a configuration.
fn under_its_entry(error: ModelFileError, architecture: &str) -> ModelFileError {
    match error {
        ModelFileError::Metadata { key, expected, given } => {
            let entry = ENTRIES.iter().find(|(_, keys)| keys.contains(&key.as_str()));
            let key = entry.map_or(key, |(entry, _)| format!("{architecture}.{entry}"));
            ModelFileError::Metadata { key, expected, given }
        }
        other => other,
    }
}

/// Translates the metadata into the keys of a configuration.
fn translate(
    file: &Gguf,
    known: &Known,
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<Map<String, Value>, ModelFileError> {
    let mut values = Map::new();
    let start = format!("{}.", known.name);
    for (key, value) in file.metadata() {
        let Some(name) = key.strip_prefix(&start) else {
            continue;
        };
        if let Some((_, keys)) = ENTRIES.iter().find(|(entry, _)| *entry == name) {
            for other in *keys {
                values.insert((*other).into(), number(file, key, value)?);
            }
        } else if !OWN.contains(&name)
            && let Err(expected) = check_neutral(name, value)
        {
            return Err(crate::metadata::unusable(file, key, expected));
        }
    }
    let rows = shapes.get("token_embd.weight").and_then(|shape| shape.first()).copied().unwrap_or_default();
    if values.get("vocab_size").is_some_and(|given| given.as_u64() != Some(rows as u64)) {
        let expected = format!("the rows of token_embd.weight, {rows}");
        return Err(crate::metadata::unusable(file, &format!("{start}vocab_size"), &expected));
    }
    values.insert("vocab_size".into(), json!(rows));
    values.insert("model_type".into(), json!(known.name));
    values.insert("tie_word_embeddings".into(), json!(!shapes.contains_key("output.weight")));
    // The names that some configurations use for the same sizes.
    if known.name == "gpt2" {
        let inner = shapes.get("blk.0.ffn_up.weight").and_then(|shape| shape.first()).copied();
        values.insert("n_inner".into(), json!(inner));
        values.remove("intermediate_size");
    }
    // 0 and the whole context stand for no window. A key that is absent means none too.
    let context = values.get("max_position_embeddings").and_then(Value::as_u64);
    let whole =
        |window: &Value| window.as_u64().is_none_or(|n| n == 0 || context.is_some_and(|all| n >= all));
    if values.get("sliding_window").is_none_or(whole) {
        values.insert("sliding_window".into(), Value::Null);
    }
    scaling(file, &start, &mut values)?;
    let head = values.get("head_dim").and_then(Value::as_u64).or_else(|| {
        let of = |key: &str| values.get(key).and_then(Value::as_u64);
        of("hidden_size")?.checked_div(of("num_attention_heads")?)
    });
    for name in ["attention.value_length", "rope.dimension_count"] {
        let key = format!("{start}{name}");
        if file.value(&key).is_some() && whole_number(file, &key).map(|n| n as u64) != head {
            let expected = format!("the width of a head, {}", head.unwrap_or_default());
            return Err(crate::metadata::unusable(file, &key, &expected));
        }
    }
    let key = format!("{start}attention.scale");
    if let Some(value) = file.value(&key) {
        let own = 1.0 / (head.unwrap_or_default() as f64).sqrt();
        // 0 means the scale of the architecture.
        if value.as_f64().is_none_or(|scale| scale != 0.0 && (scale - own).abs() > 1e-6 * own) {
            let expected = format!("the scale 1/√(width of a head), {own}");
            return Err(crate::metadata::unusable(file, &key, &expected));
        }
    }
    Ok(values)
}

/// Translates the scaling of the rotary angles.
fn scaling(file: &Gguf, start: &str, values: &mut Map<String, Value>) -> Result<(), ModelFileError> {
    let key = |name: &str| format!("{start}rope.scaling.{name}");
    let number = |name: &str| file.value(&key(name)).and_then(GgufValue::as_f64);
    let kind = file.value(&key("type")).map(|value| value.as_text().unwrap_or("?").to_owned());
    let factor = number("factor");
    match kind.as_deref() {
        None | Some("none") => {
            if factor.is_some_and(|factor| factor != 1.0 && factor != 0.0) && kind.is_none() {
                // An old file names the factor of a linear scaling alone.
                values.insert("rope_scaling".into(), json!({ "rope_type": "linear", "factor": factor }));
            }
        }
        Some("linear") => {
            values.insert(
                "rope_scaling".into(),
                json!({ "rope_type": "linear", "factor": factor.unwrap_or(1.0) }),
            );
        }
        Some("longrope") if file.tensors().contains_key("rope_factors_long.weight") => {}
        Some(_) => {
            let expected =
                "none, linear, or longrope with its factors; other scalings are not read from this format";
            return Err(crate::metadata::unusable(file, &key("type"), expected));
        }
    }
    let long = file.tensors().contains_key("rope_factors_long.weight");
    if !long && number("attn_factor").is_some_and(|factor| factor != 1.0) {
        let expected = "no factor on the cosines and sines without longrope: 1";
        return Err(crate::metadata::unusable(file, &key("attn_factor"), expected));
    }
    Ok(())
}

fn number(file: &Gguf, key: &str, value: &GgufValue) -> Result<Value, ModelFileError> {
    let number = value.as_u64().map(|n| json!(n)).or_else(|| value.as_f64().map(|x| json!(x)));
    // A list gives one number for each layer; equal numbers are one.
    let list = || {
        let list: BTreeSet<i64> = value.as_integers()?.iter().copied().collect();
        (list.len() == 1).then(|| list.first().map(|n| json!(n)))?
    };
    number.or_else(list).ok_or_else(|| crate::metadata::unusable(file, key, "one number for all layers"))
}

fn whole_number(file: &Gguf, key: &str) -> Option<usize> {
    file.value(key).and_then(GgufValue::as_u64).and_then(|n| usize::try_from(n).ok())
}

/// Reads a tensor of divisors, if the file has it.
fn factors(file: &Gguf, name: &str, read: &mut Vec<String>) -> Result<Option<Vec<f64>>, ModelFileError> {
    if !file.tensors().contains_key(name) {
        return Ok(None);
    }
    read.push(name.into());
    Ok(Some(file.read(name)?.to_f64().into_iter().collect()))
}

fn divided(
    file: &Gguf,
    short: &[f64],
    long: &[f64],
    width: usize,
    (original, amplitude): (f64, f64),
) -> Result<Frequencies, ModelFileError> {
    let fits = |list: &[f64]| list.len() == width / 2 && list.iter().all(|&x| x > 0.0 && x.is_finite());
    if !fits(short) || !fits(long) {
        let expected = format!("{} positive divisors of the rotary angles", width / 2);
        return Err(crate::metadata::unusable(file, "rope_factors", &expected));
    }
    Ok(Frequencies::Divided { short: short.to_vec(), long: long.to_vec(), original, amplitude })
}

fn each_rotary(
    description: &mut Description,
    make: impl Fn(usize) -> Result<Frequencies, ModelFileError>,
) -> Result<(), ModelFileError> {
    for layer in &mut description.layers {
        if let Some(rotary) = &mut layer.attention.rotary {
            rotary.frequencies = make(rotary.width)?;
        }
    }
    Ok(())
}

/// Marks the gains of all norms as stored as they are.
fn plain_gains(description: &mut Description) {
    let plain = |norm: &mut Option<crate::description::Norm>| {
        if let Some(norm) = norm {
            norm.gain = GainForm::Plain;
        }
    };
    plain(&mut description.final_norm);
    for layer in &mut description.layers {
        plain(&mut layer.attention_norm);
        plain(&mut layer.attention_post_norm);
        plain(&mut layer.mlp_norm);
        plain(&mut layer.mlp_post_norm);
        if let Some(norm) = &mut layer.attention.head_norm {
            norm.norm.gain = GainForm::Plain;
        }
    }
}

/// Returns the place of a parameter under the names of the format.
fn place(name: ParameterName, _: &Description) -> Source {
    let pattern = match name.part {
        Part::TokenEmbedding => "token_embd.weight",
        Part::PositionEmbedding => "position_embd.weight",
        Part::AttentionNormGain => "blk.{}.attn_norm.weight",
        Part::AttentionNormBias => "blk.{}.attn_norm.bias",
        Part::Query => "blk.{}.attn_q.weight",
        Part::QueryBias => "blk.{}.attn_q.bias",
        Part::Key => "blk.{}.attn_k.weight",
        Part::KeyBias => "blk.{}.attn_k.bias",
        Part::Value => "blk.{}.attn_v.weight",
        Part::ValueBias => "blk.{}.attn_v.bias",
        Part::QueryNormGain => "blk.{}.attn_q_norm.weight",
        Part::KeyNormGain => "blk.{}.attn_k_norm.weight",
        Part::AttentionOutput => "blk.{}.attn_output.weight",
        Part::AttentionOutputBias => "blk.{}.attn_output.bias",
        Part::AttentionPostNormGain => "blk.{}.post_attention_norm.weight",
        Part::MlpNormGain => "blk.{}.ffn_norm.weight",
        Part::MlpNormBias => "blk.{}.ffn_norm.bias",
        Part::MlpPostNormGain => "blk.{}.post_ffw_norm.weight",
        Part::Gate => "blk.{}.ffn_gate.weight",
        Part::Up => "blk.{}.ffn_up.weight",
        Part::UpBias => "blk.{}.ffn_up.bias",
        Part::Down => "blk.{}.ffn_down.weight",
        Part::DownBias => "blk.{}.ffn_down.bias",
        Part::FinalNormGain => "output_norm.weight",
        Part::FinalNormBias => "output_norm.bias",
        Part::Head => "output.weight",
        _ => return Source::new(),
    };
    whole(pattern, name)
}

/// Queries, keys and values in one matrix.
fn fused_queries(name: ParameterName, d: &Description) -> Source {
    let kind = match name.part {
        Part::Query | Part::Key | Part::Value => "weight",
        Part::QueryBias | Part::KeyBias | Part::ValueBias => "bias",
        _ => return place(name, d),
    };
    let tensor = format!("blk.{}.attn_qkv.{kind}", name.layer.unwrap_or_default());
    fused(tensor, name, d, Fused::Blocks)
}

/// Queries, keys and values in one matrix, and gate and up in another.
fn all_fused(name: ParameterName, d: &Description) -> Source {
    let layer = name.layer.unwrap_or_default();
    let width = d.layers.get(layer).map_or(0, |layer| layer.mlp.width);
    let rows = match name.part {
        Part::Gate => 0..width,
        Part::Up => width..2 * width,
        _ => return fused_queries(name, d),
    };
    vec![Piece { rows: Some(rows), ..Piece::whole(format!("blk.{layer}.ffn_up.weight")) }]
}
