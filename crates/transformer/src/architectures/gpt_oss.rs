use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes, experts, of_experts, whole, windows};
use crate::description::{BoundedGate, Description, LayerDescription, MlpDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Piece, Source};
use collimate_grad::primitive::activation::Activation;
use serde_json::json;

/// gpt-oss: sinks, a window in every second layer, and experts with a bounded gate.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["gpt_oss"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [131_072, 8, 64])?;
    let rotary = RotaryDefaults::halves(1.5e5);
    let rotary = match keys.value("rope_scaling").or(keys.value("rope_parameters")) {
        Some(_) => rotary.read(keys, &sizes)?,
        None => {
            let scaling = json!({
                "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
                "original_max_position_embeddings": 4096,
            });
            rotary.read_value(keys, &scaling, (keys.number_or("rope_theta", 1.5e5)?, 1.0), &sizes)?
        }
    };
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-5)?);
    let bias = keys.flag("attention_bias", true)?;
    let mut attention = sizes.attention();
    (attention.rotary, attention.sinks) = (Some(rotary), true);
    (attention.input_bias, attention.output_bias) = (bias, bias);
    // The bounded gate has a nonlinearity of its own, whatever `hidden_act` says.
    keys.value("hidden_act");
    let mut mlp = MlpDescription::new(keys.need(&["intermediate_size"])?, true, Activation::Silu);
    mlp.bias = true;
    let mut chosen = experts(keys, &["num_local_experts"], (128, 4))?;
    chosen.router_bias = true;
    let (limit, slope) = (keys.number_or("swiglu_limit", 7.0)?, keys.number_or("swiglu_alpha", 1.702)?);
    if limit <= 0.0 {
        return Err(keys.unusable("swiglu_limit", "a positive number"));
    }
    chosen.bounded_gate = Some(BoundedGate::new(limit, slope));
    mlp.experts = Some(chosen);
    let mut d = sizes.description(keys)?;
    d.layers = vec![LayerDescription::new(attention, mlp, norm); sizes.layers];
    let given = if keys.has("sliding_window") { keys.whole("sliding_window")? } else { Some(128) };
    for (layer, window) in d.layers.iter_mut().zip(windows(keys, sizes.layers, given, |i| i % 2 == 0)?) {
        layer.attention.window = window;
    }
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    Ok(d)
}

fn place(name: ParameterName, d: &Description) -> Source {
    let (tensor, second) = match name.part {
        Part::Router => return whole("model.layers.{}.mlp.router.weight", name),
        Part::RouterBias => return whole("model.layers.{}.mlp.router.bias", name),
        Part::ExpertGate => ("gate_up_proj", Some(0)),
        Part::ExpertUp => ("gate_up_proj", Some(1)),
        Part::ExpertDown => ("down_proj", None),
        Part::ExpertGateBias => ("gate_up_proj_bias", Some(0)),
        Part::ExpertUpBias => ("gate_up_proj_bias", Some(1)),
        Part::ExpertDownBias => ("down_proj_bias", None),
        _ => return llama::place(name, d),
    };
    // One tensor holds all experts; gate and up projection alternate.
    let pieces =
        of_experts(&format!("model.layers.{{}}.mlp.experts.{tensor}"), name, d).into_iter().enumerate();
    let transposed = !name.part.is_bias();
    pieces
        .map(|(expert, piece)| Piece { transposed, slice: Some(expert), every_second: second, ..piece })
        .collect()
}
