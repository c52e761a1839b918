use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes};
use crate::description::{Description, LayerDescription, Norm};
use crate::error::ModelFileError;
use collimate_grad::primitive::activation::Activation;

/// Granite: Llama with four multipliers, each 1 when its key is absent.
pub(super) const ARCHITECTURE: Architecture =
    Architecture { names: &["granite"], describe, place: llama::place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [2048, 0, 0])?;
    let rotary = RotaryDefaults::halves(1e4).read(keys, &sizes)?;
    let norm = Norm::root_mean_square(keys.number_or("rms_norm_eps", 1e-6)?);
    let bias = keys.flag("attention_bias", false)?;
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    (attention.input_bias, attention.output_bias) = (bias, bias);
    attention.scale = keys.number_or("attention_multiplier", 1.0)?;
    let mut mlp = llama::gated(keys, Activation::Silu)?;
    mlp.bias = keys.flag("mlp_bias", false)?;
    let mut layer = LayerDescription::new(attention, mlp, norm);
    layer.branch_scale = keys.number_or("residual_multiplier", 1.0)?;
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    d.embedding.scale = keys.number_or("embedding_multiplier", 1.0)?;
    let divisor = keys.number_or("logits_scaling", 1.0)?;
    if divisor == 0.0 {
        return Err(keys.unusable("logits_scaling", "another number than 0"));
    }
    d.head.iter_mut().for_each(|head| head.scale = 1.0 / divisor);
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    Ok(d)
}
