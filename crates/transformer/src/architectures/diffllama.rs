use super::architecture::Architecture;
use super::keys::Keys;
use super::llama;
use super::parts::{RotaryDefaults, Sizes, whole};
use crate::description::{Description, Differential, LayerDescription, Norm};
use crate::error::ModelFileError;
use crate::parameters::{ParameterName, Part, Source};
use collimate_attention::algebra::lambda_init;
use collimate_grad::primitive::activation::Activation;

/// DiffLlama: Llama whose heads form pairs with subtracted softmaxes.
pub(super) const ARCHITECTURE: Architecture = Architecture { names: &["diffllama"], describe, place };

fn describe(keys: &Keys) -> Result<Description, ModelFileError> {
    let sizes = Sizes::read(keys, [2048, 0, 0])?;
    if !sizes.heads.is_multiple_of(2) {
        return Err(keys.unusable("num_attention_heads", "an even number of heads"));
    }
    let rotary = RotaryDefaults::halves(1e4).read(keys, &sizes)?;
    let epsilon = keys.number_or("rms_norm_eps", 1e-5)?;
    let norm = Norm::root_mean_square(epsilon);
    let bias = keys.flag("attention_bias", false)?;
    let mut attention = sizes.attention();
    attention.rotary = Some(rotary);
    (attention.input_bias, attention.output_bias) = (bias, bias);
    let layer = LayerDescription::new(attention, llama::gated(keys, Activation::Silu)?, norm);
    let mut d = sizes.description(keys)?;
    d.layers = vec![layer; sizes.layers];
    for (index, layer) in d.layers.iter_mut().enumerate() {
        layer.attention.differential = Some(Differential { lambda_init: lambda_init(index), epsilon });
    }
    d.final_norm = Some(norm);
    llama::tie(keys, &mut d, false)?;
    Ok(d)
}

fn place(name: ParameterName, d: &Description) -> Source {
    let pattern = match name.part {
        Part::LambdaQuery1 => "model.layers.{}.self_attn.lambda_q1",
        Part::LambdaKey1 => "model.layers.{}.self_attn.lambda_k1",
        Part::LambdaQuery2 => "model.layers.{}.self_attn.lambda_q2",
        Part::LambdaKey2 => "model.layers.{}.self_attn.lambda_k2",
        _ => return llama::place(name, d),
    };
    whole(pattern, name)
}
