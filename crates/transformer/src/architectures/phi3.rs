use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{Fused, RotaryDefaults, Sizes, fill, fused};
use crate::description::{Description, LayerDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Piece, Source};
use collimate_grad::primitive::activation::Activation;

/// Phi-3: Llama with fused matrices, a window, and LongRoPE.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["phi3"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [4096, 0, 0])?;
    let rotary =
        RotaryDefaults { yarn_is_longrope: true, ..RotaryDefaults::halves(1e4) }.read(keys, &sizes)?;
    keys.number("original_max_position_embeddings")?;
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-5)?);
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    attention.window = keys.whole("sliding_window")?;
    let mut d = sizes.description(keys)?;
    d.layers =
        vec![LayerDescription::new(attention, llama::gated(keys, Activation::Silu)?, norm); sizes.layers];
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    Ok(d)
}

fn place(name: ParameterName, d: &Description) -> Source {
    let width = d.layers[name.layer.unwrap_or_default()].mlp.width;
    let gate_up = |rows| {
        let tensor = fill("model.layers.{}.mlp.gate_up_proj.weight", name);
        vec![Piece { rows: Some(rows), ..Piece::whole(tensor) }]
    };
    match name.part {
        Part::Query | Part::Key | Part::Value => {
            fused(fill("model.layers.{}.self_attn.qkv_proj.weight", name), name, d, Fused::Blocks)
        }
        Part::Gate => gate_up(0..width),
        Part::Up => gate_up(width..2 * width),
        _ => llama::place(name, d),
    }
}
