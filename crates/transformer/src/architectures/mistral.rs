use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes};
use crate::description::{Description, LayerDescription, Norm};
use crate::error::ModelFileError;
use collimate_grad::primitive::activation::Activation;

/// Mistral: Llama with a window in every layer.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { names: &["mistral"], describe, place: llama::place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [131_072, 8, 0])?;
    let rotary = RotaryDefaults::halves(1e4).read(keys, &sizes)?;
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-6)?);
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    // An absent key is a window of 4096; null is none.
    attention.window = if keys.has("sliding_window") { keys.whole("sliding_window")? } else { Some(4096) };
    let mut d = sizes.description(keys)?;
    d.layers =
        vec![LayerDescription::new(attention, llama::gated(keys, Activation::Silu)?, norm); sizes.layers];
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    Ok(d)
}
