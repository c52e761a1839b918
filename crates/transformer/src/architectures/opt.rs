use super::architecture::Architecture;
use super::keys::Keys;
use super::parts::{Sizes, activation, is_tied, whole};
use crate::description::{Description, GainForm, LayerDescription, LearnedPositions, MlpDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// OPT: learned positions that skip padding; the 350m model has its norms after the sums and a narrower embedding.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["opt"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [2048, 0, 0])?;
    let affine = keys.flag("layer_norm_elementwise_affine", true)?;
    let gain = if affine { GainForm::Plain } else { GainForm::None };
    let norm = Norm::layer(1e-5).with_gain(gain).with_bias(affine);
    let bias = keys.flag("enable_bias", true)?;
    let mut attention = sizes.attention();
    (attention.input_bias, attention.output_bias) = (bias, bias);
    let active = activation(keys, &["activation_function"], Activation::Relu)?;
    let mut mlp = MlpDescription::new(keys.need(&["ffn_dim"])?, false, active);
    mlp.bias = bias;
    let mut layer = LayerDescription::new(attention, mlp, norm);
    let before = keys.flag("do_layer_norm_before", true)?;
    if !before {
        (layer.attention_norm, layer.mlp_norm, layer.sum_norm) = (None, None, Some(norm));
    }
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    let removed = keys.flag("_remove_final_layer_norm", false)?;
    d.final_norm = (before && !removed).then_some(norm);
    d.embedding.projected_from = keys.whole("word_embed_proj_dim")?.filter(|&width| width != sizes.width);
    d.embedding.positions = Some(LearnedPositions { rows: sizes.context + 2, offset: 2, skip_padding: true });
    let tied = is_tied(keys, true, "lm_head.weight", "embed_tokens.weight")?;
    d.head.iter_mut().for_each(|head| head.tied = tied);
    Ok(d)
}

fn place(name: ParameterName, _: &Description) -> Source {
    let pattern = match name.part {
        Part::TokenEmbedding => "model.decoder.embed_tokens.weight",
        Part::PositionEmbedding => "model.decoder.embed_positions.weight",
        Part::ProjectIn => "model.decoder.project_in.weight",
        Part::ProjectOut => "model.decoder.project_out.weight",
        Part::AttentionNormGain | Part::AttentionSumNormGain => {
            "model.decoder.layers.{}.self_attn_layer_norm.weight"
        }
        Part::AttentionNormBias | Part::AttentionSumNormBias => {
            "model.decoder.layers.{}.self_attn_layer_norm.bias"
        }
        Part::Query => "model.decoder.layers.{}.self_attn.q_proj.weight",
        Part::QueryBias => "model.decoder.layers.{}.self_attn.q_proj.bias",
        Part::Key => "model.decoder.layers.{}.self_attn.k_proj.weight",
        Part::KeyBias => "model.decoder.layers.{}.self_attn.k_proj.bias",
        Part::Value => "model.decoder.layers.{}.self_attn.v_proj.weight",
        Part::ValueBias => "model.decoder.layers.{}.self_attn.v_proj.bias",
        Part::AttentionOutput => "model.decoder.layers.{}.self_attn.out_proj.weight",
        Part::AttentionOutputBias => "model.decoder.layers.{}.self_attn.out_proj.bias",
        Part::MlpNormGain | Part::MlpSumNormGain => "model.decoder.layers.{}.final_layer_norm.weight",
        Part::MlpNormBias | Part::MlpSumNormBias => "model.decoder.layers.{}.final_layer_norm.bias",
        Part::Up => "model.decoder.layers.{}.fc1.weight",
        Part::UpBias => "model.decoder.layers.{}.fc1.bias",
        Part::Down => "model.decoder.layers.{}.fc2.weight",
        Part::DownBias => "model.decoder.layers.{}.fc2.bias",
        Part::FinalNormGain => "model.decoder.final_layer_norm.weight",
        Part::FinalNormBias => "model.decoder.final_layer_norm.bias",
        Part::Head => "lm_head.weight",
        _ => return Source::new(),
    };
    whole(pattern, name)
}
