use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes, experts, of_experts, whole};
use crate::description::{Description, ExpertWeights, HeadNorm, HeadNormOver, LayerDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// Qwen 3 with experts in some layers, whose weights add up to 1 only if the configuration says so.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["qwen3_moe"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [32_768, 4, 0])?;
    let rotary = RotaryDefaults::halves(1e4).read(keys, &sizes)?;
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-6)?);
    let bias = keys.flag("attention_bias", false)?;
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    (attention.input_bias, attention.output_bias) = (bias, bias);
    attention.head_norm = Some(HeadNorm { norm, over: HeadNormOver::SharedGain });
    keys.refuse(
        "use_sliding_window",
        "false: the layers of this architecture that have a window are not known",
    )?;
    // Without a window, these keys have no effect.
    for key in ["sliding_window", "max_window_layers"] {
        keys.value(key);
    }
    let dense = llama::gated(keys, Activation::Silu)?;
    let mut sparse = dense;
    sparse.width = keys.whole("moe_intermediate_size")?.unwrap_or(768);
    let mut chosen = experts(keys, &["num_experts", "num_local_experts"], (128, 8))?;
    if !keys.flag("norm_topk_prob", false)? {
        chosen.weights = ExpertWeights::SoftmaxOfAll;
    }
    sparse.experts = Some(chosen);
    let step = keys.whole("decoder_sparse_step")?.unwrap_or(1);
    let without = keys.numbers("mlp_only_layers")?.unwrap_or_default();
    let mut d = sizes.description(keys)?;
    let layer = |index: usize| {
        let is_dense = without.contains(&(index as f64)) || !(index + 1).is_multiple_of(step);
        LayerDescription::new(attention.clone(), if is_dense { dense } else { sparse }, norm)
    };
    d.layers = (0..sizes.layers).map(layer).collect();
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    Ok(d)
}

fn place(name: ParameterName, d: &Description) -> Source {
    let pattern = match name.part {
        Part::Router => return whole("model.layers.{}.mlp.gate.weight", name),
        Part::ExpertGate => "model.layers.{}.mlp.experts.{expert}.gate_proj.weight",
        Part::ExpertUp => "model.layers.{}.mlp.experts.{expert}.up_proj.weight",
        Part::ExpertDown => "model.layers.{}.mlp.experts.{expert}.down_proj.weight",
        _ => return llama::place(name, d),
    };
    of_experts(pattern, name, d)
}
