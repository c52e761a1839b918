use super::architecture::Architecture;
use super::gpt2;
use super::keys::Keys;
use super::parts::{Sizes, activation, is_tied, whole};
use crate::description::{Description, LayerDescription, LearnedPositions, MlpDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// GPT-Neo: GPT-2 with scores that are not scaled and windows in every other layer.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["gpt_neo"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [2048, 0, 0])?;
    let norm = Norm::layer(keys.number_or("layer_norm_epsilon", 1e-5)?);
    let mut attention = sizes.attention();
    (attention.output_bias, attention.scale) = (true, 1.0);
    let active = activation(keys, &["activation_function"], Activation::GeluTanh)?;
    let mut mlp =
        MlpDescription::new(keys.whole("intermediate_size")?.unwrap_or(4 * sizes.width), false, active);
    mlp.bias = true;
    let mut d = sizes.description(keys)?;
    d.layers = vec![LayerDescription::new(attention, mlp, norm); sizes.layers];
    let window = keys.whole("window_size")?.unwrap_or(256);
    let kinds = kinds(keys, sizes.layers)?;
    for (layer, kind) in d.layers.iter_mut().zip(&kinds) {
        layer.attention.window = match kind.as_str() {
            "local" => Some(window),
            "global" => None,
            _ => return Err(keys.unusable("attention_types", "layers that are global or local")),
        };
    }
    d.embedding.positions = Some(LearnedPositions { rows: sizes.context, offset: 0, skip_padding: false });
    d.final_norm = Some(norm);
    let tied = is_tied(keys, true, "lm_head.weight", "wte.weight")?;
    d.head.iter_mut().for_each(|head| head.tied = tied);
    Ok(d)
}

/// Reads the kind of each layer: `[[kinds, repeat], …]` spelled out, or global and local in turns.
fn kinds(keys: &Keys, layers: usize) -> Result<Vec<String>, ModelFileError> {
    let listed = keys.texts("attention_layers")?;
    let expected = format!("kinds for {layers} layers as [[kinds, repeat], …]");
    let mut kinds = Vec::new();
    match keys.value("attention_types") {
        None => kinds = (0..layers).map(|i| if i % 2 == 0 { "global" } else { "local" }.to_owned()).collect(),
        Some(value) => {
            for group in value.as_array().into_iter().flatten() {
                let words = group.get(0).and_then(|words| words.as_array()).cloned().unwrap_or_default();
                let repeat = group.get(1).and_then(|n| n.as_u64()).unwrap_or(0).min(layers as u64);
                for _ in 0..repeat {
                    kinds.extend(words.iter().filter_map(|word| word.as_str()).map(String::from));
                }
            }
        }
    }
    if kinds.len() != layers {
        return Err(keys.unusable("attention_types", &expected));
    }
    if listed.is_some_and(|listed| listed != kinds) {
        return Err(keys.unusable("attention_layers", "the kinds that attention_types spells out"));
    }
    Ok(kinds)
}

fn place(name: ParameterName, _: &Description) -> Source {
    let pattern = match name.part {
        Part::Query => "transformer.h.{}.attn.attention.q_proj.weight",
        Part::Key => "transformer.h.{}.attn.attention.k_proj.weight",
        Part::Value => "transformer.h.{}.attn.attention.v_proj.weight",
        Part::AttentionOutput => "transformer.h.{}.attn.attention.out_proj.weight",
        Part::AttentionOutputBias => "transformer.h.{}.attn.attention.out_proj.bias",
        _ => return gpt2::common(name),
    };
    whole(pattern, name)
}
