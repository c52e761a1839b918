use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes, activation, windows};
use crate::description::{
    Description, GainForm, HeadNorm, HeadNormOver, LayerDescription, MlpDescription, Norm,
};
use crate::error::ModelFileError;
use collimate_grad::primitive::activation::Activation;
use serde_json::Value;

/// Gemma, Gemma 2 (norms after attention and MLP, softcaps, alternating windows) and Gemma 3 (norms of each head, two sets of angles).
pub(super) const ARCHITECTURE: Architecture =
    Architecture { names: &["gemma", "gemma2", "gemma3_text"], describe, place: llama::place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let kind = keys.text("model_type")?.unwrap_or_default();
    let (first, third) = (kind == "gemma", kind == "gemma3_text");
    let sizes = Sizes::read(keys, [if third { 131_072 } else { 8192 }, if first { 16 } else { 4 }, 256])?;
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-6)?).with_gain(GainForm::PlusOne);
    let bias = keys.flag("attention_bias", false)?;
    keys.refuse("use_bidirectional_attention", "causal attention: false")?;
    let mut attention = sizes.attention();
    (attention.input_bias, attention.output_bias) = (bias, bias);
    // The first Gemma computes tanh GELU even where the file says `gelu`.
    let named = activation(keys, &["hidden_activation"], Activation::GeluTanh)?;
    keys.text("hidden_act")?;
    let activation = if first { Activation::GeluTanh } else { named };
    let mlp = MlpDescription::new(keys.need(&["intermediate_size"])?, true, activation);
    let mut d = sizes.description(keys)?;
    d.embedding.scale = (sizes.width as f64).sqrt();
    if first {
        attention.rotary = Some(RotaryDefaults::halves(1e4).read(keys, &sizes)?);
        d.layers = vec![LayerDescription::new(attention, mlp, norm); sizes.layers];
    } else {
        attention.scale = keys.number_or("query_pre_attn_scalar", 256.0)?.powf(-0.5);
        let cap = |key: &str, default: f64| -> Result<Option<f64>, ModelFileError> {
            let absent = if default > 0.0 && !keys.has(key) { Some(default) } else { None };
            Ok(keys.number(key)?.or(absent))
        };
        let scores = cap("attn_logit_softcapping", if third { 0.0 } else { 50.0 })?;
        // The third generation reads the key but never uses it.
        attention.softcap = scores.filter(|_| !third);
        let logits = cap("final_logit_softcapping", if third { 0.0 } else { 30.0 })?;
        d.head.iter_mut().for_each(|head| head.softcap = logits);
        if third {
            attention.head_norm = Some(HeadNorm { norm, over: HeadNormOver::SharedGain });
        }
        let mut layer = LayerDescription::new(attention, mlp, norm);
        (layer.attention_post_norm, layer.mlp_post_norm) = (Some(norm), Some(norm));
        d.layers = vec![layer; sizes.layers];
        let window = if keys.has("sliding_window") { keys.whole("sliding_window")? } else { Some(4096) };
        let pattern = keys.first_whole(&["sliding_window_pattern", "_sliding_window_pattern"])?.unwrap_or(6);
        let slides =
            |layer: usize| if third { !(layer + 1).is_multiple_of(pattern) } else { layer.is_multiple_of(2) };
        let windows = windows(keys, sizes.layers, window, slides)?;
        let types = keys.texts("layer_types")?;
        let local = |index: usize| match &types {
            Some(types) => types[index] == "sliding_attention",
            None => slides(index),
        };
        let (near, far) = if third {
            two_rotaries(keys, &sizes)?
        } else {
            let one = RotaryDefaults::halves(1e4).read(keys, &sizes)?;
            (one.clone(), one)
        };
        for (index, (layer, window)) in d.layers.iter_mut().zip(windows).enumerate() {
            layer.attention.window = window;
            layer.attention.rotary = Some(if local(index) { near.clone() } else { far.clone() });
        }
    }
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, true)?;
    Ok(d)
}

/// Reads the angles of sliding layers (never scaled) and of full layers.
fn two_rotaries(
    keys: &Keys,
    sizes: &Sizes,
) -> Result<(crate::description::Rotary, crate::description::Rotary), ModelFileError> {
    let near = RotaryDefaults { base_key: "rope_local_base_freq", ..RotaryDefaults::halves(1e4) };
    let far = RotaryDefaults::halves(1e6);
    let bases = (keys.number_or("rope_local_base_freq", 1e4)?, keys.number_or("rope_theta", 1e6)?);
    let parameters = keys.value("rope_parameters").cloned().unwrap_or(Value::Null);
    let of = |kind: &str| parameters.get(kind).cloned().unwrap_or(Value::Null);
    let scaling = keys.value("rope_scaling").cloned();
    let far_value = match scaling {
        Some(scaling) => scaling,
        None if parameters.get("full_attention").is_some()
            || parameters.get("sliding_attention").is_some() =>
        {
            of("full_attention")
        }
        None => parameters.clone(),
    };
    let near = near.read_value(keys, &of("sliding_attention"), (bases.0, 1.0), sizes)?;
    let far = far.read_value(keys, &far_value, (bases.1, 1.0), sizes)?;
    Ok((near, far))
}
