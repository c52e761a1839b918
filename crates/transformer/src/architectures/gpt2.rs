use super::architecture::Architecture;
use super::keys::Keys;
use super::parts::{Fused, Sizes, activation, fill, fused, is_tied, whole};
use crate::description::{Description, LayerDescription, LearnedPositions, MlpDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// GPT-2: learned positions, layer norms, matrices stored as `[inputs, outputs]`.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["gpt2"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [1024, 0, 0])?;
    let norm = Norm::layer(keys.number_or("layer_norm_epsilon", 1e-5)?);
    keys.refuse("add_cross_attention", "no attention to another text: false")?;
    let mut attention = sizes.attention();
    (attention.input_bias, attention.output_bias) = (true, true);
    if !keys.flag("scale_attn_weights", true)? {
        attention.scale = 1.0;
    }
    let active = activation(keys, &["activation_function"], Activation::GeluTanh)?;
    let mut mlp = MlpDescription::new(keys.whole("n_inner")?.unwrap_or(4 * sizes.width), false, active);
    mlp.bias = true;
    let mut d = sizes.description(keys)?;
    d.layers = vec![LayerDescription::new(attention, mlp, norm); sizes.layers];
    if keys.flag("scale_attn_by_inverse_layer_idx", false)? {
        for (index, layer) in d.layers.iter_mut().enumerate() {
            layer.attention.scale /= (index + 1) as f64;
        }
    }
    d.embedding.positions = Some(LearnedPositions { rows: sizes.context, offset: 0, skip_padding: false });
    d.final_norm = Some(norm);
    let tied = is_tied(keys, true, "lm_head.weight", "wte.weight")?;
    d.head.iter_mut().for_each(|head| head.tied = tied);
    Ok(d)
}

fn place(name: ParameterName, d: &Description) -> Source {
    let transposed = |mut source: Source| {
        source.iter_mut().for_each(|piece| piece.transposed = true);
        source
    };
    let pattern = match name.part {
        Part::Query | Part::Key | Part::Value => {
            return transposed(fused(
                fill("transformer.h.{}.attn.c_attn.weight", name),
                name,
                d,
                Fused::Blocks,
            ));
        }
        Part::QueryBias | Part::KeyBias | Part::ValueBias => {
            return fused(fill("transformer.h.{}.attn.c_attn.bias", name), name, d, Fused::Blocks);
        }
        Part::AttentionOutput => return transposed(whole("transformer.h.{}.attn.c_proj.weight", name)),
        Part::Up => return transposed(whole("transformer.h.{}.mlp.c_fc.weight", name)),
        Part::Down => return transposed(whole("transformer.h.{}.mlp.c_proj.weight", name)),
        Part::AttentionOutputBias => "transformer.h.{}.attn.c_proj.bias",
        _ => return common(name),
    };
    whole(pattern, name)
}

/// Returns the places of the names that GPT-2, GPT-Neo and GPT-J share.
pub(super) fn common(name: ParameterName) -> Source {
    let pattern = match name.part {
        Part::TokenEmbedding => "transformer.wte.weight",
        Part::PositionEmbedding => "transformer.wpe.weight",
        Part::AttentionNormGain => "transformer.h.{}.ln_1.weight",
        Part::AttentionNormBias => "transformer.h.{}.ln_1.bias",
        Part::MlpNormGain => "transformer.h.{}.ln_2.weight",
        Part::MlpNormBias => "transformer.h.{}.ln_2.bias",
        Part::Up => "transformer.h.{}.mlp.c_fc.weight",
        Part::UpBias => "transformer.h.{}.mlp.c_fc.bias",
        Part::Down => "transformer.h.{}.mlp.c_proj.weight",
        Part::DownBias => "transformer.h.{}.mlp.c_proj.bias",
        Part::FinalNormGain => "transformer.ln_f.weight",
        Part::FinalNormBias => "transformer.ln_f.bias",
        Part::Head => "lm_head.weight",
        Part::HeadBias => "lm_head.bias",
        _ => return Source::new(),
    };
    whole(pattern, name)
}
