use super::architecture::Architecture;
use super::keys::Keys;
use super::parts::{RotaryDefaults, Sizes, activation, is_tied, whole};
use crate::description::{Description, LayerDescription, MlpDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// Llama: norms by the root mean square, rotary halves, a gated MLP.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["llama"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [2048, 0, 0])?;
    let rotary = RotaryDefaults::halves(1e4).read(keys, &sizes)?;
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-6)?);
    let bias = keys.flag("attention_bias", false)?;
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    (attention.input_bias, attention.output_bias) = (bias, bias);
    let mut mlp = gated(keys, Activation::Silu)?;
    mlp.bias = keys.flag("mlp_bias", false)?;
    let mut d = sizes.description(keys)?;
    d.layers = vec![LayerDescription::new(attention, mlp, norm); sizes.layers];
    d.final_norm = Some(norm);
    tie(keys, &mut d, false)?;
    Ok(d)
}

/// Reads the gated MLP that most architectures have.
pub(super) fn gated(keys: &Keys, default: Activation) -> Result<MlpDescription, ModelFileError> {
    let activation = activation(keys, &["hidden_act"], default)?;
    Ok(MlpDescription::new(keys.need(&["intermediate_size"])?, true, activation))
}

/// Decides whether the head `lm_head` is tied.
pub(super) fn tie(keys: &Keys, d: &mut Description, default: bool) -> Result<(), ModelFileError> {
    let tied = is_tied(keys, default, "lm_head.weight", "embed_tokens.weight")?;
    d.head.iter_mut().for_each(|head| head.tied = tied);
    Ok(())
}

/// Returns the places of the names that Llama and its many relatives use.
pub(super) fn place(name: ParameterName, d: &Description) -> Source {
    let sandwich = d.layers.iter().any(|layer| layer.attention_post_norm.is_some());
    let pattern = match name.part {
        Part::TokenEmbedding => "model.embed_tokens.weight",
        Part::AttentionNormGain => "model.layers.{}.input_layernorm.weight",
        Part::AttentionNormBias => "model.layers.{}.input_layernorm.bias",
        Part::Query => "model.layers.{}.self_attn.q_proj.weight",
        Part::QueryBias => "model.layers.{}.self_attn.q_proj.bias",
        Part::Key => "model.layers.{}.self_attn.k_proj.weight",
        Part::KeyBias => "model.layers.{}.self_attn.k_proj.bias",
        Part::Value => "model.layers.{}.self_attn.v_proj.weight",
        Part::ValueBias => "model.layers.{}.self_attn.v_proj.bias",
        Part::QueryNormGain => "model.layers.{}.self_attn.q_norm.weight",
        Part::KeyNormGain => "model.layers.{}.self_attn.k_norm.weight",
        Part::AttentionOutput => "model.layers.{}.self_attn.o_proj.weight",
        Part::AttentionOutputBias => "model.layers.{}.self_attn.o_proj.bias",
        Part::AttentionPostNormGain => "model.layers.{}.post_attention_layernorm.weight",
        Part::MlpNormGain if sandwich => "model.layers.{}.pre_feedforward_layernorm.weight",
        Part::MlpNormGain => "model.layers.{}.post_attention_layernorm.weight",
        Part::MlpNormBias => "model.layers.{}.post_attention_layernorm.bias",
        Part::MlpPostNormGain => "model.layers.{}.post_feedforward_layernorm.weight",
        Part::Gate => "model.layers.{}.mlp.gate_proj.weight",
        Part::GateBias => "model.layers.{}.mlp.gate_proj.bias",
        Part::Up => "model.layers.{}.mlp.up_proj.weight",
        Part::UpBias => "model.layers.{}.mlp.up_proj.bias",
        Part::Down => "model.layers.{}.mlp.down_proj.weight",
        Part::DownBias => "model.layers.{}.mlp.down_proj.bias",
        Part::FinalNormGain => "model.norm.weight",
        Part::FinalNormBias => "model.norm.bias",
        Part::Head => "lm_head.weight",
        Part::HeadBias => "lm_head.bias",
        Part::Sinks => "model.layers.{}.self_attn.sinks",
        _ => return Source::new(),
    };
    whole(pattern, name)
}
