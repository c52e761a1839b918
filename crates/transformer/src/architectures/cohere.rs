use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes};
use crate::description::{Arrangement, Description, HeadNorm, HeadNormOver, LayerDescription, Norm};
use crate::error::ModelFileError;
use collimate_attention::RotaryLayout;
use collimate_grad::primitive::activation::Activation;

/// Cohere: layer norms without bias, attention and MLP side by side, rotary pairs of neighbours, scaled logits.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { names: &["cohere"], describe, place: llama::place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [8192, 0, 0])?;
    let defaults = RotaryDefaults { layout: RotaryLayout::Interleaved, ..RotaryDefaults::halves(5e5) };
    let rotary = defaults.read(keys, &sizes)?;
    let norm = Norm::layer(keys.number_or("layer_norm_eps", 1e-5)?).with_bias(false);
    let bias = keys.flag("attention_bias", false)?;
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    (attention.input_bias, attention.output_bias) = (bias, bias);
    if keys.flag("use_qk_norm", false)? {
        attention.head_norm = Some(HeadNorm { norm, over: HeadNormOver::OwnGain });
    }
    let mut layer = LayerDescription::new(attention, llama::gated(keys, Activation::Silu)?, norm);
    layer.arrangement = Arrangement::ParallelOneNorm;
    layer.mlp_norm = None;
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    let scale = keys.number_or("logit_scale", 0.0625)?;
    d.head.iter_mut().for_each(|head| head.scale = scale);
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, true)?;
    Ok(d)
}
