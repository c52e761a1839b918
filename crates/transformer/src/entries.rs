//! The metadata entries of a model file: an entry that would change the function is used or refused, never passed over.

use crate::error::ModelFileError;
use collimate_tensor::files::{Gguf, GgufValue};

/// The beginning of the names of all entries of the architecture.
const ARCHITECTURE: &str = "llama.";

/// The entries of the architecture that the configuration reads.
const READ: [&str; 12] = [
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "vocab_size",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "rope.dimension_count",
    "rope.freq_base",
];

/// Checks every entry of the architecture: it is one that the configuration reads, or its value leaves the function as it is.
///
/// # Errors
/// [`ModelFileError::Metadata`] with the name of the first other entry.
pub(crate) fn check(file: &Gguf, context: usize, d_head: usize) -> Result<(), ModelFileError> {
    for (key, value) in file.metadata() {
        let Some(name) = key.strip_prefix(ARCHITECTURE) else { continue };
        if READ.contains(&name) {
            continue;
        }
        if let Err(expected) = neutral(name, value, context, d_head) {
            return Err(unusable(file, key, expected));
        }
    }
    Ok(())
}

/// Returns the values that an entry may have, in words, unless its value leaves the function as it is.
fn neutral(name: &str, value: &GgufValue, context: usize, d_head: usize) -> Result<(), &'static str> {
    let is = |allowed: &[f64]| number(value).is_some_and(|x| allowed.contains(&x));
    let (holds, expected) = match name {
        "rope.scaling.type" => {
            // With a factor of 1, which has its own entry, linear scaling divides the angles by 1.
            let text = value.as_text();
            (text == Some("none") || text == Some("linear"), "no scaling of the rotary angles: none")
        }
        "rope.scaling.factor" | "rope.scale_linear" | "rope.scaling.attn_factor" => {
            (is(&[1.0]), "no scaling of the rotary angles: 1")
        }
        "rope.scaling.yarn_log_multiplier" => (is(&[0.0]), "no scaling of the rotary angles: 0"),
        // Notes on the training: they act only together with a scaling.
        "rope.scaling.original_context_length" | "rope.scaling.finetuned" => (true, ""),
        "attention.sliding_window" => {
            let window = number(value);
            let whole = window.is_some_and(|window| window == 0.0 || window >= context as f64);
            (whole, "no sliding window: 0, or at least the context length")
        }
        // 0 means that there is no such factor.
        "logit_scale" | "residual_scale" | "embedding_scale" => (is(&[0.0, 1.0]), "no scaling: 1"),
        "attention.scale" => {
            let own = 1.0 / (d_head as f64).sqrt();
            let near = |x: f64| x == 0.0 || (x - own).abs() <= 1e-6 * own;
            (number(value).is_some_and(near), "the scale 1/√(width of a head)")
        }
        "attn_logit_softcapping" | "final_logit_softcapping" | "router_logit_softcapping" => {
            (is(&[0.0]), "no softcap: 0")
        }
        "expert_count" | "expert_used_count" | "leading_dense_block_count" => (is(&[0.0]), "no experts: 0"),
        "attention.causal" => (is(&[1.0]), "causal attention: true"),
        "use_parallel_residual" => (is(&[0.0]), "sequential residual blocks: false"),
        "attention.clamp_kqv" | "attention.max_alibi_bias" => (is(&[0.0]), "no such change of attention: 0"),
        "tensor_data_layout" => {
            (value.as_text() == Some("Meta AI original pth"), "rotary pairs of neighbouring rows")
        }
        _ => (false, "no such entry: its effect on the model is unknown here"),
    };
    if holds { Ok(()) } else { Err(expected) }
}

/// Returns a value as a number, if it is a single number or boolean.
fn number(value: &GgufValue) -> Option<f64> {
    match value {
        GgufValue::Bool(value) => Some(f64::from(u8::from(*value))),
        _ => value.as_f64().or_else(|| value.as_u64().map(|x| x as f64)),
    }
}

/// Returns the error of a metadata entry that is missing or cannot be used.
pub(crate) fn unusable(file: &Gguf, key: &str, expected: &str) -> ModelFileError {
    let given = file.value(key).map_or("nothing".into(), |value| {
        let mut text = format!("{value:?}");
        if let Some((end, _)) = text.char_indices().nth(100) {
            text.truncate(end);
            text.push('…');
        }
        text
    });
    ModelFileError::Metadata { key: key.into(), expected: expected.into(), given }
}
