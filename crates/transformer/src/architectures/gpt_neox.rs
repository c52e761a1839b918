use super::architecture::Architecture;
use super::keys::Keys;
use super::parts::{Fused, RotaryDefaults, Sizes, activation, fill, fused, is_tied, whole};
use crate::description::{Arrangement, Description, LayerDescription, MlpDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// GPT-NeoX (Pythia): attention and MLP side by side, each after a norm of its own; a quarter of each head turned.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["gpt_neox"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [2048, 0, 0])?;
    let defaults = RotaryDefaults {
        part: keys.number_or("partial_rotary_factor", 0.25)?,
        base: keys.number_or("rope_theta", 1e4)?,
        base_key: "rotary_emb_base",
        part_key: "rotary_pct",
        ..RotaryDefaults::halves(1e4)
    };
    let rotary = defaults.read(keys, &sizes)?;
    let norm = Norm::layer(keys.number_or("layer_norm_eps", 1e-5)?);
    let bias = keys.flag("attention_bias", true)?;
    keys.refuse("is_decoder", "no attention to another text: false")?;
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    (attention.input_bias, attention.output_bias) = (bias, bias);
    let active = activation(keys, &["hidden_act"], Activation::GeluErf)?;
    let mut mlp = MlpDescription::new(keys.need(&["intermediate_size"])?, false, active);
    mlp.bias = true;
    let mut layer = LayerDescription::new(attention, mlp, norm);
    if keys.flag("use_parallel_residual", true)? {
        layer.arrangement = Arrangement::ParallelTwoNorms;
    }
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    d.final_norm = Some(norm);
    let tied = is_tied(keys, false, "embed_out.weight", "embed_in.weight")?;
    d.head.iter_mut().for_each(|head| head.tied = tied);
    Ok(d)
}

fn place(name: ParameterName, d: &Description) -> Source {
    let pattern = match name.part {
        Part::Query | Part::Key | Part::Value => {
            let tensor = fill("gpt_neox.layers.{}.attention.query_key_value.weight", name);
            return fused(tensor, name, d, Fused::ByKeyHead);
        }
        Part::QueryBias | Part::KeyBias | Part::ValueBias => {
            let tensor = fill("gpt_neox.layers.{}.attention.query_key_value.bias", name);
            return fused(tensor, name, d, Fused::ByKeyHead);
        }
        Part::TokenEmbedding => "gpt_neox.embed_in.weight",
        Part::AttentionNormGain => "gpt_neox.layers.{}.input_layernorm.weight",
        Part::AttentionNormBias => "gpt_neox.layers.{}.input_layernorm.bias",
        Part::AttentionOutput => "gpt_neox.layers.{}.attention.dense.weight",
        Part::AttentionOutputBias => "gpt_neox.layers.{}.attention.dense.bias",
        Part::MlpNormGain => "gpt_neox.layers.{}.post_attention_layernorm.weight",
        Part::MlpNormBias => "gpt_neox.layers.{}.post_attention_layernorm.bias",
        Part::Up => "gpt_neox.layers.{}.mlp.dense_h_to_4h.weight",
        Part::UpBias => "gpt_neox.layers.{}.mlp.dense_h_to_4h.bias",
        Part::Down => "gpt_neox.layers.{}.mlp.dense_4h_to_h.weight",
        Part::DownBias => "gpt_neox.layers.{}.mlp.dense_4h_to_h.bias",
        Part::FinalNormGain => "gpt_neox.final_layer_norm.weight",
        Part::FinalNormBias => "gpt_neox.final_layer_norm.bias",
        Part::Head => "embed_out.weight",
        _ => return Source::new(),
    };
    whole(pattern, name)
}
