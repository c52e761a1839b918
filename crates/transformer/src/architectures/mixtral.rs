use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes, experts, of_experts, whole};
use crate::description::{Description, LayerDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_grad::primitive::activation::Activation;

/// Mixtral: Mistral with experts in every layer, whose weights add up to 1.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["mixtral"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [131_072, 8, 0])?;
    let rotary = RotaryDefaults::halves(1e6).read(keys, &sizes)?;
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-5)?);
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    attention.window = keys.whole("sliding_window")?;
    let mut mlp = llama::gated(keys, Activation::Silu)?;
    mlp.experts = Some(experts(keys, &["num_local_experts"], (8, 2))?);
    let mut d = sizes.description(keys)?;
    d.layers = vec![LayerDescription::new(attention, mlp, norm); sizes.layers];
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    Ok(d)
}

fn place(name: ParameterName, d: &Description) -> Source {
    let pattern = match name.part {
        Part::Router => return whole("model.layers.{}.block_sparse_moe.gate.weight", name),
        Part::ExpertGate => "model.layers.{}.block_sparse_moe.experts.{expert}.w1.weight",
        Part::ExpertUp => "model.layers.{}.block_sparse_moe.experts.{expert}.w3.weight",
        Part::ExpertDown => "model.layers.{}.block_sparse_moe.experts.{expert}.w2.weight",
        _ => return llama::place(name, d),
    };
    of_experts(pattern, name, d)
}
