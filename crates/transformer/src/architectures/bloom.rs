use super::architecture::Architecture;
use super::falcon;
use super::keys::Keys;
use super::parts::{Fused, Sizes, fill, fused, is_tied};
use crate::description::{Alibi, Description, LayerDescription, MlpDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// BLOOM: ALiBi, and a layer norm after the embedding.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["bloom"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    // Nothing in the model bounds the number of positions.
    let sizes = Sizes::read(keys, [usize::MAX, 0, 0])?;
    let norm = Norm::layer(keys.number_or("layer_norm_epsilon", 1e-5)?);
    let mut attention = sizes.attention();
    (attention.input_bias, attention.output_bias) = (true, true);
    attention.alibi = Some(Alibi::new(sizes.heads));
    let width = keys.whole("n_inner")?.unwrap_or(4 * sizes.width);
    let mut mlp = MlpDescription::new(width, false, Activation::GeluBloom);
    mlp.bias = true;
    let mut layer = LayerDescription::new(attention, mlp, norm);
    layer.residual_is_normed = keys.flag("apply_residual_connection_post_layernorm", false)?;
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    d.embedding.norm = Some(norm);
    d.final_norm = Some(norm);
    let tied = is_tied(keys, true, "lm_head.weight", "word_embeddings.weight")?;
    d.head.iter_mut().for_each(|head| head.tied = tied);
    Ok(d)
}

fn place(name: ParameterName, d: &Description) -> Source {
    let kind = match name.part {
        Part::Query | Part::Key | Part::Value => "weight",
        Part::QueryBias | Part::KeyBias | Part::ValueBias => "bias",
        _ => return falcon::common(name),
    };
    let tensor = fill(&format!("transformer.h.{{}}.self_attention.query_key_value.{kind}"), name);
    fused(tensor, name, d, Fused::ByKeyHead)
}
