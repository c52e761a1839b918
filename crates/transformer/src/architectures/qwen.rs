use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes, windows};
use crate::description::{Description, HeadNorm, HeadNormOver, LayerDescription, Norm};
use crate::error::ModelFileError;
use collimate_grad::primitive::activation::Activation;

/// Qwen 2 (biases on queries, keys and values) and Qwen 3 (norms of each head).
pub(super) const ARCHITECTURE: Architecture =
    Architecture { names: &["qwen2", "qwen3"], describe, place: llama::place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let third = keys.text("model_type")?.as_deref() == Some("qwen3");
    let sizes = Sizes::read(keys, [32_768, 32, if third { 128 } else { 0 }])?;
    let rotary = RotaryDefaults::halves(1e4).read(keys, &sizes)?;
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-6)?);
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    if third {
        let bias = keys.flag("attention_bias", false)?;
        (attention.input_bias, attention.output_bias) = (bias, bias);
        attention.head_norm = Some(HeadNorm { norm, over: HeadNormOver::SharedGain });
    } else {
        attention.input_bias = true;
    }
    let layer = LayerDescription::new(attention, llama::gated(keys, Activation::Silu)?, norm);
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    let slides = keys.flag("use_sliding_window", false)?;
    let given = if keys.has("sliding_window") { keys.whole("sliding_window")? } else { Some(4096) };
    let first = keys.number_or("max_window_layers", 28.0)? as usize;
    let window = given.filter(|_| slides);
    for (layer, window) in d.layers.iter_mut().zip(windows(keys, sizes.layers, window, |i| i >= first)?) {
        layer.attention.window = window;
    }
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    Ok(d)
}
