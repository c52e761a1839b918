use super::architecture::Architecture;
use super::gpt2;
use super::keys::Keys;
use super::parts::{Sizes, activation, is_tied, whole};
use crate::description::{Arrangement, Description, LayerDescription, MlpDescription, Norm, Rotary};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_attention::RotaryLayout;
use collimate_grad::primitive::activation::Activation;

/// GPT-J: attention and MLP side by side, rotary pairs of neighbours, no biases in attention.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["gptj"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [2048, 0, 0])?;
    let norm = Norm::layer(keys.number_or("layer_norm_epsilon", 1e-5)?);
    let width =
        if keys.has("rotary_dim") { keys.whole("rotary_dim")?.unwrap_or(sizes.head_width) } else { 64 };
    if width > sizes.head_width || !width.is_multiple_of(2) {
        return Err(
            keys.unusable("rotary_dim", &format!("an even number up to the head width {}", sizes.head_width))
        );
    }
    let mut attention = sizes.attention();
    attention.rotary = Some(Rotary::new(RotaryLayout::Interleaved, width, 1e4));
    let active = activation(keys, &["activation_function"], Activation::GeluTanh)?;
    let mut mlp = MlpDescription::new(keys.whole("n_inner")?.unwrap_or(4 * sizes.width), false, active);
    mlp.bias = true;
    let mut layer = LayerDescription::new(attention, mlp, norm);
    layer.arrangement = Arrangement::ParallelOneNorm;
    layer.mlp_norm = None;
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    d.final_norm = Some(norm);
    let tied = is_tied(keys, false, "lm_head.weight", "wte.weight")?;
    d.head.iter_mut().for_each(|head| (head.tied, head.bias) = (tied, true));
    Ok(d)
}

fn place(name: ParameterName, _: &Description) -> Source {
    let pattern = match name.part {
        Part::Query => "transformer.h.{}.attn.q_proj.weight",
        Part::Key => "transformer.h.{}.attn.k_proj.weight",
        Part::Value => "transformer.h.{}.attn.v_proj.weight",
        Part::AttentionOutput => "transformer.h.{}.attn.out_proj.weight",
        Part::Up => "transformer.h.{}.mlp.fc_in.weight",
        Part::UpBias => "transformer.h.{}.mlp.fc_in.bias",
        Part::Down => "transformer.h.{}.mlp.fc_out.weight",
        Part::DownBias => "transformer.h.{}.mlp.fc_out.bias",
        _ => return gpt2::common(name),
    };
    whole(pattern, name)
}
