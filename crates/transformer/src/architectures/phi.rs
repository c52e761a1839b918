use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes, activation, whole};
use crate::description::{
    Arrangement, Description, HeadNorm, HeadNormOver, LayerDescription, MlpDescription, Norm,
};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// Phi: attention and MLP side by side after one layer norm, biases everywhere.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["phi"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [2048, 0, 0])?;
    let rotary = RotaryDefaults { part: 0.5, ..RotaryDefaults::halves(1e4) }.read(keys, &sizes)?;
    let norm = Norm::layer(keys.number_or("layer_norm_eps", 1e-5)?);
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    (attention.input_bias, attention.output_bias) = (true, true);
    if keys.flag("qk_layernorm", false)? {
        attention.head_norm = Some(HeadNorm { norm, over: HeadNormOver::SharedGain });
    }
    let active = activation(keys, &["hidden_act"], Activation::GeluTanh)?;
    let mut mlp = MlpDescription::new(keys.need(&["intermediate_size"])?, false, active);
    mlp.bias = true;
    let mut layer = LayerDescription::new(attention, mlp, norm);
    layer.arrangement = Arrangement::ParallelOneNorm;
    layer.mlp_norm = None;
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    d.head.iter_mut().for_each(|head| head.bias = true);
    Ok(d)
}

fn place(name: ParameterName, d: &Description) -> Source {
    let pattern = match name.part {
        Part::QueryNormGain => "model.layers.{}.self_attn.q_layernorm.weight",
        Part::QueryNormBias => "model.layers.{}.self_attn.q_layernorm.bias",
        Part::KeyNormGain => "model.layers.{}.self_attn.k_layernorm.weight",
        Part::KeyNormBias => "model.layers.{}.self_attn.k_layernorm.bias",
        Part::AttentionOutput => "model.layers.{}.self_attn.dense.weight",
        Part::AttentionOutputBias => "model.layers.{}.self_attn.dense.bias",
        Part::Up => "model.layers.{}.mlp.fc1.weight",
        Part::UpBias => "model.layers.{}.mlp.fc1.bias",
        Part::Down => "model.layers.{}.mlp.fc2.weight",
        Part::DownBias => "model.layers.{}.mlp.fc2.bias",
        Part::FinalNormGain => "model.final_layernorm.weight",
        Part::FinalNormBias => "model.final_layernorm.bias",
        _ => return llama::place(name, d),
    };
    whole(pattern, name)
}
