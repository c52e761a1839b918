use super::architecture::Architecture;
use super::keys::Keys;
use super::parts::{Fused, RotaryDefaults, Sizes, activation, fill, fused, is_tied, whole};
use crate::description::{Alibi, Arrangement, Description, LayerDescription, MlpDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// Falcon: 7b (one key head), 40b (groups, two norms) and the older models with ALiBi.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["falcon"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let mut sizes = Sizes::read(keys, [2048, 0, 0])?;
    let new = keys.flag("new_decoder_architecture", false)?;
    let one = keys.flag("multi_query", true)?;
    let groups = keys.first_whole(&["num_kv_heads", "n_head_kv"])?.unwrap_or(sizes.heads);
    // The key counts only in the new architecture.
    sizes.key_heads = match (new, one) {
        (true, _) => groups,
        (false, true) => 1,
        (false, false) => sizes.heads,
    };
    if !sizes.heads.is_multiple_of(sizes.key_heads) {
        return Err(keys.unusable("num_kv_heads", &format!("a divisor of the {} heads", sizes.heads)));
    }
    let norm = Norm::layer(keys.number_or("layer_norm_epsilon", 1e-5)?);
    let bias = keys.flag("bias", false)?;
    let mut attention = sizes.attention();
    (attention.input_bias, attention.output_bias) = (bias, bias);
    let rotary = RotaryDefaults::halves(1e4).read(keys, &sizes)?;
    if keys.flag("alibi", false)? {
        attention.alibi = Some(Alibi { factor: attention.scale, rounded: true, ..Alibi::new(sizes.heads) });
    } else {
        attention.rotary = Some(rotary);
    }
    let active = activation(keys, &["activation"], Activation::GeluErf)?;
    let width = keys.whole("ffn_hidden_size")?.unwrap_or(4 * sizes.width);
    let mut mlp = MlpDescription::new(width, false, active);
    mlp.bias = bias;
    let mut layer = LayerDescription::new(attention, mlp, norm);
    let parallel = keys.flag("parallel_attn", true)?;
    let norms = keys.whole("num_ln_in_parallel_attn")?;
    if new && norms.unwrap_or(2) == 2 {
        layer.arrangement = Arrangement::ParallelTwoNorms;
    } else if new || parallel {
        layer.arrangement = Arrangement::ParallelOneNorm;
        layer.mlp_norm = None;
    }
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    d.final_norm = Some(norm);
    let tied = is_tied(keys, true, "lm_head.weight", "word_embeddings.weight")?;
    d.head.iter_mut().for_each(|head| head.tied = tied);
    Ok(d)
}

fn place(name: ParameterName, d: &Description) -> Source {
    let a = &d.layers[name.layer.unwrap_or_default()].attention;
    let two = d.layers.iter().any(|layer| layer.arrangement == Arrangement::ParallelTwoNorms);
    // With one key head both orders are the same.
    let order = if a.key_heads == 1 { Fused::Blocks } else { Fused::ByKeyHead };
    let pattern = match name.part {
        Part::Query | Part::Key | Part::Value => {
            let tensor = fill("transformer.h.{}.self_attention.query_key_value.weight", name);
            return fused(tensor, name, d, order);
        }
        Part::QueryBias | Part::KeyBias | Part::ValueBias => {
            let tensor = fill("transformer.h.{}.self_attention.query_key_value.bias", name);
            return fused(tensor, name, d, order);
        }
        Part::AttentionNormGain if two => "transformer.h.{}.ln_attn.weight",
        Part::AttentionNormBias if two => "transformer.h.{}.ln_attn.bias",
        Part::MlpNormGain if two => "transformer.h.{}.ln_mlp.weight",
        Part::MlpNormBias if two => "transformer.h.{}.ln_mlp.bias",
        _ => return common(name),
    };
    whole(pattern, name)
}

/// Returns the places of the names that Falcon and BLOOM share.
pub(super) fn common(name: ParameterName) -> Source {
    let pattern = match name.part {
        Part::TokenEmbedding => "transformer.word_embeddings.weight",
        Part::EmbeddingNormGain => "transformer.word_embeddings_layernorm.weight",
        Part::EmbeddingNormBias => "transformer.word_embeddings_layernorm.bias",
        Part::AttentionNormGain => "transformer.h.{}.input_layernorm.weight",
        Part::AttentionNormBias => "transformer.h.{}.input_layernorm.bias",
        Part::AttentionOutput => "transformer.h.{}.self_attention.dense.weight",
        Part::AttentionOutputBias => "transformer.h.{}.self_attention.dense.bias",
        Part::MlpNormGain => "transformer.h.{}.post_attention_layernorm.weight",
        Part::MlpNormBias => "transformer.h.{}.post_attention_layernorm.bias",
        Part::Up => "transformer.h.{}.mlp.dense_h_to_4h.weight",
        Part::UpBias => "transformer.h.{}.mlp.dense_h_to_4h.bias",
        Part::Down => "transformer.h.{}.mlp.dense_4h_to_h.weight",
        Part::DownBias => "transformer.h.{}.mlp.dense_4h_to_h.bias",
        Part::FinalNormGain => "transformer.ln_f.weight",
        Part::FinalNormBias => "transformer.ln_f.bias",
        Part::Head => "lm_head.weight",
        _ => return Source::new(),
    };
    whole(pattern, name)
}
