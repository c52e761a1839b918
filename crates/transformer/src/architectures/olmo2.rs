use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes};
use crate::description::{Description, HeadNorm, HeadNormOver, LayerDescription, Norm};
use crate::error::ModelFileError;
use collimate_grad::primitive::activation::Activation;

/// OLMo 2: norms after attention and MLP, none before; queries and keys normed over all heads.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { names: &["olmo2"], describe, place: llama::place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [2048, 0, 0])?;
    let rotary = RotaryDefaults::halves(1e4).read(keys, &sizes)?;
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-5)?);
    let bias = keys.flag("attention_bias", false)?;
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    (attention.input_bias, attention.output_bias) = (bias, bias);
    attention.head_norm = Some(HeadNorm { norm, over: HeadNormOver::AllHeads });
    let mut layer = LayerDescription::new(attention, llama::gated(keys, Activation::Silu)?, norm);
    (layer.attention_norm, layer.mlp_norm) = (None, None);
    (layer.attention_post_norm, layer.mlp_post_norm) = (Some(norm), Some(norm));
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    Ok(d)
}
