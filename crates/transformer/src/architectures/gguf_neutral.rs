//! Entries of GGUF files that have a value which leaves the function as it is.

use collimate_tensor::files::GgufValue;

/// Checks that the value of an entry leaves the function as it is. Returns the values that it may have, in words, if it does not.
pub(super) fn check_neutral(name: &str, value: &GgufValue) -> Result<(), &'static str> {
    let is = |allowed: &[f64]| number(value).is_some_and(|x| allowed.contains(&x));
    let (holds, expected) = match name {
        "rope.scale_linear" => (is(&[1.0]), "no scaling of the rotary angles: 1"),
        "rope.scaling.yarn_log_multiplier" => (is(&[0.0]), "no scaling of the rotary angles: 0"),
        // 0 means that there is no such factor.
        "logit_scale" | "residual_scale" | "embedding_scale" => (is(&[0.0, 1.0]), "no scaling: 1"),
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
